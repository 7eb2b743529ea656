"""The way out: a batch of packets is protected together, cut into runs and handed to the kernel.

Packets of one consumer that follow each other in the batch, go to one address and have one size (the last may be
shorter) leave as one message with UDP GSO; all messages of one socket leave in one sendmmsg. What a full socket does
not take waits in its backlog, in order and bounded; the oldest goes first when that is full.
"""

from libc.string cimport memcpy

from sfu_core._bytes cimport load32, store16
from sfu_core._core cimport BATCH, Outgoing
from sfu_core._events cimport EVENT_RTCP, event_bytes, handle_of
from sfu_core._links cimport LINK_RTCP, link_commit, link_reserve, links_publish
from sfu_core._net cimport (
    NET_BLOCKED, NET_NO_GSO, NET_SENT_ALL, net_send, net_send_one, net_stream_write, net_tx_datagram, net_tx_message,
    net_tx_reset, net_tx_segment, net_tx_segments, net_watch,
)
from sfu_core._records cimport (
    INDEX_BLOCK, TCP_OUT, TF_KEYED, TF_LINK, TF_PATH, TF_RTCP_MUX, TF_RTCP_PATH, TF_SRTP, Backlog, Socket,
)
from sfu_core._slab cimport NONE, SLOT_LIVE, give_slot, take_slot
from sfu_core._srtp cimport SRTP_OK, SrtpJob, srtp_protect
from sfu_core._stream cimport meter_add
from sfu_core._types cimport (
    DROP_NOT_CONNECTED, DROP_SEND_BACKLOG, DROP_SEND_FAILED, DROP_SRTP_FAILED, SLOT_SIZE, TRANSPORT_DIRECT,
)

cdef enum:
    GSO_MAX_SEGMENTS = 64        # of one message; older kernels take no more
    GSO_MAX_BYTES = 60000
    BACKLOG_PER_SOCKET = 512


cdef inline uint8_t *slot_at(Core *core, uint32_t index) noexcept nogil:
    return core.slots + <size_t>index * SLOT_SIZE


cdef uint8_t *output_slot(Core *core) noexcept nogil:
    if core.out_count == BATCH:
        output_flush(core)
    return slot_at(core, core.out_count)


cdef inline Outgoing *next_outgoing(Core *core, uint32_t transport, const Path *path, uint32_t length) noexcept nogil:
    cdef Outgoing *out = &core.out[core.out_count]
    out.transport = transport
    out.path = path
    out.length = length
    out.job = NONE
    out.control = 0
    core.out_count += 1
    return out


cdef void output_rtp(
    Core *core, uint32_t transport, uint32_t ssrc, uint64_t index,
    uint32_t header_length, const uint8_t *payload, uint32_t payload_length
) noexcept nogil:
    cdef Transport *t = &core.transports[transport]
    cdef uint8_t *slot = slot_at(core, core.out_count)
    cdef Outgoing *out = next_outgoing(core, transport, &t.path, header_length + payload_length)
    cdef SrtpJob *job
    if not t.flags & TF_SRTP:
        memcpy(slot + header_length, payload, payload_length)
        return
    job = &core.jobs[core.job_count]
    out.job = core.job_count
    core.job_count += 1
    job.ctx = core.srtp_out[transport]
    job.index = index & <uint64_t>0xFFFFFFFFFFFF
    job.ssrc = ssrc
    job.header = slot
    job.header_len = header_length
    job.payload = payload
    job.payload_len = payload_length
    job.out = slot + header_length
    job.rtcp = False


cdef void output_rtcp(Core *core, uint32_t transport, uint32_t length) noexcept nogil:
    cdef Transport *t = &core.transports[transport]
    cdef uint8_t *slot = slot_at(core, core.out_count)
    cdef const Path *path = &t.path if t.flags & TF_RTCP_MUX else &t.rtcp_path
    cdef Outgoing *out
    cdef SrtpJob *job
    if t.kind == TRANSPORT_DIRECT:
        event_bytes(core, EVENT_RTCP, handle_of(&t.head, transport), slot, length)
        return
    if t.flags & TF_LINK:
        copy_to_link(core, transport, slot, length)
        return
    if not t.flags & (TF_PATH if t.flags & TF_RTCP_MUX else TF_RTCP_PATH):
        count_drop(core, transport, DROP_NOT_CONNECTED)
        return
    if t.flags & TF_SRTP and not t.flags & TF_KEYED:
        count_drop(core, transport, DROP_NOT_CONNECTED)
        return
    out = next_outgoing(core, transport, path, length)
    out.control = 1
    if not t.flags & TF_SRTP:
        return
    if t.rtcp_index >= t.rtcp_reserved:
        t.rtcp_reserved = t.rtcp_index + INDEX_BLOCK
    job = &core.jobs[core.job_count]
    out.job = core.job_count
    core.job_count += 1
    job.ctx = core.srtp_out[transport]
    job.index = t.rtcp_index & 0x7FFFFFFF
    job.ssrc = load32(slot + 4)
    job.header = slot
    job.header_len = 8
    job.payload = slot + 8
    job.payload_len = length - 8
    job.out = slot + 8
    job.rtcp = True
    t.rtcp_index += 1


cdef void copy_to_link(Core *core, uint32_t transport, const uint8_t *data, uint32_t length) noexcept nogil:
    cdef uint8_t *place
    if not core.transports[transport].flags & TF_PATH:
        count_drop(core, transport, DROP_NOT_CONNECTED)
        return
    place = link_reserve(core, transport, length)
    if place != NULL:
        memcpy(place, data, length)
        link_commit(core, transport, LINK_RTCP, length)


cdef void output_raw(Core *core, uint32_t transport, const Path *path, uint32_t length) noexcept nogil:
    cdef Path *copy = &core.control_paths[core.out_count]
    copy[0] = path[0]
    next_outgoing(core, transport, copy, length).control = 1


cdef void finish_protection(Core *core) noexcept nogil:
    """Fill in the lengths that protection gave; a packet that could not be protected is not sent (length 0)."""
    cdef uint32_t i
    cdef Outgoing *out
    cdef SrtpJob *job
    for i in range(core.out_count):
        out = &core.out[i]
        if out.job == NONE:
            continue
        job = &core.jobs[out.job]
        if job.status == SRTP_OK:
            out.length = job.header_len + job.out_len
        else:
            out.length = 0
            count_drop(core, out.transport, DROP_SRTP_FAILED)


cdef void output_flush(Core *core) noexcept nogil:
    cdef uint32_t i = 0
    links_publish(core)                  # neighbours begin while we encrypt and send
    if core.job_count:
        srtp_protect(core.jobs, core.job_count)
        core.counters.protect_calls += 1
        core.counters.protected_packets += core.job_count
        finish_protection(core)
    while i < core.out_count:
        if core.out[i].length == 0:
            i += 1
        elif core.out[i].path.tcp:
            i = send_stream_run(core, i)
        else:
            i = send_socket_run(core, i)
    core.out_count = 0
    core.job_count = 0


cdef inline void count_sent(Core *core, const Outgoing *out) noexcept nogil:
    core.counters.datagrams_out += 1
    core.counters.bytes_out += out.length
    if out.transport != NONE:
        meter_add(&core.transports[out.transport].sent, out.length)


# ---------------------------------------------------------------- UDP

cdef uint32_t send_socket_run(Core *core, uint32_t start) noexcept nogil:
    """Send packets from `start` on as long as they use one socket; the first index not handled."""
    cdef uint32_t channel = core.out[start].path.channel
    cdef Socket *s = &core.sockets[channel]
    cdef uint32_t i = start
    cdef uint32_t end
    net_tx_reset(&core.tx)
    while i < core.out_count and not core.out[i].path.tcp and core.out[i].path.channel == channel:
        if core.out[i].length == 0:
            i += 1
            continue
        end = run_end(core, i, not s.gso_refused)
        add_run(core, i, end)
        i = end
    if s.head.state != SLOT_LIVE:
        return i
    if s.backlog_count:
        backlog_from(core, channel, 0)
    else:
        send_messages(core, channel)
    return i


cdef inline uint32_t run_end(const Core *core, uint32_t start, bint gso) noexcept nogil:
    """The end of the packets from `start` on that may leave as one message."""
    cdef const Outgoing *first = &core.out[start]
    cdef const Outgoing *out
    cdef uint32_t total = first.length
    cdef uint32_t i = start + 1
    if first.control or not gso:
        return i
    while i < core.out_count and i - start < GSO_MAX_SEGMENTS:
        out = &core.out[i]
        if out.path != first.path or out.control or out.length == 0 or out.length > first.length:
            break
        if total + out.length > GSO_MAX_BYTES:
            break
        total += out.length
        i += 1
        if out.length < first.length:
            break
    return i


cdef inline void add_run(Core *core, uint32_t start, uint32_t end) noexcept nogil:
    cdef const Path *path = core.out[start].path
    cdef uint32_t i
    net_tx_message(&core.tx, path.remote.bytes, path.remote.length, start)
    for i in range(start, end):
        net_tx_datagram(&core.tx, slot_at(core, i), core.out[i].length)
    if end - start > 1:
        net_tx_segment(&core.tx, <uint16_t>core.out[start].length)
        core.counters.gso_messages += 1
        core.counters.gso_segments += end - start


cdef void send_messages(Core *core, uint32_t channel) noexcept nogil:
    """All messages of `core.tx` over one socket, whatever the kernel says of some of them."""
    cdef Socket *s = &core.sockets[channel]
    cdef uint32_t done = 0
    cdef uint32_t sent = 0
    cdef uint32_t i
    cdef int why
    while done < core.tx.count:
        why = net_send(&core.tx, s.fd, done, &sent)
        core.counters.sends += 1
        if why == NET_SENT_ALL:
            for i in range(done, done + sent):
                count_message(core, i)
            done += sent
        elif why == NET_BLOCKED:
            s.would_block += 1
            core.counters.would_block += 1
            backlog_from(core, channel, done)
            return
        elif why == NET_NO_GSO:
            s.gso_refused = 1
            core.counters.gso_refused += 1
            send_message_singly(core, channel, done)
            done += 1
        else:
            drop_message(core, channel, done)
            done += 1


cdef inline void count_message(Core *core, uint32_t message) noexcept nogil:
    cdef uint32_t i = core.tx.first[message]
    cdef uint32_t left = net_tx_segments(&core.tx, message)
    core.counters.messages += 1
    while left:
        count_sent(core, &core.out[i])
        i += 1
        left -= 1


cdef void drop_message(Core *core, uint32_t channel, uint32_t message) noexcept nogil:
    cdef uint32_t i = core.tx.first[message]
    cdef uint32_t end = i + net_tx_segments(&core.tx, message)
    core.sockets[channel].send_errors += 1
    core.counters.send_errors += 1
    while i < end:
        count_drop(core, core.out[i].transport, DROP_SEND_FAILED)
        i += 1


cdef void send_message_singly(Core *core, uint32_t channel, uint32_t message) noexcept nogil:
    """The device refuses GSO: the packets of this message leave one by one, none is lost."""
    cdef Socket *s = &core.sockets[channel]
    cdef uint32_t i = core.tx.first[message]
    cdef uint32_t end = i + net_tx_segments(&core.tx, message)
    cdef const Outgoing *out
    cdef int why
    while i < end:
        out = &core.out[i]
        why = net_send_one(s.fd, slot_at(core, i), out.length, out.path.remote.bytes, out.path.remote.length)
        if why == NET_SENT_ALL:
            count_sent(core, out)
        elif why == NET_BLOCKED:
            append_backlog(core, channel, out, slot_at(core, i))
        else:
            count_drop(core, out.transport, DROP_SEND_FAILED)
        i += 1


# ---------------------------------------------------------------- backlog

cdef void backlog_from(Core *core, uint32_t channel, uint32_t message) noexcept nogil:
    """Keep the messages from `message` on until the socket takes them."""
    cdef uint32_t i, end
    while message < core.tx.count:
        i = core.tx.first[message]
        end = i + net_tx_segments(&core.tx, message)
        while i < end:
            append_backlog(core, channel, &core.out[i], slot_at(core, i))
            i += 1
        message += 1
    watch_socket(core, channel, True)


cdef void watch_socket(Core *core, uint32_t channel, bint writable) noexcept nogil:
    cdef Socket *s = &core.sockets[channel]
    if s.waits_writable != <uint32_t>writable:
        s.waits_writable = writable
        net_watch(core.epoll_fd, s.fd, socket_tag(channel), False, writable)


cdef void append_backlog(Core *core, uint32_t channel, const Outgoing *out, const uint8_t *data) noexcept nogil:
    cdef Socket *s = &core.sockets[channel]
    cdef uint32_t index
    cdef Backlog *entry
    if s.backlog_count >= BACKLOG_PER_SOCKET:
        remove_oldest(core, s)
        count_drop(core, out.transport, DROP_SEND_BACKLOG)
    index = take_slot(&core.free_backlog)
    if index == NONE:
        count_drop(core, out.transport, DROP_SEND_BACKLOG)
        return
    count_sent(core, out)
    entry = &core.backlog[index]
    entry.next = NONE
    entry.length = out.length
    entry.remote = out.path.remote
    memcpy(entry.data, data, out.length)
    if s.backlog_count == 0:
        s.backlog_first = index
    else:
        core.backlog[s.backlog_last].next = index
    s.backlog_last = index
    s.backlog_count += 1


cdef void remove_oldest(Core *core, Socket *s) noexcept nogil:
    cdef uint32_t index = s.backlog_first
    s.backlog_first = core.backlog[index].next
    s.backlog_count -= 1
    give_slot(&core.free_backlog, index)


cdef void drop_backlog(Core *core, uint32_t socket) noexcept nogil:
    cdef Socket *s = &core.sockets[socket]
    while s.backlog_count:
        remove_oldest(core, s)


cdef void socket_writable(Core *core, uint32_t socket) noexcept nogil:
    cdef Socket *s = &core.sockets[socket]
    cdef Backlog *entry
    while s.backlog_count:
        entry = &core.backlog[s.backlog_first]
        if net_send_one(s.fd, entry.data, entry.length, entry.remote.bytes, entry.remote.length) == NET_BLOCKED:
            return
        remove_oldest(core, s)
    watch_socket(core, socket, False)


# ---------------------------------------------------------------- TCP (RFC 4571: each packet behind its length)

cdef uint32_t send_stream_run(Core *core, uint32_t start) noexcept nogil:
    cdef uint32_t channel = core.out[start].path.channel
    cdef Connection *c = &core.connections[channel]
    cdef uint32_t i = start
    cdef bint live = c.head.state == SLOT_LIVE
    while i < core.out_count and core.out[i].path.tcp and core.out[i].path.channel == channel:
        if core.out[i].length and live:
            if append_frame(c, slot_at(core, i), core.out[i].length):
                count_sent(core, &core.out[i])
            else:
                count_drop(core, core.out[i].transport, DROP_SEND_BACKLOG)
        i += 1
    if live:
        connection_writable(core, channel)
    return i


cdef bint append_frame(Connection *c, const uint8_t *data, uint32_t length) noexcept nogil:
    if c.out_length + 2 + length > TCP_OUT:
        return False
    store16(c.outgoing + c.out_length, <uint16_t>length)
    memcpy(c.outgoing + c.out_length + 2, data, length)
    c.out_length += 2 + length
    return True


cdef void connection_writable(Core *core, uint32_t connection) noexcept nogil:
    """Write what waits; an error shows as end of file to the reader, who closes the connection."""
    cdef Connection *c = &core.connections[connection]
    cdef long count
    cdef bint waiting
    while c.out_start < c.out_length:
        count = net_stream_write(c.fd, c.outgoing + c.out_start, c.out_length - c.out_start)
        if count <= 0:
            break
        c.out_start += <uint32_t>count
    waiting = c.out_start < c.out_length
    if not waiting:
        c.out_start = 0
        c.out_length = 0
    elif c.out_start > TCP_OUT // 2:
        move_down(c)
    if c.waits_writable != <uint32_t>waiting:
        c.waits_writable = waiting
        net_watch(core.epoll_fd, c.fd, connection_tag(connection), False, waiting)


cdef void move_down(Connection *c) noexcept nogil:
    cdef uint32_t left = c.out_length - c.out_start
    if left <= c.out_start:
        memcpy(c.outgoing, c.outgoing + c.out_start, left)
        c.out_start = 0
        c.out_length = left
