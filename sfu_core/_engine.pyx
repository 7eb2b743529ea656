"""The door between the control thread and the media thread of a core process (documented in the .pyi)."""

import os
import secrets
import socket as sockets

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from sfu_core._codecs cimport CODEC_VP8
from sfu_core._commands cimport (
    COMMAND_ADD_LINK, COMMAND_ADD_PRODUCER, COMMAND_ADD_SEND, COMMAND_ADD_SHARE, COMMAND_ADD_SOCKET,
    COMMAND_ADD_TRANSPORT, COMMAND_CLEAR_SRTP, COMMAND_CLOSE_LINK, COMMAND_CLOSE_PRODUCER, COMMAND_CLOSE_SEND,
    COMMAND_CLOSE_SHARE, COMMAND_CLOSE_SOCKET, COMMAND_CLOSE_TRANSPORT, COMMAND_CONNECT, COMMAND_CONNECT_LINK,
    COMMAND_CONNECTION, COMMAND_CONNECTION_LEFT,
    COMMAND_DATAGRAM, COMMAND_KEY_FRAME, COMMAND_NEIGHBOUR, COMMAND_PAUSE_PRODUCER, COMMAND_PAUSE_SEND, COMMAND_RESTART_ICE, COMMAND_RTCP, COMMAND_RTP, COMMAND_SET_BITRATE,
    COMMAND_SET_EXTENSIONS, COMMAND_SET_SRTP, COMMAND_TRACE_PRODUCER, COMMAND_TRACE_SEND, Command, IceNames, Keying,
)
from sfu_core._core cimport MAX_LINKS, MAX_LISTENERS, MAX_SHARES, Link
from sfu_core._door cimport Door
from sfu_core._engine_read cimport recv_stream_stats, send_stream_stats, transport_stats, transport_tuples
from sfu_core._flows cimport FLOW_CORES, flows_bytes
from sfu_core._memory cimport memory_close_link, memory_close_share, memory_open_link, memory_open_share
from sfu_core._munge cimport munge_init
from sfu_core._nack cimport nack_init
from sfu_core._net cimport net_local, net_make_address, net_monotonic_ns
from sfu_core._records cimport (
    MAX_PAYLOAD_TYPES, PF_FIR, PF_PACKET_ID, PF_PAUSED, PF_PLI, PF_VIDEO, SF_ABS_SEND_TIME, SF_IGNORE_DTX, SF_MID,
    SF_NACK, SF_NEEDS_KEY, SF_PAUSED, SF_PIPE, SF_SYNC, SF_TWCC, SF_VIDEO, TABLE_NACKS, TABLE_PRODUCERS, TABLE_RECV,
    TABLE_SEND, TABLE_SENT, TABLE_SOCKETS, TABLE_TRANSPORTS, TCP_IN, TF_COMEDIA, TF_LINK, TF_RTCP_MUX, TF_SRTP, PayloadType,
    Producer, RecvStream, SendStream, Socket, Transport,
)
from sfu_core._ring cimport ring_bytes
from sfu_core._rtp cimport EXT_ABS_SEND_TIME, EXT_KINDS, EXT_MID, EXT_TWCC, RTP_MID_MAX
from sfu_core._rtx cimport SENT_AUDIO, SENT_AUDIO_AGE_MS, SENT_VIDEO, SENT_VIDEO_AGE_MS, rtx_init, sent_init
from sfu_core._slab cimport NONE, give_slot, take_slot
from sfu_core._srtp cimport SrtpKeys, srtp_context_free, srtp_context_new, srtp_keys_set
from sfu_core._stream cimport meter_init, recv_init, send_init
from sfu_core._types cimport (
    MAX_RID, NO_ID, TRANSPORT_DIRECT, TRANSPORT_PIPE, TRANSPORT_PLAIN, TRANSPORT_WEBRTC, Address,
)

from sfu_core.shared_memory import memory_size

# mediasoup's numbers of SRTP suites -> those of RFC 5764 and RFC 7714
SUITES = {0: 8, 1: 7, 2: 1, 3: 2}


cdef bytes text_of(str value, str name, size_t limit):
    cdef bytes data = value.encode()
    if len(data) > limit:
        raise TypeError(f"{name} is longer than {limit} bytes")
    return data


cdef class Engine(Door):
    # ------------------------------------------------------------ sockets

    def add_socket(self, int fd, uint32_t protocol, uint32_t group, uint32_t share=0, uint32_t listener=0):
        cdef uint32_t place = self.find_share(share) + 1 if share else 0
        cdef uint32_t index
        cdef Socket *s
        if listener >= MAX_LISTENERS:
            raise TypeError(f"listener must be below {MAX_LISTENERS}")
        index = self.take(TABLE_SOCKETS, "socket")
        s = &self.core.sockets[index]
        s.fd = fd
        s.protocol = protocol
        s.group = group
        s.share = place
        s.listener = listener
        s.owner = NONE
        s.backlog_first = NONE
        s.local.length = net_local(fd, s.local.bytes)
        self.post_new(COMMAND_ADD_SOCKET, TABLE_SOCKETS, index)
        return self.handle(TABLE_SOCKETS, index)

    def close_socket(self, uint64_t socket):
        cdef uint32_t index = self.find(TABLE_SOCKETS, socket, "socket")
        self.retire(TABLE_SOCKETS, index)
        self.post_close(COMMAND_CLOSE_SOCKET, index)

    def socket_stats(self, uint64_t socket):
        cdef Socket *s = &self.core.sockets[self.find(TABLE_SOCKETS, socket, "socket")]
        return {
            "backlog": s.backlog_count, "wouldBlock": s.would_block, "sendErrors": s.send_errors,
            "gsoRefused": s.gso_refused,
        }

    # ------------------------------------------------------------ transports

    cdef uint32_t new_transport(self, uint32_t kind) except? 0xFFFFFFFF:
        cdef uint32_t index = self.take(TABLE_TRANSPORTS, "transport")
        cdef Transport *t = &self.core.transports[index]
        cdef int64_t now_ns = net_monotonic_ns()
        t.kind = kind
        t.socket = t.rtcp_socket = NONE
        t.first_producer = t.first_recv = t.first_send = NONE
        t.ice.selected = NONE
        t.flags = TF_RTCP_MUX
        t.twcc_seq = 1
        t.rtcp_index = 1
        meter_init(&t.sent, now_ns)
        meter_init(&t.rtp_sent, now_ns)
        meter_init(&t.rtx_sent, now_ns)
        meter_init(&t.received, now_ns)
        meter_init(&t.rtp_received, now_ns)
        meter_init(&t.rtx_received, now_ns)
        return index

    def add_webrtc_transport(self, uint32_t group, str ufrag, str password, uint32_t consent_timeout_ms):
        cdef bytes name = text_of(ufrag, "ufrag", 32)
        cdef bytes word = text_of(password, "password", 32)
        cdef uint32_t index = self.new_transport(TRANSPORT_WEBRTC)
        cdef Transport *t = &self.core.transports[index]
        t.group = group
        t.flags |= TF_SRTP
        memcpy(t.ice.ufrag, <const char *>name, len(name))
        memcpy(t.ice.password, <const char *>word, len(word))
        t.ice.ufrag_length = <uint8_t>len(name)
        t.ice.password_length = <uint8_t>len(word)
        t.ice.consent_timeout_ns = <int64_t>consent_timeout_ms * 1000000
        self.post_new(COMMAND_ADD_TRANSPORT, TABLE_TRANSPORTS, index)
        return self.handle(TABLE_TRANSPORTS, index)

    def restart_ice(self, uint64_t transport, str ufrag, str password):
        cdef uint32_t index = self.find(TABLE_TRANSPORTS, transport, "transport")
        cdef bytes name = text_of(ufrag, "ufrag", 32)
        cdef bytes word = text_of(password, "password", 32)
        cdef IceNames names
        memset(&names, 0, sizeof(names))
        memcpy(names.ufrag, <const char *>name, len(name))
        memcpy(names.password, <const char *>word, len(word))
        names.ufrag_length = <uint8_t>len(name)
        names.password_length = <uint8_t>len(word)
        self.post(COMMAND_RESTART_ICE, index, 0, (<const char *>&names)[:sizeof(names)])

    def add_plain_transport(self, uint64_t socket, uint64_t rtcp_socket, *, bint comedia, bint srtp, bint pipe):
        cdef uint32_t own = self.find(TABLE_SOCKETS, socket, "socket")
        cdef uint32_t second = self.find(TABLE_SOCKETS, rtcp_socket, "rtcp socket") if rtcp_socket else NONE
        cdef uint32_t index = self.new_transport(TRANSPORT_PIPE if pipe else TRANSPORT_PLAIN)
        cdef Transport *t = &self.core.transports[index]
        t.socket = own
        t.rtcp_socket = second
        if rtcp_socket:
            t.flags &= ~<uint32_t>TF_RTCP_MUX
        if comedia:
            t.flags |= TF_COMEDIA
        if srtp:
            t.flags |= TF_SRTP
        self.post_new(COMMAND_ADD_TRANSPORT, TABLE_TRANSPORTS, index)
        return self.handle(TABLE_TRANSPORTS, index)

    def add_direct_transport(self):
        cdef uint32_t index = self.new_transport(TRANSPORT_DIRECT)
        self.post_new(COMMAND_ADD_TRANSPORT, TABLE_TRANSPORTS, index)
        return self.handle(TABLE_TRANSPORTS, index)

    def connect_plain(self, uint64_t transport, str ip, uint16_t port, uint16_t rtcp_port):
        cdef uint32_t index = self.find(TABLE_TRANSPORTS, transport, "transport")
        cdef Transport *t = &self.core.transports[index]
        cdef Command command
        memset(&command, 0, sizeof(command))
        command.index = index
        command.path.channel = t.socket
        self.fill_address(&command.path.remote, ip, port, t.socket)
        if rtcp_port:
            command.rtcp_path.channel = t.rtcp_socket
            self.fill_address(&command.rtcp_path.remote, ip, rtcp_port, t.rtcp_socket)
        self.post_command(COMMAND_CONNECT, &command, b"")

    cdef int fill_address(self, Address *address, str ip, uint16_t port, uint32_t socket) except -1:
        cdef bytes packed
        cdef bint six = self.core.sockets[socket].local.length == 28
        if six and ":" not in ip:
            ip = "::ffff:" + ip
        packed = sockets.inet_pton(sockets.AF_INET6 if ":" in ip else sockets.AF_INET, ip)
        address.length = net_make_address(address.bytes, <const uint8_t *><const char *>packed, len(packed), port)
        return 0

    def set_srtp(self, uint64_t transport, uint32_t suite, bytes local_key, bytes remote_key):
        cdef uint32_t index = self.find(TABLE_TRANSPORTS, transport, "transport")
        cdef Keying keying
        memset(&keying, 0, sizeof(keying))
        self.fill_keys(&keying.keys_out, suite, local_key)
        self.fill_keys(&keying.keys_in, suite, remote_key)
        keying.incoming = srtp_context_new(&keying.keys_in, False)
        keying.outgoing = srtp_context_new(&keying.keys_out, True)
        if keying.incoming == NULL or keying.outgoing == NULL:
            srtp_context_free(keying.incoming)
            srtp_context_free(keying.outgoing)
            raise ValueError("SRTP contexts could not be made of these keys")
        self.post(COMMAND_SET_SRTP, index, 0, (<const char *>&keying)[:sizeof(keying)])

    def clear_srtp(self, uint64_t transport):
        self.post(COMMAND_CLEAR_SRTP, self.find(TABLE_TRANSPORTS, transport, "transport"), 0, b"")

    cdef int fill_keys(self, SrtpKeys *keys, uint32_t suite, bytes material) except -1:
        if suite not in SUITES:
            raise TypeError(f"unknown SRTP suite {suite}")
        if not srtp_keys_set(
            keys, SUITES[suite], <const uint8_t *><const char *>material, <uint32_t>len(material)
        ):
            raise TypeError("wrong length of SRTP master key and salt")
        return 0

    def set_recv_extensions(self, uint64_t transport, dict extensions):
        cdef uint32_t index = self.find(TABLE_TRANSPORTS, transport, "transport")
        cdef uint8_t kinds[256]
        self.fill_kinds(kinds, extensions)
        self.post(COMMAND_SET_EXTENSIONS, index, 0, (<const char *>kinds)[:256])

    cdef int fill_kinds(self, uint8_t *kinds, dict extensions) except -1:
        cdef int kind, ident
        memset(kinds, 0, 256)
        for kind, ident in extensions.items():
            if not 0 < kind < EXT_KINDS or not 0 < ident < 256:
                raise TypeError(f"header extension {kind} with id {ident}")
            kinds[ident] = <uint8_t>kind
        return 0

    def send_datagram(self, uint64_t transport, bytes data):
        cdef uint32_t index = self.find(TABLE_TRANSPORTS, transport, "transport")
        try:
            self.post(COMMAND_DATAGRAM, index, 0, data)
        except BufferError:
            return False
        return True

    def send_rtcp(self, uint64_t transport, bytes data):
        self.post(COMMAND_RTCP, self.find(TABLE_TRANSPORTS, transport, "transport"), 0, data)

    def set_bitrates(self, uint64_t transport, uint64_t max_incoming_bps):
        self.post(COMMAND_SET_BITRATE, self.find(TABLE_TRANSPORTS, transport, "transport"), max_incoming_bps, b"")

    def close_transport(self, uint64_t transport):
        cdef uint32_t index = self.find(TABLE_TRANSPORTS, transport, "transport")
        self.retire(TABLE_TRANSPORTS, index)
        self.post_close(COMMAND_CLOSE_TRANSPORT, index)

    def transport_stats(self, uint64_t transport):
        return transport_stats(self.core, self.find(TABLE_TRANSPORTS, transport, "transport"), net_monotonic_ns())

    def transport_tuples(self, uint64_t transport):
        return transport_tuples(self.core, self.find(TABLE_TRANSPORTS, transport, "transport"))

    # ------------------------------------------------------------ rings to neighbours

    def add_link(self, int memfd, uint64_t capacity, uint32_t side, int bell_in, int bell_out):
        cdef uint32_t index
        if capacity & (capacity - 1) or not 4096 <= capacity <= 1 << 30:
            raise TypeError("capacity must be a power of two from 4096 to 2**30")
        if os.fstat(memfd).st_size < 2 * ring_bytes(capacity):
            raise TypeError("memfd is too small for two rings of this capacity")
        self.collect_freed()
        index = memory_open_link(self.core, memfd, capacity, side, bell_in, bell_out)
        if index == NONE:
            raise BufferError("this core has no room for another link")
        try:
            self.post(COMMAND_ADD_LINK, index, 0, b"")
        except BufferError:
            self.core.links[index].bell_in = self.core.links[index].bell_out = -1    # they are the caller's still
            memory_close_link(self.core, index)
            raise
        return index + 1

    cdef uint32_t find_link(self, uint32_t link) except? 0xFFFFFFFF:
        if not 0 < link <= MAX_LINKS or self.core == NULL or self.core.links[link - 1].memory == NULL:
            raise LookupError(f"no link {link}")
        return link - 1

    def close_link(self, uint32_t link):
        self.post_close(COMMAND_CLOSE_LINK, self.find_link(link))

    def link_stats(self, uint32_t link):
        cdef Link *found = &self.core.links[self.find_link(link)]
        return {
            "packets": found.packets, "dropped": found.dropped, "bells": found.bells,
            "broken": bool(found.incoming.broken or found.outgoing.broken),
        }

    def add_link_transport(self):
        cdef uint32_t index = self.new_transport(TRANSPORT_PIPE)
        self.core.transports[index].flags |= TF_LINK
        self.post_new(COMMAND_ADD_TRANSPORT, TABLE_TRANSPORTS, index)
        return self.handle(TABLE_TRANSPORTS, index)

    def connect_link(self, uint64_t transport, uint32_t link, uint64_t tag):
        cdef Command command
        memset(&command, 0, sizeof(command))
        command.index = self.find(TABLE_TRANSPORTS, transport, "transport")
        command.value = tag
        command.path.channel = self.find_link(link)
        command.path.tcp = 2
        self.post_command(COMMAND_CONNECT_LINK, &command, b"")

    # ------------------------------------------------------------ ports shared with neighbours

    def add_share(self, int memfd, uint32_t number, uint32_t own):
        cdef uint64_t size = memory_size(memfd)
        cdef uint32_t index
        if size > flows_bytes(FLOW_CORES):
            raise TypeError("memfd is no table of flows")
        self.collect_freed()
        index = memory_open_share(self.core, memfd, size, number, own)
        if index == NONE:
            raise BufferError("this core cannot share the ports of another server")
        try:
            self.post(COMMAND_ADD_SHARE, index, 0, b"")
        except BufferError:
            memory_close_share(self.core, index)
            raise
        return index + 1

    cdef uint32_t find_share(self, uint32_t share) except? 0xFFFFFFFF:
        if not 0 < share <= MAX_SHARES or self.core == NULL or self.core.shares[share - 1].memory == NULL:
            raise LookupError(f"no share {share}")
        return share - 1

    def close_share(self, uint32_t share):
        self.post_close(COMMAND_CLOSE_SHARE, self.find_share(share))

    def set_neighbour(self, uint32_t core, uint32_t link):
        if core >= FLOW_CORES:
            raise TypeError(f"core must be below {FLOW_CORES}")
        self.post(COMMAND_NEIGHBOUR, core, self.find_link(link) + 1 if link else 0, b"")

    def add_connection(self, uint64_t socket, int fd, bytes data):
        cdef uint32_t index = self.find(TABLE_SOCKETS, socket, "socket")
        if self.core.sockets[index].protocol != 2:
            raise TypeError("a connection needs a TCP socket")
        if len(data) > TCP_IN:
            raise TypeError(f"data is longer than {TCP_IN} bytes")
        self.post(COMMAND_CONNECTION, index, <uint64_t>fd, data)

    def connection_left(self):
        self.post_close(COMMAND_CONNECTION_LEFT, 0)

    # ------------------------------------------------------------ producers

    def add_producer(
        self, uint64_t transport, uint32_t kind, codecs, encodings, *, str mid, dict extensions,
        bint nack, bint pli, bint fir, uint32_t feedback, bint paused, uint32_t key_frame_request_delay_ms,
        bint packet_id,
    ):
        cdef uint32_t owner = self.find(TABLE_TRANSPORTS, transport, "transport")
        cdef bytes name = text_of(mid, "mid", MAX_RID)
        cdef uint32_t index = self.take(TABLE_PRODUCERS, "producer")
        cdef Producer *p = &self.core.producers[index]
        cdef list streams = []
        cdef uint32_t *link = &p.first_stream
        cdef uint32_t stream
        p.transport = owner
        p.feedback = feedback
        p.key_frame_delay_ns = <int64_t>key_frame_request_delay_ms * 1000000
        p.flags = (
            (PF_VIDEO if kind else 0) | (PF_PAUSED if paused else 0)
            | (PF_PLI if pli else 0) | (PF_FIR if fir else 0) | (PF_PACKET_ID if packet_id else 0)
        )
        memcpy(p.mid, <const char *>name, len(name))
        p.mid_length = <uint32_t>len(name)
        p.first_stream = NONE
        try:
            self.fill_kinds(p.extension_kinds, extensions)
            self.fill_codecs(p, codecs)
            for encoding in encodings:
                link[0] = stream = self.new_recv_stream(index, encoding, nack)
                link = &self.core.recv[stream].next_in_producer
                streams.append(self.handle(TABLE_RECV, stream))
            self.post(COMMAND_ADD_PRODUCER, index, 0, b"")
        except BaseException:
            self.drop_recv_streams(p.first_stream)
            self.drop_slot(TABLE_PRODUCERS, index)
            raise
        return self.handle(TABLE_PRODUCERS, index), streams

    cdef int fill_codecs(self, Producer *p, codecs) except -1:
        cdef PayloadType *entry
        memset(p.type_index, NO_ID, 128)
        for pt, mapped, codec, clock_rate, repairs in codecs:
            if p.payload_types == MAX_PAYLOAD_TYPES:
                raise TypeError("too many codecs")
            if not 0 <= pt < 128:
                raise TypeError(f"payload type {pt}")
            entry = &p.types[p.payload_types]
            entry.pt = pt
            entry.mapped = mapped
            entry.codec = codec
            entry.clock_rate = clock_rate
            entry.repairs = NO_ID if repairs < 0 else repairs
            p.type_index[entry.pt] = <uint8_t>p.payload_types
            p.payload_types += 1
        return 0

    cdef uint32_t new_recv_stream(self, uint32_t producer, encoding, bint nack) except? 0xFFFFFFFF:
        cdef uint32_t index
        cdef RecvStream *r
        cdef Producer *p = &self.core.producers[producer]
        cdef int64_t now_ns = net_monotonic_ns()
        cdef PayloadType *type
        cdef bytes name
        ssrc, rtx_ssrc, rid, pt = encoding
        if not 0 <= pt < 128 or p.type_index[<int>pt] == NO_ID:
            raise TypeError(f"payload type {pt} of an encoding is not among the codecs")
        type = &p.types[p.type_index[<int>pt]]
        name = text_of(rid, "rid", MAX_RID)
        index = self.take(TABLE_RECV, "receive stream")
        r = &self.core.recv[index]
        r.producer = producer
        r.transport = p.transport
        r.ssrc = ssrc
        r.rtx_ssrc = rtx_ssrc
        r.codec = type.codec
        r.clock_rate = type.clock_rate
        r.first_subscriber = r.next_in_producer = r.nacks = NONE
        memcpy(r.rid, <const char *>name, len(name))
        r.rid_length = <uint32_t>len(name)
        recv_init(&r.state, type.clock_rate, now_ns)
        recv_init(&r.rtx_state, type.clock_rate, now_ns)
        if nack:
            r.nacks = take_slot(&self.ends.slots[<int>TABLE_NACKS])
            nack_init(&self.core.nacks[r.nacks])
        return index

    cdef void drop_recv_streams(self, uint32_t stream):
        cdef RecvStream *r
        while stream != NONE:
            r = &self.core.recv[stream]
            if r.nacks != NONE:
                give_slot(&self.ends.slots[<int>TABLE_NACKS], r.nacks)
            self.drop_slot(TABLE_RECV, stream)
            stream = r.next_in_producer

    def pause_producer(self, uint64_t producer, bint paused):
        self.post(COMMAND_PAUSE_PRODUCER, self.find(TABLE_PRODUCERS, producer, "producer"), paused, b"")

    def inject_rtp(self, uint64_t producer, bytes data):
        self.post(COMMAND_RTP, self.find(TABLE_PRODUCERS, producer, "producer"), 0, data)

    def trace_producer(self, uint64_t producer, uint32_t mask):
        self.post(COMMAND_TRACE_PRODUCER, self.find(TABLE_PRODUCERS, producer, "producer"), mask, b"")

    def close_producer(self, uint64_t producer):
        cdef uint32_t index = self.find(TABLE_PRODUCERS, producer, "producer")
        cdef uint32_t stream = self.core.producers[index].first_stream
        while stream != NONE:
            self.retire(TABLE_RECV, stream)
            stream = self.core.recv[stream].next_in_producer
        self.retire(TABLE_PRODUCERS, index)
        self.post_close(COMMAND_CLOSE_PRODUCER, index)

    def recv_stream_stats(self, uint64_t stream):
        return recv_stream_stats(self.core, self.find(TABLE_RECV, stream, "receive stream"), net_monotonic_ns())

    # ------------------------------------------------------------ send streams

    def add_send_stream(
        self, uint64_t transport, uint64_t recv_stream, *, uint32_t ssrc, uint32_t rtx_ssrc, int rtx_payload_type,
        payload_types, str mid, str cname, extensions, bint nack, bint pipe, bint ignore_dtx, bint paused,
    ):
        cdef uint32_t owner = self.find(TABLE_TRANSPORTS, transport, "transport")
        cdef uint32_t source = self.find(TABLE_RECV, recv_stream, "receive stream")
        cdef RecvStream *r = &self.core.recv[source]
        cdef int64_t now_ns = net_monotonic_ns()
        cdef bint video = r.codec >= CODEC_VP8
        cdef bytes name = text_of(mid, "mid", 255)
        cdef bytes canonical = text_of(cname, "cname", 255)
        cdef list accepted = list(payload_types)
        cdef uint32_t index
        cdef SendStream *s
        if not all(0 <= pt < 128 for pt in accepted):
            raise TypeError("payload_types beyond 127")
        index = self.take(TABLE_SEND, "send stream")
        s = &self.core.send[index]
        s.transport = owner
        s.recv = source
        s.ssrc = ssrc
        s.rtx_ssrc = rtx_ssrc
        s.rtx_pt = rtx_payload_type if rtx_payload_type >= 0 else 0
        s.sent = NONE
        for pt in accepted:
            s.types[<int>pt >> 6] |= <uint64_t>1 << (<int>pt & 63)
        s.flags = SF_SYNC | (
            (SF_VIDEO | SF_NEEDS_KEY if video else 0) | (SF_PIPE if pipe else 0)
            | (SF_IGNORE_DTX if ignore_dtx else 0) | (SF_PAUSED if paused else 0)
        )
        if EXT_MID in extensions and 0 < len(name) <= RTP_MID_MAX:
            s.flags |= SF_MID
            memcpy(s.mid, <const char *>name, len(name))
            s.mid_length = <uint8_t>len(name)
        if EXT_ABS_SEND_TIME in extensions:
            s.flags |= SF_ABS_SEND_TIME
        if EXT_TWCC in extensions:
            s.flags |= SF_TWCC
        memcpy(s.cname, <const char *>canonical, len(canonical))
        s.cname_length = <uint32_t>len(canonical)
        munge_init(&s.munger, r.clock_rate, 1000 + secrets.randbelow(31768))
        rtx_init(&s.rtx, secrets.randbelow(65536))
        send_init(&s.state, r.clock_rate, now_ns)
        send_init(&s.rtx_state, r.clock_rate, now_ns)
        if nack:
            self.keep_sent(s, video)
        try:
            self.post_new(COMMAND_ADD_SEND, TABLE_SEND, index)
        except BufferError:
            if s.sent != NONE:
                give_slot(&self.ends.slots[<int>TABLE_SENT], s.sent)
            raise
        return self.handle(TABLE_SEND, index)

    cdef void keep_sent(self, SendStream *s, bint video):
        s.sent = take_slot(&self.ends.slots[<int>TABLE_SENT])
        s.flags |= SF_NACK
        if video:
            sent_init(&s.sent_ring, SENT_VIDEO, SENT_VIDEO_AGE_MS)
        else:
            sent_init(&s.sent_ring, SENT_AUDIO, SENT_AUDIO_AGE_MS)

    def pause_send_stream(self, uint64_t stream, bint paused):
        self.post(COMMAND_PAUSE_SEND, self.find(TABLE_SEND, stream, "send stream"), paused, b"")

    def request_key_frame(self, uint64_t stream):
        self.post(COMMAND_KEY_FRAME, self.find(TABLE_SEND, stream, "send stream"), 0, b"")

    def trace_send_stream(self, uint64_t stream, uint32_t mask):
        self.post(COMMAND_TRACE_SEND, self.find(TABLE_SEND, stream, "send stream"), mask, b"")

    def close_send_stream(self, uint64_t stream):
        cdef uint32_t index = self.find(TABLE_SEND, stream, "send stream")
        self.retire(TABLE_SEND, index)
        self.post_close(COMMAND_CLOSE_SEND, index)

    def send_stream_stats(self, uint64_t stream):
        return send_stream_stats(self.core, self.find(TABLE_SEND, stream, "send stream"), net_monotonic_ns())
