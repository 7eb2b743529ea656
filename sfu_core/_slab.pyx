"""Fixed tables of C structs in one shared anonymous mapping (see the .pxd)."""

from libc.stdlib cimport calloc, free

cdef extern from "<sys/mman.h>" nogil:
    void *mmap(void *addr, size_t length, int prot, int flags, int fd, long offset) noexcept
    int munmap(void *addr, size_t length) noexcept
    int PROT_READ, PROT_WRITE, MAP_SHARED, MAP_NORESERVE
    void *MAP_FAILED


cdef uint64_t slab_plan(
    SlabHeader *header, uint32_t kind, uint64_t stride, uint32_t capacity, uint64_t at
) noexcept nogil:
    """Place a table at `at` (rounded up to a page); the first byte behind it."""
    cdef Table *table = &header.tables[kind]
    table.kind = kind
    table.stride = stride
    table.capacity = capacity
    table.offset = (at + 4095) & ~<uint64_t>4095
    return table.offset + stride * capacity


cdef uint64_t slab_layout(const SlabHeader *header) noexcept nogil:
    """FNV-1a over version, strides and capacities."""
    cdef uint64_t value = <uint64_t>0xCBF29CE484222325
    cdef uint32_t i
    value = (value ^ header.version) * <uint64_t>0x100000001B3
    for i in range(SLAB_TABLES):
        value = (value ^ header.tables[i].stride) * <uint64_t>0x100000001B3
        value = (value ^ header.tables[i].capacity) * <uint64_t>0x100000001B3
    return value


cdef void *slab_map(int fd, uint64_t bytes) noexcept nogil:
    """The mapping, or NULL."""
    cdef void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0)
    return NULL if base == MAP_FAILED else base


cdef void slab_unmap(void *base, uint64_t bytes) noexcept nogil:
    munmap(base, bytes)


cdef bint free_list_init(FreeList *free_list, uint32_t capacity) noexcept nogil:
    free_list.indices = <uint32_t *>calloc(capacity, sizeof(uint32_t))
    free_list.count = 0
    free_list.fresh = 0
    free_list.capacity = capacity
    return free_list.indices != NULL


cdef void free_list_destroy(FreeList *free_list) noexcept nogil:
    free(free_list.indices)
    free_list.indices = NULL
