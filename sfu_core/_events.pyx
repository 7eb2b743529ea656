"""What the media thread tells the control thread, and when it wants to be called again (see the .pxd)."""

from libc.string cimport memcpy, memset

from sfu_core._ring cimport ring_commit, ring_reserve, ring_used
from sfu_core._types cimport DROP_QUEUE_FULL

cdef int64_t FOREVER = 0x7FFFFFFFFFFFFFFF


cdef Event *open_event(Core *core, uint32_t code, uint64_t handle, uint32_t tail) noexcept nogil:
    """Room for an event and `tail` bytes behind it, or NULL."""
    cdef Event *event = <Event *>ring_reserve(&core.events, <uint32_t>sizeof(Event) + tail)
    if event == NULL:
        core.events_lost += 1
        core.counters.drops[<int>DROP_QUEUE_FULL] += 1
        return NULL
    memset(event, 0, sizeof(Event))
    event.handle = handle
    return event


cdef inline void close_event(Core *core, uint32_t code, uint32_t tail) noexcept nogil:
    ring_commit(&core.events, code, <uint32_t>sizeof(Event) + tail)
    core.counters.events += 1
    core.wake_control = 1


cdef void event_value(Core *core, uint32_t code, uint64_t handle, int64_t a, int64_t b) noexcept nogil:
    cdef Event *event = open_event(core, code, handle, 0)
    if event != NULL:
        event.a = a
        event.b = b
        close_event(core, code, 0)


cdef void event_path(Core *core, uint32_t code, uint32_t transport, const Path *path) noexcept nogil:
    cdef Event *event = open_event(core, code, handle_of(&core.transports[transport].head, transport), 0)
    if event == NULL:
        return
    event.a = 2 if path.tcp else 1
    event.local = core.connections[path.channel].local if path.tcp else core.sockets[path.channel].local
    event.remote = path.remote
    close_event(core, code, 0)


cdef inline bint crowded(Core *core) noexcept nogil:
    return ring_used(&core.events) > core.events.capacity // 4 * 3


cdef bint event_bytes(Core *core, uint32_t code, uint64_t handle, const uint8_t *data, uint32_t length) noexcept nogil:
    cdef Event *event
    if crowded(core):
        core.counters.drops[<int>DROP_QUEUE_FULL] += 1
        return False
    event = open_event(core, code, handle, length)
    if event == NULL:
        return False
    memcpy(<uint8_t *>event + sizeof(Event), data, length)
    close_event(core, code, length)
    return True


cdef bint event_connection(
    Core *core, uint32_t share, uint32_t listener, uint32_t owner, int fd, const uint8_t *data, uint32_t length
) noexcept nogil:
    cdef Event *event
    if crowded(core):
        core.counters.drops[<int>DROP_QUEUE_FULL] += 1
        return False
    event = open_event(core, EVENT_CONNECTION, 0, length)
    if event == NULL:
        return False
    event.a = <int64_t>(<uint64_t>listener << 32 | share)
    event.b = <int64_t>(<uint64_t>owner << 32 | <uint32_t>fd)
    memcpy(<uint8_t *>event + sizeof(Event), data, length)
    close_event(core, EVENT_CONNECTION, length)
    return True


cdef void event_trace(
    Core *core, uint32_t code, uint64_t handle, uint32_t trace, TraceInfo *info
) noexcept nogil:
    cdef Event *event
    if crowded(core):
        core.counters.drops[<int>DROP_QUEUE_FULL] += 1
        return
    event = open_event(core, code, handle, <uint32_t>sizeof(TraceInfo))
    if event == NULL:
        return
    info.unix_ms = (core.now_ns + core.unix_offset_ns) // 1000000
    event.a = trace
    memcpy(<uint8_t *>event + sizeof(Event), info, sizeof(TraceInfo))
    close_event(core, code, <uint32_t>sizeof(TraceInfo))


cdef void tell_freed(Core *core, uint32_t table, uint64_t value) noexcept nogil:
    cdef uint64_t *record = <uint64_t *>ring_reserve(&core.freed, sizeof(uint64_t))
    if record != NULL:                  # the ring is sized for all slots that there are
        record[0] = value
        ring_commit(&core.freed, table, sizeof(uint64_t))
        core.wake_control = 1


# ---------------------------------------------------------------- timers: a binary heap of transport indices

cdef inline int64_t deadline_at(const Core *core, uint32_t place) noexcept nogil:
    return core.transports[core.heap[place]].deadline_ns


cdef inline void put_at(Core *core, uint32_t place, uint32_t transport) noexcept nogil:
    core.heap[place] = transport
    core.transports[transport].timer = place + 1


cdef void sift_up(Core *core, uint32_t place) noexcept nogil:
    cdef uint32_t transport = core.heap[place]
    cdef int64_t deadline = core.transports[transport].deadline_ns
    cdef uint32_t parent
    while place:
        parent = (place - 1) >> 1
        if deadline_at(core, parent) <= deadline:
            break
        put_at(core, place, core.heap[parent])
        place = parent
    put_at(core, place, transport)


cdef void sift_down(Core *core, uint32_t place) noexcept nogil:
    cdef uint32_t transport = core.heap[place]
    cdef int64_t deadline = core.transports[transport].deadline_ns
    cdef uint32_t child
    while True:
        child = 2 * place + 1
        if child >= core.heap_length:
            break
        if child + 1 < core.heap_length and deadline_at(core, child + 1) < deadline_at(core, child):
            child += 1
        if deadline_at(core, child) >= deadline:
            break
        put_at(core, place, core.heap[child])
        place = child
    put_at(core, place, transport)


cdef void timer_want(Core *core, uint32_t transport, int64_t deadline_ns) noexcept nogil:
    cdef uint32_t place = core.transports[transport].timer
    if place and core.transports[transport].deadline_ns <= deadline_ns:
        return
    core.transports[transport].deadline_ns = deadline_ns
    if not place:
        core.heap[core.heap_length] = transport
        core.heap_length += 1
        place = core.heap_length
    sift_up(core, place - 1)


cdef void timer_remove(Core *core, uint32_t transport) noexcept nogil:
    cdef uint32_t place = core.transports[transport].timer
    cdef uint32_t last
    if not place:
        return
    core.transports[transport].timer = 0
    core.heap_length -= 1
    last = core.heap[core.heap_length]
    if place - 1 == core.heap_length:
        return
    put_at(core, place - 1, last)
    sift_up(core, place - 1)
    sift_down(core, core.transports[last].timer - 1)


cdef uint32_t timer_take(Core *core) noexcept nogil:
    cdef uint32_t transport
    if not core.heap_length or deadline_at(core, 0) > core.now_ns:
        return 0xFFFFFFFF
    transport = core.heap[0]
    timer_remove(core, transport)
    return transport


cdef int64_t timer_next_ns(const Core *core) noexcept nogil:
    return deadline_at(core, 0) if core.heap_length else FOREVER
