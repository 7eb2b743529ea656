"""What the control thread asks of the media thread: linking, changing and closing what it has prepared.

The control thread fills a slot, then sends its index; from then on the slot is the media thread's until it says that
it is free again. One queue carries everything, so a command never meets an object that was closed before it.
"""

from libc.string cimport memcpy, memset

from sfu_core._events cimport FREED_CONTEXT, FREED_SHARE, tell_freed, timer_remove, timer_want
from sfu_core._feedback cimport apply_rtcp
from sfu_core._forward cimport (
    forward_if_full, forward_tick, request_key_frame, subscribe, transport_connected, unsubscribe,
)
from sfu_core._links cimport link_open
from sfu_core._net cimport net_local, net_remote, net_unwatch, net_watch
from sfu_core._output cimport (
    connection_tag, count_drop, drop_backlog, output_flush, output_raw, output_slot, socket_tag,
)
from sfu_core._paths cimport (
    forget_tuples, ssrc_add, ssrc_remove, tuple_remove, ufrag_add, ufrag_remove, update_connected,
)
from sfu_core._receive cimport receive_flush, receive_rtp
from sfu_core._records cimport (
    PF_PAUSED, PF_VIDEO, SF_PAUSED, SF_SYNC, TABLE_NACKS, TABLE_PRODUCERS, TABLE_RECV, TABLE_SEND, TABLE_SENT,
    TABLE_SOCKETS, TABLE_TRANSPORTS, TCP_IN, TF_CONNECTED, TF_KEYED, TF_LINK, TF_PATH, TF_RTCP_MUX, TF_RTCP_PATH, Connection,
    Ice, Producer, RecvStream, SendStream, Socket, Transport,
)
from sfu_core._remb cimport remb_init, remb_set_limit
from sfu_core._ring cimport ring_consume, ring_peek
from sfu_core._slab cimport (
    NONE, SLOT_FREE, SLOT_LIVE, chain_add, chain_remove, give_slot, pen_return, pen_take, slot_commit, slot_open,
    slot_retire, take_slot,
)
from sfu_core._srtp cimport SrtpKeys
from sfu_core._twcc cimport twcc_init
from sfu_core._types cimport (
    DROP_NOT_CONNECTED, FEEDBACK_TWCC, FEEDBACK_REMB, FEEDBACK_NONE, SLOT_SIZE, SSRC_MEDIA_IN, SSRC_MEDIA_OUT, SSRC_RTX_IN,
    SSRC_RTX_OUT, TRANSPORT_DIRECT, TRANSPORT_WEBRTC,
)

cdef extern from "<unistd.h>" nogil:
    int close(int fd) noexcept


cdef void run_commands(Core *core) noexcept nogil:
    cdef const uint8_t *data
    cdef const Command *command
    cdef uint32_t kind = 0
    cdef uint32_t length = 0
    cdef uint64_t before
    while True:
        data = ring_peek(&core.commands, &kind, &length)
        if data == NULL:
            return
        core.counters.commands += 1
        command = <const Command *>data
        before = pen_take(&core.counters.pen, table_of(kind), command.index)
        run_command(core, kind, command, data + sizeof(Command), length - <uint32_t>sizeof(Command))
        pen_return(&core.counters.pen, before)
        ring_consume(&core.commands, length)


cdef uint32_t table_of(uint32_t kind) noexcept nogil:
    """Of the record that a command changes."""
    if kind in (COMMAND_ADD_SEND, COMMAND_CLOSE_SEND, COMMAND_PAUSE_SEND, COMMAND_KEY_FRAME, COMMAND_TRACE_SEND):
        return TABLE_SEND
    if kind in (
        COMMAND_ADD_PRODUCER, COMMAND_CLOSE_PRODUCER, COMMAND_PAUSE_PRODUCER, COMMAND_TRACE_PRODUCER, COMMAND_RTP,
    ):
        return TABLE_PRODUCERS
    if kind == COMMAND_ADD_SOCKET or kind == COMMAND_CLOSE_SOCKET:
        return TABLE_SOCKETS
    if kind in (
        COMMAND_STOP, COMMAND_ADD_LINK, COMMAND_CLOSE_LINK, COMMAND_ADD_SHARE, COMMAND_CLOSE_SHARE, COMMAND_NEIGHBOUR,
        COMMAND_CONNECTION, COMMAND_CONNECTION_LEFT,
    ):
        return 0
    return TABLE_TRANSPORTS


cdef void run_command(
    Core *core, uint32_t kind, const Command *command, const uint8_t *tail, uint32_t tail_length
) noexcept nogil:
    cdef uint32_t index = command.index
    if kind == COMMAND_ADD_SEND:
        add_send(core, index)
    elif kind == COMMAND_CLOSE_SEND:
        close_send(core, index)
    elif kind == COMMAND_PAUSE_SEND:
        pause_send(core, index, command.value != 0)
    elif kind == COMMAND_KEY_FRAME:
        request_key_frame(core, core.send[index].recv, False)
    elif kind == COMMAND_TRACE_SEND:
        core.send[index].trace = <uint32_t>command.value
    elif kind == COMMAND_ADD_PRODUCER:
        add_producer(core, index)
    elif kind == COMMAND_CLOSE_PRODUCER:
        close_producer(core, index)
    elif kind == COMMAND_PAUSE_PRODUCER:
        pause_producer(core, index, command.value != 0)
    elif kind == COMMAND_TRACE_PRODUCER:
        core.producers[index].trace = <uint32_t>command.value
    elif kind == COMMAND_RTP:
        inject_rtp(core, index, tail, tail_length)
    else:
        run_transport_command(core, kind, index, command, tail, tail_length)


cdef void run_transport_command(
    Core *core, uint32_t kind, uint32_t index, const Command *command, const uint8_t *tail, uint32_t tail_length
) noexcept nogil:
    if kind == COMMAND_ADD_TRANSPORT:
        add_transport(core, index)
    elif kind == COMMAND_CLOSE_TRANSPORT:
        close_transport(core, index)
    elif kind == COMMAND_RESTART_ICE:
        restart_ice(core, index, <IceNames *>tail)
    elif kind == COMMAND_CONNECT:
        connect_plain(core, index, command)
    elif kind == COMMAND_SET_SRTP:
        set_srtp(core, index, <Keying *>tail)
    elif kind == COMMAND_ADD_LINK:
        link_open(core, index)
    elif kind == COMMAND_CLOSE_LINK:
        core.links[index].closing = 1            # at the end of the turn, when it has been read
    elif kind == COMMAND_CONNECT_LINK:
        connect_link(core, index, command)
    elif kind == COMMAND_CLEAR_SRTP:
        clear_srtp(core, index)
    elif kind == COMMAND_SET_EXTENSIONS:
        memcpy(core.transports[index].extension_kinds, tail, 256)
    elif kind == COMMAND_DATAGRAM:
        send_datagram(core, index, tail, tail_length)
    elif kind == COMMAND_RTCP:
        apply_rtcp(core, index, tail, tail_length)
    elif kind == COMMAND_SET_BITRATE:
        core.transports[index].max_incoming_bps = command.value
        remb_set_limit(&core.transports[index].remb, command.value)
        timer_want(core, index, core.now_ns)
    elif kind == COMMAND_ADD_SOCKET:
        add_socket(core, index)
    elif kind == COMMAND_CLOSE_SOCKET:
        close_socket(core, index)
    elif kind == COMMAND_ADD_SHARE:
        core.shares[index].live = 1
        if index >= core.share_count:
            core.share_count = index + 1
    elif kind == COMMAND_CLOSE_SHARE:
        core.shares[index].live = 0
        tell_freed(core, FREED_SHARE, index)
    elif kind == COMMAND_NEIGHBOUR:
        core.neighbours[index] = <uint32_t>command.value
        core.neighbourhood = max(core.neighbourhood, index + 1)
    elif kind == COMMAND_CONNECTION:
        take_connection(core, index, <int>command.value, tail, tail_length)
    elif kind == COMMAND_CONNECTION_LEFT:
        core.leaving -= 1
    elif kind == COMMAND_STOP:
        core.stopping = 1


# ---------------------------------------------------------------- sockets

cdef void settle(Core *core) noexcept nogil:
    """Nothing under way may refer to what is about to be closed."""
    receive_flush(core)
    forward_tick(core)
    output_flush(core)


cdef void add_socket(Core *core, uint32_t index) noexcept nogil:
    """The first one of a listener that is shared is ours; more are adopted."""
    cdef Socket *s = &core.sockets[index]
    slot_commit(&s.head)
    if s.share and core.shares[s.share - 1].sockets[s.listener] == NONE:
        core.shares[s.share - 1].sockets[s.listener] = index
    net_watch(core.epoll_fd, s.fd, socket_tag(index), True, False)


cdef void close_socket(Core *core, uint32_t index) noexcept nogil:
    cdef Socket *s = &core.sockets[index]
    cdef uint32_t i
    settle(core)
    if s.share and core.shares[s.share - 1].sockets[s.listener] == index:
        core.shares[s.share - 1].sockets[s.listener] = NONE
    for i in range(core.free_connections.fresh):
        if core.connections[i].head.state == SLOT_LIVE and core.connections[i].socket == index:
            close_connection(core, i)
    net_unwatch(core.epoll_fd, s.fd)
    drop_backlog(core, index)
    close(s.fd)
    s.fd = -1
    s.head.state = SLOT_FREE
    tell_freed(core, TABLE_SOCKETS, index)


cdef uint32_t open_connection(Core *core, uint32_t socket, int fd) noexcept nogil:
    cdef uint32_t index = take_slot(&core.free_connections)
    cdef Connection *c
    if index == NONE:
        core.counters.tcp_refused += 1
        close(fd)
        return NONE
    c = &core.connections[index]
    slot_open(&c.head)
    c.fd = fd
    c.socket = socket
    c.tuple = NONE
    c.waits_writable = 0
    c.wanted = 0
    c.brought = 0
    c.in_length = 0
    c.out_start = 0
    c.out_length = 0
    c.opened_ns = core.now_ns
    c.remote.length = net_remote(fd, c.remote.bytes)
    c.local.length = net_local(fd, c.local.bytes)
    slot_commit(&c.head)
    core.unverified += 1
    core.counters.tcp_connections += 1
    net_watch(core.epoll_fd, fd, connection_tag(index), True, False)
    return index


cdef void take_connection(Core *core, uint32_t socket, int fd, const uint8_t *data, uint32_t length) noexcept nogil:
    """A neighbour has accepted it; what it has said is looked at in this turn."""
    cdef uint32_t index
    cdef Connection *c
    if core.sockets[socket].head.state != SLOT_LIVE or length > TCP_IN:
        close(fd)
        return
    index = open_connection(core, socket, fd)
    if index == NONE:
        return
    c = &core.connections[index]
    memcpy(c.incoming, data, length)
    c.in_length = length
    c.brought = 1
    if not c.unread:                             # else a former connection of this slot is still in the list
        c.unread = 1
        c.next_unread = core.first_unread
        core.first_unread = index + 1
    core.counters.tcp_handed_in += 1


cdef void close_connection(Core *core, uint32_t connection) noexcept nogil:
    close(release_connection(core, connection))


cdef int release_connection(Core *core, uint32_t connection) noexcept nogil:
    cdef Connection *c = &core.connections[connection]
    cdef int fd = c.fd
    slot_retire(&c.head)
    c.head.state = SLOT_FREE
    if c.tuple != NONE:
        tuple_remove(core, c.tuple)              # counts the connection as unverified again
    core.unverified -= 1
    net_unwatch(core.epoll_fd, fd)
    c.fd = -1
    give_slot(&core.free_connections, connection)
    return fd


# ---------------------------------------------------------------- transports

cdef void add_transport(Core *core, uint32_t index) noexcept nogil:
    cdef Transport *t = &core.transports[index]
    slot_commit(&t.head)
    if t.kind == TRANSPORT_WEBRTC:
        ufrag_add(core, index, 0)
    elif t.kind == TRANSPORT_DIRECT:
        t.flags |= TF_CONNECTED
        transport_connected(core, index)
    elif not t.flags & TF_LINK:
        core.sockets[t.socket].owner = index
        if t.rtcp_socket != NONE:
            core.sockets[t.rtcp_socket].owner = index


cdef void close_transport(Core *core, uint32_t index) noexcept nogil:
    cdef Transport *t = &core.transports[index]
    cdef uint32_t i = 0
    settle(core)
    while i < t.ice.tuple_count:                 # their TCP connections end with the transport
        if core.tuples[t.ice.tuples[i]].path.tcp:
            close_connection(core, core.tuples[t.ice.tuples[i]].path.channel)
            i = 0
        else:
            i += 1
    forget_tuples(core, index)
    if t.kind == TRANSPORT_WEBRTC:
        ufrag_remove(core, index, 0)
        if t.ice.old_ufrag_length:
            ufrag_remove(core, index, 1)
    timer_remove(core, index)
    give_back_contexts(core, index)
    forget_secrets(t)
    t.head.state = SLOT_FREE
    tell_freed(core, TABLE_TRANSPORTS, index)


cdef void forget_secrets(Transport *t) noexcept nogil:
    """The slot may stay as it is for long, and others may read it."""
    memset(&t.keys_in, 0, sizeof(SrtpKeys))
    memset(&t.keys_out, 0, sizeof(SrtpKeys))
    memset(&t.ice, 0, sizeof(Ice))


cdef void give_back_contexts(Core *core, uint32_t index) noexcept nogil:
    if core.srtp_in[index] != NULL:
        tell_freed(core, FREED_CONTEXT, <uint64_t>core.srtp_in[index])
        tell_freed(core, FREED_CONTEXT, <uint64_t>core.srtp_out[index])
    core.srtp_in[index] = NULL
    core.srtp_out[index] = NULL


cdef void restart_ice(Core *core, uint32_t index, IceNames *names) noexcept nogil:
    """The old names stay good until the first request with the new ones. The queue keeps no copy of the password."""
    cdef Ice *ice = &core.transports[index].ice
    if ice.old_ufrag_length:
        ufrag_remove(core, index, 1)
    ufrag_remove(core, index, 0)
    memcpy(ice.old_ufrag, ice.ufrag, 33)
    memcpy(ice.old_password, ice.password, 33)
    ice.old_ufrag_length = ice.ufrag_length
    ice.old_password_length = ice.password_length
    memcpy(ice.ufrag, names.ufrag, 33)
    memcpy(ice.password, names.password, 33)
    ice.ufrag_length = names.ufrag_length
    ice.password_length = names.password_length
    memset(names, 0, sizeof(IceNames))
    ufrag_add(core, index, 0)
    ufrag_add(core, index, 1)
    ice.has_nomination = 0
    if ice.consent_deadline_ns:
        ice.consent_deadline_ns = core.now_ns + ice.consent_timeout_ns


cdef void connect_plain(Core *core, uint32_t index, const Command *command) noexcept nogil:
    cdef Transport *t = &core.transports[index]
    t.path = command.path
    t.flags |= TF_PATH
    if not t.flags & TF_RTCP_MUX:
        t.rtcp_path = command.rtcp_path
        t.flags |= TF_RTCP_PATH
    if update_connected(core, index):
        transport_connected(core, index)


cdef void connect_link(Core *core, uint32_t index, const Command *command) noexcept nogil:
    cdef Transport *t = &core.transports[index]
    t.path = command.path
    t.link_tag = command.value
    t.flags |= TF_PATH
    if update_connected(core, index):
        transport_connected(core, index)


cdef void set_srtp(Core *core, uint32_t index, Keying *keying) noexcept nogil:
    """The queue keeps no copy of the keys."""
    cdef Transport *t = &core.transports[index]
    settle(core)
    give_back_contexts(core, index)
    t.keys_in = keying.keys_in
    t.keys_out = keying.keys_out
    core.srtp_in[index] = keying.incoming
    core.srtp_out[index] = keying.outgoing
    memset(keying, 0, sizeof(Keying))
    t.flags |= TF_KEYED
    if update_connected(core, index):
        transport_connected(core, index)


cdef void clear_srtp(Core *core, uint32_t index) noexcept nogil:
    """The DTLS association has ended: nothing goes out any more and nothing is accepted."""
    settle(core)
    core.transports[index].flags &= ~<uint32_t>TF_KEYED
    update_connected(core, index)
    give_back_contexts(core, index)


cdef void send_datagram(Core *core, uint32_t index, const uint8_t *data, uint32_t length) noexcept nogil:
    if not core.transports[index].flags & TF_PATH or length > SLOT_SIZE:
        count_drop(core, index, DROP_NOT_CONNECTED)
        return
    memcpy(output_slot(core), data, length)
    output_raw(core, index, &core.transports[index].path, length)


# ---------------------------------------------------------------- producers

cdef void add_producer(Core *core, uint32_t index) noexcept nogil:
    cdef Producer *producer = &core.producers[index]
    cdef Transport *t = &core.transports[producer.transport]
    cdef uint32_t stream = producer.first_stream
    cdef RecvStream *r
    chain_add(&t.first_producer, &core.producers.in_transport, sizeof(Producer), index)
    want_feedback(core, t, producer.feedback)
    while stream != NONE:
        r = &core.recv[stream]
        slot_commit(&r.head)
        if r.ssrc:
            ssrc_add(core, producer.transport, r.ssrc, SSRC_MEDIA_IN, stream)
        if r.rtx_ssrc:
            ssrc_add(core, producer.transport, r.rtx_ssrc, SSRC_RTX_IN, stream)
        chain_add(&t.first_recv, &core.recv.in_transport, sizeof(RecvStream), stream)
        stream = r.next_in_producer
    slot_commit(&producer.head)


cdef void want_feedback(Core *core, Transport *t, uint32_t feedback) noexcept nogil:
    """Set up by the first producer that qualifies."""
    if t.feedback != FEEDBACK_NONE or feedback == FEEDBACK_NONE:
        return
    t.feedback = feedback
    if feedback == FEEDBACK_TWCC:
        twcc_init(&t.twcc)
    remb_init(&t.remb, 1 if feedback == FEEDBACK_REMB else 2)
    if t.max_incoming_bps:
        remb_set_limit(&t.remb, t.max_incoming_bps)


cdef void close_producer(Core *core, uint32_t index) noexcept nogil:
    cdef Producer *producer = &core.producers[index]
    cdef Transport *t = &core.transports[producer.transport]
    cdef uint32_t stream = producer.first_stream
    cdef uint32_t following
    settle(core)
    while stream != NONE:
        following = core.recv[stream].next_in_producer
        close_recv(core, t, stream)
        stream = following
    chain_remove(&t.first_producer, &core.producers.in_transport, sizeof(Producer), index)
    producer.head.state = SLOT_FREE
    tell_freed(core, TABLE_PRODUCERS, index)


cdef void close_recv(Core *core, Transport *t, uint32_t stream) noexcept nogil:
    cdef RecvStream *r = &core.recv[stream]
    while r.first_subscriber != NONE:            # consumers are closed before; a late one just stops
        unsubscribe(core, r.first_subscriber)
    if r.ssrc:
        ssrc_remove(core, r.transport, r.ssrc, False, stream)
    if r.rtx_ssrc:
        ssrc_remove(core, r.transport, r.rtx_ssrc, False, stream)
    chain_remove(&t.first_recv, &core.recv.in_transport, sizeof(RecvStream), stream)
    if r.nacks != NONE:
        tell_freed(core, TABLE_NACKS, r.nacks)
    r.head.state = SLOT_FREE
    tell_freed(core, TABLE_RECV, stream)


cdef void pause_producer(Core *core, uint32_t index, bint paused) noexcept nogil:
    cdef Producer *producer = &core.producers[index]
    cdef uint32_t stream = producer.first_stream
    cdef uint32_t send
    settle(core)
    if paused:
        producer.flags |= PF_PAUSED
        return
    producer.flags &= ~<uint32_t>PF_PAUSED
    while stream != NONE:
        send = core.recv[stream].first_subscriber
        while send != NONE:
            core.send[send].flags |= SF_SYNC
            send = core.send[send].subscribers.next
        if producer.flags & PF_VIDEO:
            request_key_frame(core, stream, True)
        stream = core.recv[stream].next_in_producer


cdef void inject_rtp(Core *core, uint32_t index, const uint8_t *data, uint32_t length) noexcept nogil:
    """A packet from the application: it takes the way of one from the network, without its keys."""
    cdef Producer *producer = &core.producers[index]
    receive_rtp(core, producer.transport, NONE, &core.transports[producer.transport].path, <uint8_t *>data, length)
    receive_flush(core)
    forward_if_full(core)


# ---------------------------------------------------------------- send streams

cdef void add_send(Core *core, uint32_t index) noexcept nogil:
    cdef SendStream *s = &core.send[index]
    cdef Transport *t = &core.transports[s.transport]
    slot_commit(&s.head)
    chain_add(&t.first_send, &core.send.in_transport, sizeof(SendStream), index)
    ssrc_add(core, s.transport, s.ssrc, SSRC_MEDIA_OUT, index)
    if s.rtx_ssrc:
        ssrc_add(core, s.transport, s.rtx_ssrc, SSRC_RTX_OUT, index)
    subscribe(core, index)


cdef void close_send(Core *core, uint32_t index) noexcept nogil:
    cdef SendStream *s = &core.send[index]
    cdef Transport *t = &core.transports[s.transport]
    settle(core)
    unsubscribe(core, index)
    ssrc_remove(core, s.transport, s.ssrc, True, index)
    if s.rtx_ssrc:
        ssrc_remove(core, s.transport, s.rtx_ssrc, True, index)
    chain_remove(&t.first_send, &core.send.in_transport, sizeof(SendStream), index)
    if s.sent != NONE:
        tell_freed(core, TABLE_SENT, s.sent)
    s.head.state = SLOT_FREE
    tell_freed(core, TABLE_SEND, index)


cdef void pause_send(Core *core, uint32_t index, bint paused) noexcept nogil:
    settle(core)
    if paused:
        core.send[index].flags |= SF_PAUSED
        unsubscribe(core, index)
    else:
        core.send[index].flags &= ~<uint32_t>SF_PAUSED
        subscribe(core, index)
