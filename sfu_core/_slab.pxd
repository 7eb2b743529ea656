"""Fixed tables of C structs in one shared anonymous mapping: tier 0.

Media state is addressed by index and generation, never by pointer, so that a handle of a dead object is
recognised and another process can map the memory of one that died. Slots are handed out by one thread only
(the owner of the table); the free list is local to the process.

What a reader may trust after a crash at any instruction: a record is live if its state says so and its generation is
odd. It was filled before it became live; who closes it makes the generation even first. A live record is changed by
the media thread only, which names the record in one word of the slab, the pen, for as long as it does: that one is
torn, all others are whole.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    SLAB_MAGIC = 0x53465543      # "SFUC"
    SLAB_VERSION = 0x1074C8BD    # digest of all that is declared to lie in a slab; a rule test says what it should be
    SLAB_TABLES = 16
    NONE = 0xFFFFFFFF            # no index

cdef enum SlotState:
    SLOT_FREE = 0
    SLOT_BUILDING = 1            # the control thread fills it; the media thread does not know it yet
    SLOT_LIVE = 2

cdef struct Head:
    # The first field of every record of every table.
    uint32_t generation          # odd: somebody has it; even: nobody, or it is being closed
    uint32_t state               # SlotState

cdef struct Table:
    uint64_t offset
    uint64_t stride
    uint32_t capacity
    uint32_t kind

cdef struct SlabHeader:
    uint64_t magic
    uint64_t version
    uint64_t layout              # hash over the strides and capacities: another build does not map it by accident
    uint64_t bytes
    Table tables[SLAB_TABLES]

cdef struct FreeList:
    uint32_t *indices
    uint32_t count               # indices that have been used and given back
    uint32_t fresh               # first index never used
    uint32_t capacity

cdef uint64_t slab_plan(SlabHeader *header, uint32_t kind, uint64_t stride, uint32_t capacity, uint64_t at) noexcept nogil
cdef uint64_t slab_layout(const SlabHeader *header) noexcept nogil
cdef void *slab_map(int fd, uint64_t bytes) noexcept nogil
cdef void slab_unmap(void *base, uint64_t bytes) noexcept nogil
cdef bint free_list_init(FreeList *free_list, uint32_t capacity) noexcept nogil
cdef void free_list_destroy(FreeList *free_list) noexcept nogil

cdef inline uint32_t take_slot(FreeList *f) noexcept nogil:
    """A free index, the one given back last first (its memory is warm), or NONE."""
    if f.count:
        f.count -= 1
        return f.indices[f.count]
    if f.fresh < f.capacity:
        f.fresh += 1
        return f.fresh - 1
    return NONE

cdef inline void give_slot(FreeList *f, uint32_t index) noexcept nogil:
    f.indices[f.count] = index
    f.count += 1

cdef inline uint32_t slots_used(const FreeList *f) noexcept nogil:
    return f.fresh - f.count


cdef extern from "<stdatomic.h>" nogil:
    # Keeps the compiler from moving stores past it. More is not needed: who reads does so after the writer's end.
    void atomic_signal_fence(int order) noexcept
    int memory_order_seq_cst

cdef inline void slot_open(Head *head) noexcept nogil:
    """A slot that was free: it may be filled now."""
    head.generation += 1
    head.state = SLOT_BUILDING

cdef inline void slot_commit(Head *head) noexcept nogil:
    """It is whole."""
    atomic_signal_fence(memory_order_seq_cst)
    head.state = SLOT_LIVE

cdef inline void slot_retire(Head *head) noexcept nogil:
    """Handles do not lead here any more; it is about to be taken apart."""
    head.generation += 1
    atomic_signal_fence(memory_order_seq_cst)

cdef inline uint64_t pen_take(uint64_t *pen, uint32_t table, uint32_t index) noexcept nogil:
    """The media thread begins to change a live record; what `pen_return` must be given."""
    cdef uint64_t before = pen[0]
    atomic_signal_fence(memory_order_seq_cst)
    pen[0] = <uint64_t>table << 32 | index
    atomic_signal_fence(memory_order_seq_cst)
    return before

cdef inline void pen_return(uint64_t *pen, uint64_t before) noexcept nogil:
    atomic_signal_fence(memory_order_seq_cst)
    pen[0] = before
    atomic_signal_fence(memory_order_seq_cst)


cdef struct Chain:
    # Neighbours in a doubly linked list of records; NONE at its ends.
    uint32_t next
    uint32_t previous

# `links` is the Chain of the table's first record, `stride` the distance of records, `first` the head of the list.
cdef inline Chain *chain_of(Chain *links, size_t stride, uint32_t index) noexcept nogil:
    return <Chain *>(<uint8_t *>links + stride * index)

cdef inline void chain_add(uint32_t *first, Chain *links, size_t stride, uint32_t index) noexcept nogil:
    cdef Chain *own = chain_of(links, stride, index)
    own.next = first[0]
    own.previous = NONE
    if first[0] != NONE:
        chain_of(links, stride, first[0]).previous = index
    first[0] = index

cdef inline void chain_add_behind(uint32_t before, Chain *links, size_t stride, uint32_t index) noexcept nogil:
    chain_add(&chain_of(links, stride, before).next, links, stride, index)
    chain_of(links, stride, index).previous = before

cdef inline void chain_remove(uint32_t *first, Chain *links, size_t stride, uint32_t index) noexcept nogil:
    cdef Chain *own = chain_of(links, stride, index)
    if own.previous == NONE:
        first[0] = own.next
    else:
        chain_of(links, stride, own.previous).next = own.next
    if own.next != NONE:
        chain_of(links, stride, own.next).previous = own.previous
