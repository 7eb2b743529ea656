"""The memory of a core: one slab with all tables and queues, and what is local to the process.

Laying out costs nothing: pages of the slab are used when a record on them is.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memset

from sfu_core._core cimport BATCH, MAX_LINKS, MAX_SHARES, Link, Share
from sfu_core._flows cimport flows_attach
from sfu_core._nack cimport NackList
from sfu_core._net cimport NET_RX, net_rx_init
from sfu_core._records cimport (
    TABLE_BACKLOG, TABLE_CONNECTIONS, TABLE_CORE, TABLE_HISTORY, TABLE_NACKS, TABLE_PRODUCERS, TABLE_QUEUES,
    TABLE_RECV, TABLE_SEND, TABLE_SENT, TABLE_SOCKETS, TABLE_SSRCS, TABLE_TRANSPORTS, TABLE_TUPLES, Backlog,
    Connection, Counters, Producer, RecvStream, SendStream, SentBlock, Socket, SsrcEntry, Transport, Tuple,
)
from sfu_core._ring cimport ring_attach, ring_bytes
from sfu_core._slab cimport (
    NONE, SLAB_MAGIC, SLAB_TABLES, SLAB_VERSION, SLOT_FREE, SlabHeader, free_list_destroy, free_list_init, slab_layout, slab_map,
    slab_plan, slab_unmap,
)
from sfu_core._srtp cimport SrtpContext, srtp_context_free
from sfu_core._types cimport SLOT_SIZE

cdef extern from "<unistd.h>" nogil:
    int close(int fd) noexcept

cdef enum:
    COMMAND_BYTES = 4194304
    EVENT_BYTES = 4194304
    MAX_CONNECTIONS = 2048       # TCP
    MAX_BACKLOG = 4096           # packets that full sockets keep
    MIN_HISTORY = 4194304


cdef uint64_t power_of_two(uint64_t value) noexcept nogil:
    cdef uint64_t size = 1
    while size < value:
        size <<= 1
    return size


cdef uint64_t freed_bytes(const Capacities *c) noexcept nogil:
    """Room for every slot, context and mapping that there can be, each once."""
    return power_of_two(
        16 * (MAX_LINKS + MAX_SHARES + 5 * <uint64_t>c.transports + c.producers + 2 * <uint64_t>c.recv_streams + 2 * <uint64_t>c.send_streams)
    )


cdef uint64_t history_bytes(const Capacities *c) noexcept nogil:
    return power_of_two(c.history_bytes if c.history_bytes > MIN_HISTORY else MIN_HISTORY)


cdef uint64_t plan_tables(SlabHeader *plan, const Capacities *c) noexcept nogil:
    """Where each table lies; the size of all."""
    cdef uint64_t at = sizeof(SlabHeader)
    at = slab_plan(plan, TABLE_CORE, sizeof(Counters), 1, at)
    at = slab_plan(plan, TABLE_SOCKETS, sizeof(Socket), 2 * c.transports, at)
    at = slab_plan(plan, TABLE_CONNECTIONS, sizeof(Connection), MAX_CONNECTIONS, at)
    at = slab_plan(plan, TABLE_TUPLES, sizeof(Tuple), 4 * c.transports, at)
    at = slab_plan(plan, TABLE_TRANSPORTS, sizeof(Transport), c.transports, at)
    at = slab_plan(plan, TABLE_PRODUCERS, sizeof(Producer), c.producers, at)
    at = slab_plan(plan, TABLE_RECV, sizeof(RecvStream), c.recv_streams, at)
    at = slab_plan(plan, TABLE_SEND, sizeof(SendStream), c.send_streams, at)
    at = slab_plan(plan, TABLE_NACKS, sizeof(NackList), c.recv_streams, at)
    at = slab_plan(plan, TABLE_SENT, sizeof(SentBlock), c.send_streams, at)
    at = slab_plan(plan, TABLE_SSRCS, sizeof(SsrcEntry), 2 * c.recv_streams + 2 * c.send_streams, at)
    at = slab_plan(plan, TABLE_BACKLOG, sizeof(Backlog), MAX_BACKLOG, at)
    at = slab_plan(plan, TABLE_HISTORY, history_bytes(c), 1, at)
    return slab_plan(
        plan, TABLE_QUEUES, ring_bytes(COMMAND_BYTES) + ring_bytes(EVENT_BYTES) + ring_bytes(freed_bytes(c)), 1, at
    )


cdef void memory_plan(SlabHeader *plan, const Capacities *capacities) noexcept nogil:
    memset(plan, 0, sizeof(SlabHeader))
    plan.magic = SLAB_MAGIC
    plan.version = SLAB_VERSION
    plan.bytes = plan_tables(plan, capacities)
    plan.layout = slab_layout(plan)


cdef uint64_t memory_bytes(const Capacities *capacities) noexcept nogil:
    cdef SlabHeader plan
    memory_plan(&plan, capacities)
    return plan.bytes


cdef uint8_t *table_at(const Core *core, uint32_t kind) noexcept nogil:
    return core.base + core.header.tables[kind].offset


cdef bint memory_open(Core *core, Ends *ends, const Capacities *capacities, int slab_fd) noexcept nogil:
    cdef SlabHeader plan
    memory_plan(&plan, capacities)
    core.base = <uint8_t *>slab_map(slab_fd, plan.bytes)
    if core.base == NULL:
        return False
    ends.slab_bytes = plan.bytes
    core.header = <SlabHeader *>core.base
    core.header[0] = plan
    core.history_size = history_bytes(capacities)
    name_tables(core)
    attach_rings(core, ends, freed_bytes(capacities))
    return open_free_lists(core, ends) and open_local(core, capacities)


cdef void name_tables(Core *core) noexcept nogil:
    core.counters = <Counters *>table_at(core, TABLE_CORE)
    core.sockets = <Socket *>table_at(core, TABLE_SOCKETS)
    core.connections = <Connection *>table_at(core, TABLE_CONNECTIONS)
    core.tuples = <Tuple *>table_at(core, TABLE_TUPLES)
    core.transports = <Transport *>table_at(core, TABLE_TRANSPORTS)
    core.producers = <Producer *>table_at(core, TABLE_PRODUCERS)
    core.recv = <RecvStream *>table_at(core, TABLE_RECV)
    core.send = <SendStream *>table_at(core, TABLE_SEND)
    core.nacks = <NackList *>table_at(core, TABLE_NACKS)
    core.sent = <SentBlock *>table_at(core, TABLE_SENT)
    core.ssrcs = <SsrcEntry *>table_at(core, TABLE_SSRCS)
    core.backlog = <Backlog *>table_at(core, TABLE_BACKLOG)
    core.history = table_at(core, TABLE_HISTORY)


cdef void attach_rings(Core *core, Ends *ends, uint64_t freed) noexcept nogil:
    cdef uint8_t *commands = table_at(core, TABLE_QUEUES)
    cdef uint8_t *events = commands + ring_bytes(COMMAND_BYTES)
    cdef uint8_t *last = events + ring_bytes(EVENT_BYTES)
    ring_attach(&ends.commands, commands, COMMAND_BYTES, True)
    ring_attach(&core.commands, commands, COMMAND_BYTES, False)
    ring_attach(&core.events, events, EVENT_BYTES, True)
    ring_attach(&ends.events, events, EVENT_BYTES, False)
    ring_attach(&core.freed, last, freed, True)
    ring_attach(&ends.freed, last, freed, False)


cdef bint open_free_lists(Core *core, Ends *ends) noexcept nogil:
    cdef uint32_t kind
    for kind in range(SLAB_TABLES):
        if kind in (
            TABLE_SOCKETS, TABLE_TRANSPORTS, TABLE_PRODUCERS, TABLE_RECV, TABLE_SEND, TABLE_NACKS, TABLE_SENT,
        ) and not free_list_init(&ends.slots[kind], core.header.tables[kind].capacity):
            return False
    return (
        free_list_init(&core.free_connections, core.header.tables[<int>TABLE_CONNECTIONS].capacity)
        and free_list_init(&core.free_tuples, core.header.tables[<int>TABLE_TUPLES].capacity)
        and free_list_init(&core.free_ssrcs, core.header.tables[<int>TABLE_SSRCS].capacity)
        and free_list_init(&core.free_backlog, core.header.tables[<int>TABLE_BACKLOG].capacity)
    )


cdef uint32_t *new_buckets(uint32_t mask) noexcept nogil:
    cdef uint32_t *buckets = <uint32_t *>calloc(<size_t>mask + 1, sizeof(uint32_t))
    if buckets != NULL:
        memset(buckets, 0xFF, (<size_t>mask + 1) * sizeof(uint32_t))
    return buckets


cdef bint open_local(Core *core, const Capacities *c) noexcept nogil:
    core.tuple_mask = <uint32_t>power_of_two(4 * <uint64_t>c.transports) - 1
    core.ufrag_mask = <uint32_t>power_of_two(2 * <uint64_t>c.transports) - 1
    core.ssrc_mask = <uint32_t>power_of_two(2 * <uint64_t>c.send_streams) - 1
    core.tuple_buckets = new_buckets(core.tuple_mask)
    core.ufrag_buckets = new_buckets(core.ufrag_mask)
    core.ssrc_buckets = new_buckets(core.ssrc_mask)
    core.srtp_in = <SrtpContext **>calloc(c.transports, sizeof(SrtpContext *))
    core.srtp_out = <SrtpContext **>calloc(c.transports, sizeof(SrtpContext *))
    core.heap = <uint32_t *>calloc(c.transports, sizeof(uint32_t))
    core.slots = <uint8_t *>calloc(BATCH + NET_RX, SLOT_SIZE)
    core.touched = NONE
    if core.tuple_buckets == NULL or core.ufrag_buckets == NULL or core.ssrc_buckets == NULL or core.slots == NULL:
        return False
    net_rx_init(&core.rx, core.slots + <size_t>BATCH * SLOT_SIZE)
    return core.srtp_in != NULL and core.srtp_out != NULL and core.heap != NULL


cdef void memory_close_contents(Core *core, Ends *ends) noexcept nogil:
    cdef uint32_t i
    for i in range(ends.slots[<int>TABLE_TRANSPORTS].fresh):
        srtp_context_free(core.srtp_in[i])
        srtp_context_free(core.srtp_out[i])
    for i in range(ends.slots[<int>TABLE_SOCKETS].fresh):
        if core.sockets[i].head.state != SLOT_FREE and core.sockets[i].fd >= 0:
            close(core.sockets[i].fd)
    for i in range(core.free_connections.fresh):
        if core.connections[i].head.state != SLOT_FREE and core.connections[i].fd >= 0:
            close(core.connections[i].fd)
    for i in range(MAX_LINKS):
        if core.links[i].memory != NULL:
            memory_close_link(core, i)
    for i in range(MAX_SHARES):
        if core.shares[i].memory != NULL:
            memory_close_share(core, i)


cdef uint32_t memory_open_link(
    Core *core, int fd, uint64_t capacity, uint32_t side, int bell_in, int bell_out
) noexcept nogil:
    """Side 0 writes the first ring and reads the second, side 1 the other way round."""
    cdef uint32_t i = 0
    cdef Link *link
    cdef uint8_t *second
    while i < MAX_LINKS and core.links[i].memory != NULL:
        i += 1
    if i == MAX_LINKS:
        return NONE
    link = &core.links[i]
    memset(link, 0, sizeof(Link))
    link.bytes = 2 * ring_bytes(capacity)
    link.memory = slab_map(fd, link.bytes)
    if link.memory == NULL:
        return NONE
    second = <uint8_t *>link.memory + ring_bytes(capacity)
    ring_attach(&link.outgoing, second if side else <uint8_t *>link.memory, capacity, True)
    ring_attach(&link.incoming, <uint8_t *>link.memory if side else second, capacity, False)
    link.bell_in = bell_in
    link.bell_out = bell_out
    return i


cdef void memory_close_link(Core *core, uint32_t link) noexcept nogil:
    slab_unmap(core.links[link].memory, core.links[link].bytes)
    close(core.links[link].bell_in)
    close(core.links[link].bell_out)
    core.links[link].memory = NULL


cdef uint32_t memory_open_share(Core *core, int fd, uint64_t bytes, uint32_t number, uint32_t own) noexcept nogil:
    cdef uint32_t i = 0
    cdef Share *share
    while i < MAX_SHARES and core.shares[i].memory != NULL:
        i += 1
    if i == MAX_SHARES:
        return NONE
    share = &core.shares[i]
    memset(share, 0, sizeof(Share))
    memset(share.sockets, 0xFF, sizeof(share.sockets))
    share.number = number
    share.bytes = bytes
    share.memory = slab_map(fd, bytes)
    if share.memory == NULL:
        return NONE
    if not flows_attach(&share.flows, share.memory, bytes, own):
        memory_close_share(core, i)
        return NONE
    return i


cdef void memory_close_share(Core *core, uint32_t share) noexcept nogil:
    slab_unmap(core.shares[share].memory, core.shares[share].bytes)
    core.shares[share].memory = NULL


cdef void memory_close(Core *core, Ends *ends) noexcept nogil:
    cdef uint32_t kind
    for kind in range(SLAB_TABLES):
        free_list_destroy(&ends.slots[kind])
    free_list_destroy(&core.free_connections)
    free_list_destroy(&core.free_tuples)
    free_list_destroy(&core.free_ssrcs)
    free_list_destroy(&core.free_backlog)
    free(core.tuple_buckets)
    free(core.ufrag_buckets)
    free(core.ssrc_buckets)
    free(core.srtp_in)
    free(core.srtp_out)
    free(core.heap)
    free(core.slots)
    if core.base != NULL:
        slab_unmap(core.base, ends.slab_bytes)
