"""The media thread: waits, reads everything that came, lets the stages do their work, sends, and tells the control thread.

It blocks when idle. When it is woken more than three times within a millisecond it stops arming the kernel for each
packet and sleeps a tick instead: on a virtual machine a wake-up costs as much as dozens of packets.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove

from sfu_core._bytes cimport load16
from sfu_core._commands cimport close_connection, open_connection, release_connection, run_commands
from sfu_core._core cimport Link
from sfu_core._events cimport (
    EVENT_DATAGRAM, FREED_LINK, event_bytes, event_connection, handle_of, tell_freed, timer_next_ns, timer_take,
)
from sfu_core._feedback cimport feedback_tick, receive_rtcp
from sfu_core._forward cimport forward_if_full, forward_tick, transport_connected
from sfu_core._ice cimport ice_data_on, ice_receive
from sfu_core._links cimport LINK_INGRESS, LINK_RTCP, LINK_RTP, LINK_TAG, link_close, links_awake, links_may_sleep
from sfu_core._net cimport (
    NET_RX, net_accept, net_hear_bell, net_length, net_local, net_monotonic_ns, net_receive, net_ring_bell,
    net_rx_address, net_sleep_ns, net_stream_read, net_unix_ns, net_wait, net_watch,
)
from sfu_core._output cimport connection_tag, connection_writable, count_drop, output_flush, socket_writable
from sfu_core._paths cimport tuple_find, tuple_remove
from sfu_core._receive cimport receive_flush, receive_rtp
from sfu_core._records cimport TABLE_TRANSPORTS, TCP_IN, TF_LINK, Connection, Path, Socket, Transport
from sfu_core._ring cimport ring_awake, ring_consume, ring_may_sleep, ring_peek, ring_publish
from sfu_core._rtp cimport PACKET_DTLS, PACKET_RTCP, PACKET_RTP, PACKET_STUN, packet_kind
from sfu_core._slab cimport NONE, SLOT_LIVE, pen_return, pen_take, slot_commit, slot_open, take_slot
from sfu_core._steering cimport flow_elsewhere, own_socket, steer_datagram, take_ingress
from sfu_core._stream cimport meter_add
from sfu_core._types cimport (
    DROP_OVERSIZED, DROP_TCP_FRAME, DROP_UNKNOWN_KIND, DROP_UNKNOWN_TUPLE, MAX_DATAGRAM, SLOT_SIZE, STALE_MS,
)

cdef extern from "<unistd.h>" nogil:
    int close(int fd) noexcept

cdef enum:
    READS_PER_SOCKET = 8         # of NET_RX datagrams, before the next socket has its turn
    WAKES_PER_MS = 3
    EMPTY_TICKS = 4              # after so many ticks without work it blocks again
    ACCEPTS_PER_TURN = 64
    LINK_BATCH = 1024            # records of one link per turn

cdef int64_t FOREVER = 0x7FFFFFFFFFFFFFFF
cdef int64_t TICK_NS = 400000
cdef int64_t SPIN_NS = 50000
cdef int64_t MS_NS = 1000000
cdef int64_t BEAT_MS = 400       # the longest wait
cdef int64_t UNVERIFIED_NS = 15000000000


cdef struct Pace:
    # How the loop waits.
    int64_t window_ns
    uint32_t wakes               # in the running millisecond
    uint32_t empty
    uint32_t ticking
    uint32_t spin                # latency="low"


cdef void loop_run(Core *core, bint low_latency) noexcept nogil:
    cdef uint64_t tags[64]
    cdef uint32_t ready[64]
    cdef Pace pace
    cdef int64_t housekeeping_ns = 0
    cdef int count
    pace.window_ns = 0
    pace.wakes = 0
    pace.empty = 0
    pace.ticking = 0
    pace.spin = low_latency
    core.now_ns = net_monotonic_ns()
    core.unix_offset_ns = net_unix_ns() - core.now_ns
    while not core.stopping:
        count = wait(core, &pace, tags, ready)
        turn(core, count, tags, ready)
        if core.now_ns - housekeeping_ns > 1000000000:
            housekeeping_ns = core.now_ns
            housekeep(core)
        core.counters.busy_ns += <uint64_t>(net_monotonic_ns() - core.now_ns)


cdef void loop_step(Core *core, int64_t now_ns) noexcept nogil:
    """One turn at a given time, without waiting: what tests drive with a clock of their own."""
    cdef uint64_t tags[64]
    cdef uint32_t ready[64]
    core.now_ns = now_ns
    turn(core, net_wait(core.epoll_fd, 0, tags, ready), tags, ready)


cdef void turn(Core *core, int count, const uint64_t *tags, const uint32_t *ready) noexcept nogil:
    cdef int i
    core.counters.ticks += 1
    core.links_heard = 0
    run_commands(core)
    read_brought(core)
    drain_links(core)
    for i in range(count):
        serve(core, tags[i], ready[i])
    receive_flush(core)
    forward_tick(core)
    core.tick_mark = core.history_head
    run_timers(core)
    output_flush(core)
    if core.wake_control:
        tell_control(core)


cdef void tell_control(Core *core) noexcept nogil:
    core.wake_control = 0
    ring_publish(&core.events)
    ring_publish(&core.freed)
    net_ring_bell(core.event_fd)


# ---------------------------------------------------------------- waiting

cdef int wait(Core *core, Pace *pace, uint64_t *tags, uint32_t *ready) noexcept nogil:
    cdef int count
    if pace.ticking:
        net_sleep_ns(TICK_NS)
        count = net_wait(core.epoll_fd, 0, tags, ready)
        pace.empty = 0 if count or core.links_heard else pace.empty + 1
        if pace.empty >= EMPTY_TICKS:
            pace.ticking = 0
        core.now_ns = net_monotonic_ns()
        return count
    count = block(core, pace, tags, ready)
    core.now_ns = net_monotonic_ns()
    if core.now_ns - pace.window_ns > MS_NS:
        pace.window_ns = core.now_ns
        pace.wakes = 0
    pace.wakes += 1
    if pace.wakes > WAKES_PER_MS and not pace.spin:
        pace.ticking = 1
        pace.empty = 0
    return count


cdef int block(Core *core, Pace *pace, uint64_t *tags, uint32_t *ready) noexcept nogil:
    """Wait in the kernel until a descriptor is ready, a command comes, the next timer is due or it is time for a
    sign of life: `ticks` goes on also when there is nothing to do."""
    cdef int64_t spin_until
    cdef int64_t left
    cdef int count = 0
    if pace.spin:
        spin_until = net_monotonic_ns() + SPIN_NS
        while count == 0 and net_monotonic_ns() < spin_until:
            count = net_wait(core.epoll_fd, 0, tags, ready)
        if count:
            return count
    if not ring_may_sleep(&core.commands) or not links_may_sleep(core):
        ring_awake(&core.commands)
        links_awake(core)
        return net_wait(core.epoll_fd, 0, tags, ready)
    left = timer_next_ns(core)
    if left != FOREVER:
        left = (left - net_monotonic_ns() + MS_NS - 1) // MS_NS
    left = 0 if left < 0 else (BEAT_MS if left > BEAT_MS else left)
    count = net_wait(core.epoll_fd, <int>left, tags, ready)
    ring_awake(&core.commands)
    links_awake(core)
    core.counters.wakes += 1
    return count


cdef void run_timers(Core *core) noexcept nogil:
    cdef uint32_t transport = timer_take(core)
    cdef uint64_t before
    while transport != NONE:
        before = pen_take(&core.counters.pen, TABLE_TRANSPORTS, transport)
        feedback_tick(core, transport)
        pen_return(&core.counters.pen, before)
        transport = timer_take(core)


cdef void housekeep(Core *core) noexcept nogil:
    """Once a second: the wall clock, and TCP connections on which nobody proved anything."""
    cdef uint32_t i
    core.unix_offset_ns = net_unix_ns() - net_monotonic_ns()
    if not core.unverified:
        return
    for i in range(core.free_connections.fresh):
        if core.connections[i].head.state == SLOT_LIVE and core.connections[i].tuple == NONE:
            if core.now_ns - core.connections[i].opened_ns > UNVERIFIED_NS:
                close_connection(core, i)


# ---------------------------------------------------------------- descriptors

cdef void serve(Core *core, uint64_t tag, uint32_t ready) noexcept nogil:
    cdef uint32_t kind = <uint32_t>(tag >> 32)
    cdef uint32_t index = <uint32_t>tag
    if kind == 0:
        net_hear_bell(core.command_fd)
        run_commands(core)
        read_brought(core)
        drain_links(core)
    elif kind == 3:
        net_hear_bell(core.links[index].bell_in)
        drain_links(core)
    elif kind == 1:
        if core.sockets[index].head.state != SLOT_LIVE:
            return
        if ready & 2:
            socket_writable(core, index)
        if ready & 1:
            if core.sockets[index].protocol == 2:
                accept_connections(core, index)
            else:
                drain_socket(core, index)
    elif core.connections[index].head.state == SLOT_LIVE:
        if ready & 2:
            connection_writable(core, index)
        if ready & 1:
            drain_connection(core, index)


cdef void drain_socket(Core *core, uint32_t index) noexcept nogil:
    cdef Socket *s = &core.sockets[index]
    cdef Path path
    cdef uint8_t *data
    cdef uint32_t length
    cdef int rounds, count, i
    path.channel = own_socket(core, index)
    path.tcp = 0
    for rounds in range(READS_PER_SOCKET):
        count = net_receive(&core.rx, s.fd)
        if count <= 0:
            return
        core.counters.datagrams_in += <uint64_t>count
        for i in range(count):
            data = core.rx.slots + <size_t>i * SLOT_SIZE
            length = net_length(&core.rx, i)
            path.remote.length = net_rx_address(&core.rx, i, path.remote.bytes)
            core.counters.bytes_in += length
            if length > MAX_DATAGRAM or not path.remote.length:
                count_drop(core, s.owner, DROP_OVERSIZED)
            elif s.owner != NONE:
                plain_datagram(core, s.owner, &path, data, length)
            else:
                webrtc_datagram(core, s.group, &path, data, length, False)
        receive_flush(core)              # the slots are about to be used again
        forward_if_full(core)
        if count < NET_RX:
            return


cdef void plain_datagram(
    Core *core, uint32_t transport, const Path *path, uint8_t *data, uint32_t length
) noexcept nogil:
    cdef int kind = packet_kind(data, length)
    if kind == PACKET_RTP:
        receive_rtp(core, transport, NONE, path, data, length)
    elif kind == PACKET_RTCP:
        receive_rtcp(core, transport, NONE, path, data, length)
    else:
        count_drop(core, transport, DROP_UNKNOWN_KIND)


cdef void webrtc_datagram(
    Core *core, uint32_t group, const Path *path, uint8_t *data, uint32_t length, bint handed
) noexcept nogil:
    """`handed`: by a neighbour, so it is ours or nobody's."""
    cdef int kind = packet_kind(data, length)
    cdef uint32_t transport, tuple
    if kind == PACKET_STUN:
        transport = ice_receive(core, path, group, data, length, handed)
        if transport != NONE:
            transport_connected(core, transport)
        return
    tuple = core.connections[path.channel].tuple if path.tcp else tuple_find(core, path)
    if tuple != NONE and not path.tcp and core.sockets[path.channel].share:
        tuple = still_ours(core, tuple, path)
    if tuple == NONE:
        if handed or not steer_datagram(core, path, data, length):
            count_drop(core, NONE, DROP_UNKNOWN_TUPLE)
        return
    transport = core.tuples[tuple].transport
    if kind == PACKET_RTP:
        receive_rtp(core, transport, tuple, path, data, length)
    elif kind == PACKET_RTCP:
        receive_rtcp(core, transport, tuple, path, data, length)
    elif kind == PACKET_DTLS:
        meter_add(&core.transports[transport].received, length)
        ice_data_on(core, tuple)
        event_bytes(core, EVENT_DATAGRAM, handle_of(&core.transports[transport].head, transport), data, length)
    else:
        count_drop(core, transport, DROP_UNKNOWN_KIND)


cdef uint32_t still_ours(Core *core, uint32_t tuple, const Path *path) noexcept nogil:
    """The address has changed hands if nobody proved it here for a while, and somebody did on another core."""
    if core.now_ns - core.tuples[tuple].checked_ns < <int64_t>STALE_MS * 1000000 or not flow_elsewhere(core, path):
        return tuple
    tuple_remove(core, tuple)
    return NONE


# ---------------------------------------------------------------- rings to neighbours

cdef void drain_links(Core *core) noexcept nogil:
    cdef uint32_t i
    for i in range(core.link_count):
        if core.links[i].live:
            drain_link(core, &core.links[i])
            if core.links[i].closing:            # what a neighbour wrote before it died counts
                finish_link(core, i)


cdef void finish_link(Core *core, uint32_t index) noexcept nogil:
    receive_flush(core)
    forward_tick(core)
    output_flush(core)
    link_close(core, index)
    tell_freed(core, FREED_LINK, index)


cdef void drain_link(Core *core, Link *link) noexcept nogil:
    cdef const uint8_t *data
    cdef uint32_t kind = 0
    cdef uint32_t length = 0
    cdef uint32_t count = 0
    while count < LINK_BATCH:
        data = ring_peek(&link.incoming, &kind, &length)
        if data == NULL:
            break
        core.links_heard = 1
        if kind == LINK_INGRESS:
            link_datagram(core, <uint8_t *>data, length)
        elif length >= LINK_TAG and length <= LINK_TAG + SLOT_SIZE:
            link_packet(core, kind, <uint8_t *>data, length)
        else:
            count_drop(core, NONE, DROP_OVERSIZED)
        ring_consume(&link.incoming, length)
        count += 1
    if core.handed:
        flush_handed(core)


cdef void link_datagram(Core *core, uint8_t *record, uint32_t length) noexcept nogil:
    """From the network, on a port that we share with the neighbour; the copy is what is looked at."""
    cdef Path path
    cdef uint8_t *data = take_ingress(core, record, &length, &path)
    if data == NULL:
        count_drop(core, NONE, DROP_UNKNOWN_TUPLE)
        return
    core.counters.handed_in += 1
    core.handed += 1
    webrtc_datagram(core, core.sockets[path.channel].group, &path, data, length, True)
    if core.handed == NET_RX:
        flush_handed(core)


cdef void flush_handed(Core *core) noexcept nogil:
    """The receive slots are about to be used again."""
    receive_flush(core)
    forward_if_full(core)
    core.handed = 0


cdef void link_packet(Core *core, uint32_t kind, uint8_t *data, uint32_t length) noexcept nogil:
    """In place; it is in the history, or answered, before its room is given back."""
    cdef uint64_t tag = 0
    cdef uint32_t index
    cdef Transport *t
    memcpy(&tag, data, LINK_TAG)
    index = <uint32_t>tag
    if index >= core.header.tables[<int>TABLE_TRANSPORTS].capacity:
        count_drop(core, NONE, DROP_UNKNOWN_TUPLE)
        return
    t = &core.transports[index]
    if t.head.state != SLOT_LIVE or t.head.generation != <uint32_t>(tag >> 32) or not t.flags & TF_LINK:
        count_drop(core, NONE, DROP_UNKNOWN_TUPLE)
    elif kind == LINK_RTP:
        receive_rtp(core, index, NONE, &t.path, data + LINK_TAG, length - LINK_TAG)
        receive_flush(core)
        forward_if_full(core)
    elif kind == LINK_RTCP:
        receive_rtcp(core, index, NONE, &t.path, data + LINK_TAG, length - LINK_TAG)


# ---------------------------------------------------------------- TCP

cdef void accept_connections(Core *core, uint32_t socket) noexcept nogil:
    cdef uint32_t length = 0
    cdef uint8_t address[28]
    cdef int fd, i
    for i in range(ACCEPTS_PER_TURN):
        fd = net_accept(core.sockets[socket].fd, address, &length)
        if fd < 0:
            return
        open_connection(core, own_socket(core, socket), fd)


cdef void read_brought(Core *core) noexcept nogil:
    """What connections have said before neighbours brought them."""
    cdef uint32_t index
    while core.first_unread:
        index = core.first_unread - 1
        core.first_unread = core.connections[index].next_unread
        core.connections[index].unread = 0
        if core.connections[index].head.state == SLOT_LIVE and not take_frames(core, index, 0):
            close_connection(core, index)


cdef void leave_connection(Core *core, uint32_t index, uint32_t at) noexcept nogil:
    """To the core that its request, at `at` of the buffer, names; by way of the control threads."""
    cdef Connection *c = &core.connections[index]
    cdef Socket *s = &core.sockets[c.socket]
    if not event_connection(
        core, core.shares[s.share - 1].number, s.listener, c.wanted - 1, c.fd, c.incoming + at, c.in_length - at
    ):
        close_connection(core, index)
        return
    release_connection(core, index)
    core.leaving += 1
    core.counters.tcp_handed_out += 1


cdef void drain_connection(Core *core, uint32_t index) noexcept nogil:
    cdef Connection *c = &core.connections[index]
    cdef long count
    cdef int rounds
    for rounds in range(READS_PER_SOCKET):
        count = net_stream_read(c.fd, c.incoming + c.in_length, TCP_IN - c.in_length)
        if count == 0:
            return
        if count < 0 or not take_frames(core, index, <uint32_t>count):
            receive_flush(core)
            forward_tick(core)
            output_flush(core)
            if c.head.state == SLOT_LIVE:
                close_connection(core, index)
            return


cdef bint take_frames(Core *core, uint32_t index, uint32_t fresh) noexcept nogil:
    """All whole frames of the buffer; False if the connection does not speak RFC 4571."""
    cdef Connection *c = &core.connections[index]
    cdef uint32_t at = 0
    cdef uint32_t length
    cdef Path path
    path.channel = index
    path.tcp = 1
    path.remote = c.remote
    c.in_length += fresh
    while c.in_length - at >= 2:
        length = load16(c.incoming + at)
        if length > MAX_DATAGRAM:
            count_drop(core, NONE, DROP_TCP_FRAME)
            return False
        if c.in_length - at < 2 + length:
            break
        core.counters.datagrams_in += 1
        core.counters.bytes_in += length
        webrtc_datagram(core, core.sockets[c.socket].group, &path, c.incoming + at + 2, length, False)
        if c.head.state != SLOT_LIVE:
            return True
        if c.wanted:
            leave_connection(core, index, at)
            return True
        at += 2 + length
    receive_flush(core)                  # the buffer is about to move
    forward_if_full(core)
    memmove(c.incoming, c.incoming + at, c.in_length - at)
    c.in_length -= at
    return True
