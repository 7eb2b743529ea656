"""RTP from publishers: found, unprotected, accounted and put into the history for forwarding.

In three passes over what was read together: headers are parsed and streams looked up; all packets are unprotected at
once, in place; then each is judged in its order. Nothing of a packet is believed before it has been authenticated,
and no state is made for one that no producer claims.
"""

from libc.stdint cimport uint16_t, uint64_t
from libc.string cimport memcmp, memcpy

from sfu_core._bytes cimport load16
from sfu_core._codecs cimport FrameInfo, codec_inspect
from sfu_core._core cimport RX_BATCH, Incoming
from sfu_core._events cimport (
    EVENT_NEW_RTX_STREAM, EVENT_NEW_STREAM, EVENT_ORIENTATION, EVENT_PRODUCER_TRACE, EVENT_RTCP_TUPLE, EVENT_TUPLE,
    TRACE_KEYFRAME, TRACE_RTP, TraceInfo, event_path, event_trace, event_value, handle_of, timer_want,
)
from sfu_core._forward cimport request_key_frame, transport_connected
from sfu_core._history cimport history_append, record_at, record_header, record_payload
from sfu_core._ice cimport ice_data_on
from sfu_core._nack cimport NACK_NEEDS_KEY_FRAME, NACK_UNWANTED, nack_init, nack_next_deadline, nack_on_packet
from sfu_core._output cimport count_drop
from sfu_core._paths cimport ssrc_add, ssrc_find, update_connected
from sfu_core._records cimport (
    PF_PACKET_ID, PF_PAUSED, PF_VIDEO, SF_SYNC, TABLE_RECV, TF_COMEDIA, TF_KEYED, TF_PATH, TF_RTCP_MUX, TF_RTCP_PATH, TF_SRTP,
    PayloadType, Producer, Record, RecvStream, SsrcEntry, Transport,
)
from sfu_core._remb cimport remb_on_packet
from sfu_core._rtp cimport (
    EXT_MID, EXT_RID, EXT_RRID, EXT_TWCC, EXT_VIDEO_ORIENTATION, RTP_KEEP_DD, RTP_OK, RTP_TEMPLATE_MAX, RTP_WANT_PACKET_ID,
    ExtIndex, RtpPacket, rtp_extensions_scan, rtp_parse, rtp_parse_header, rtp_set_packet_id, rtp_write_header,
)
from sfu_core._rtx cimport RTX_OK, rtx_unwrap
from sfu_core._slab cimport NONE, pen_return, pen_take
from sfu_core._srtp cimport (
    SRTP_AUTH_FAILED, SRTP_OK, ReplayWindow, SrtpJob, replay_check, replay_commit, srtp_guess_index, srtp_unprotect,
)
from sfu_core._stream cimport (
    RECV_DISCARD, RECV_DUPLICATE, RECV_RESYNC, meter_add, recv_capture_ns, recv_on_packet, recv_on_repair,
)
from sfu_core._twcc cimport twcc_next_deadline, twcc_on_packet
from sfu_core._types cimport (
    DROP_DUPLICATE, DROP_NOT_CONNECTED, DROP_PADDING, DROP_PAUSED, DROP_RTP_MALFORMED, DROP_RTX_USELESS, DROP_SEQUENCE,
    DROP_SRTP_AUTH, DROP_SRTP_FAILED, DROP_SRTP_REPLAYED, DROP_UNKNOWN_PAYLOAD_TYPE, DROP_UNKNOWN_SSRC,
    DROP_UNKNOWN_TUPLE, FEEDBACK_TWCC, NO_ID, SSRC_MEDIA_IN, SSRC_RTX_IN, TRANSPORT_DIRECT, SsrcRole, same_address,
)


# ---------------------------------------------------------------- first pass

cdef void receive_rtp(
    Core *core, uint32_t transport, uint32_t tuple, const Path *path, uint8_t *data, uint32_t length
) noexcept nogil:
    cdef Transport *t = &core.transports[transport]
    cdef Incoming *incoming
    cdef SsrcEntry *entry
    if t.flags & TF_SRTP and not t.flags & TF_KEYED:
        count_drop(core, transport, DROP_NOT_CONNECTED)
        return
    if core.in_count == RX_BATCH:
        receive_flush(core)
    incoming = &core.incoming[core.in_count]
    if rtp_parse_header(&incoming.packet, data, length) != RTP_OK:
        count_drop(core, transport, DROP_RTP_MALFORMED)
        return
    incoming.transport = transport
    incoming.tuple = tuple
    incoming.path = path[0]
    entry = ssrc_find(core, transport, incoming.packet.ssrc, False)
    incoming.known = entry != NULL
    if entry != NULL:
        incoming.stream = entry.stream
        incoming.role = entry.role
    incoming.job = NONE
    if t.flags & TF_SRTP and not prepare_unprotect(core, incoming):
        return
    core.in_count += 1


cdef inline ReplayWindow *window_of(Core *core, const Incoming *incoming) noexcept nogil:
    if incoming.role == SSRC_MEDIA_IN:
        return &core.recv[incoming.stream].replay
    return &core.recv[incoming.stream].rtx_replay


cdef bint prepare_unprotect(Core *core, Incoming *incoming) noexcept nogil:
    cdef RtpPacket *packet = &incoming.packet
    cdef SrtpJob *job = &core.in_jobs[core.in_job_count]
    incoming.index = packet.seq
    if incoming.known:
        incoming.index = srtp_guess_index(window_of(core, incoming), packet.seq)
        if not replay_check(window_of(core, incoming), incoming.index):
            count_drop(core, incoming.transport, DROP_SRTP_REPLAYED)
            return False
    incoming.job = core.in_job_count
    core.in_job_count += 1
    job.ctx = core.srtp_in[incoming.transport]
    job.index = incoming.index
    job.ssrc = packet.ssrc
    job.header = packet.data
    job.header_len = packet.header_len
    job.payload = packet.data + packet.header_len
    job.payload_len = packet.len - packet.header_len
    job.out = packet.data + packet.header_len
    job.rtcp = False
    return True


# ---------------------------------------------------------------- second and third pass

cdef void receive_flush(Core *core) noexcept nogil:
    cdef uint32_t i
    if core.in_job_count:
        srtp_unprotect(core.in_jobs, core.in_job_count)
    for i in range(core.in_count):
        judge(core, &core.incoming[i])
    core.in_count = 0
    core.in_job_count = 0


cdef void judge(Core *core, Incoming *incoming) noexcept nogil:
    cdef uint32_t transport = incoming.transport
    cdef RtpPacket *packet = &incoming.packet
    cdef uint32_t wire_length = packet.len
    cdef uint32_t clear_length = packet.len
    cdef uint64_t before
    cdef SrtpJob *job
    if incoming.job != NONE:
        job = &core.in_jobs[incoming.job]
        if job.status != SRTP_OK:
            count_drop(core, transport, DROP_SRTP_AUTH if job.status == SRTP_AUTH_FAILED else DROP_SRTP_FAILED)
            return
        clear_length = packet.header_len + job.out_len
    if rtp_parse(packet, packet.data, clear_length) != RTP_OK:
        count_drop(core, transport, DROP_RTP_MALFORMED)
        return
    if not incoming.known and not claim(core, incoming):
        count_drop(core, transport, DROP_UNKNOWN_SSRC)
        return
    before = pen_take(&core.counters.pen, TABLE_RECV, incoming.stream)
    admit(core, incoming, wire_length)
    pen_return(&core.counters.pen, before)


cdef void admit(Core *core, Incoming *incoming, uint32_t wire_length) noexcept nogil:
    """It is authentic and of a known stream; not one that was here before, and from where it may come."""
    cdef uint32_t transport = incoming.transport
    cdef Transport *t = &core.transports[transport]
    if incoming.job != NONE:
        if not replay_check(window_of(core, incoming), incoming.index):    # twice in one batch
            count_drop(core, transport, DROP_SRTP_REPLAYED)
            return
        replay_commit(window_of(core, incoming), incoming.index)
    if incoming.tuple != NONE:
        ice_data_on(core, incoming.tuple)
    elif t.kind != TRANSPORT_DIRECT and not comedia_learn(core, transport, &incoming.path, False):
        return
    meter_add(&t.received, wire_length)
    accept(core, incoming)


cdef bint comedia_learn(Core *core, uint32_t transport, const Path *path, bint rtcp) noexcept nogil:
    """A plain or pipe transport takes packets from one address: the connected one, or with comedia the first."""
    cdef Transport *t = &core.transports[transport]
    cdef bint second = rtcp and not t.flags & TF_RTCP_MUX
    cdef Path *known = &t.rtcp_path if second else &t.path
    cdef uint32_t flag = TF_RTCP_PATH if second else TF_PATH
    if t.flags & flag:
        if path.channel == known.channel and same_address(&path.remote, &known.remote):
            return True
        count_drop(core, transport, DROP_UNKNOWN_TUPLE)
        return False
    if not t.flags & TF_COMEDIA:
        count_drop(core, transport, DROP_UNKNOWN_TUPLE)
        return False
    known[0] = path[0]
    t.flags |= flag
    event_path(core, EVENT_RTCP_TUPLE if second else EVENT_TUPLE, transport, known)
    if update_connected(core, transport):
        transport_connected(core, transport)
    return True


# ---------------------------------------------------------------- whose is a new SSRC?

cdef inline bint same_text(
    const RtpPacket *packet, const ExtIndex *index, uint32_t kind, const uint8_t *text, uint32_t length
) noexcept nogil:
    return index.length[kind] == length and memcmp(packet.data + index.offset[kind], text, length) == 0


cdef bint claim(Core *core, Incoming *incoming) noexcept nogil:
    """Match an unknown SSRC by MID, else by RID; the SSRC is then known for ever."""
    cdef Transport *t = &core.transports[incoming.transport]
    cdef RtpPacket *packet = &incoming.packet
    cdef ExtIndex index
    cdef SsrcEntry *entry = ssrc_find(core, incoming.transport, packet.ssrc, False)
    cdef uint32_t producer = t.first_producer
    cdef uint32_t present
    if entry != NULL:                        # claimed by a packet before in this batch
        incoming.stream = entry.stream
        incoming.role = entry.role
        return True
    present = rtp_extensions_scan(packet, t.extension_kinds, &index)
    while producer != NONE:
        if claims(core, &core.producers[producer], packet, &index, present):
            return claim_stream(core, incoming, &core.producers[producer], &index, present)
        producer = core.producers[producer].in_transport.next
    return False


cdef bint claims(
    Core *core, const Producer *producer, const RtpPacket *packet, const ExtIndex *index, uint32_t present
) noexcept nogil:
    cdef uint32_t stream = producer.first_stream
    if producer.type_index[packet.pt] == NO_ID:
        return False
    if present & (1 << <int>EXT_MID):
        return producer.mid_length and same_text(packet, index, EXT_MID, producer.mid, producer.mid_length)
    while stream != NONE:
        if core.recv[stream].rid_length and names_rid(&core.recv[stream], packet, index, present):
            return True
        stream = core.recv[stream].next_in_producer
    return False


cdef inline bint names_rid(
    const RecvStream *stream, const RtpPacket *packet, const ExtIndex *index, uint32_t present
) noexcept nogil:
    if present & (1 << <int>EXT_RID):
        return same_text(packet, index, EXT_RID, stream.rid, stream.rid_length)
    if present & (1 << <int>EXT_RRID):
        return same_text(packet, index, EXT_RRID, stream.rid, stream.rid_length)
    return False


cdef bint claim_stream(
    Core *core, Incoming *incoming, const Producer *producer, const ExtIndex *index, uint32_t present
) noexcept nogil:
    cdef RtpPacket *packet = &incoming.packet
    cdef bint repair = producer.types[producer.type_index[packet.pt]].repairs != NO_ID
    cdef uint32_t stream = producer.first_stream
    cdef RecvStream *r
    cdef bint only = stream != NONE and core.recv[stream].next_in_producer == NONE
    while stream != NONE:
        r = &core.recv[stream]
        if (r.rid_length and names_rid(r, packet, index, present)) or (only and not r.rid_length):
            break
        stream = r.next_in_producer
    if stream == NONE or (r.rtx_ssrc if repair else r.ssrc):
        return False
    if repair and not r.state.started:
        return False                         # repairs of a stream that nobody has seen
    incoming.stream = stream
    incoming.role = SSRC_RTX_IN if repair else SSRC_MEDIA_IN
    if not ssrc_add(core, incoming.transport, packet.ssrc, <SsrcRole>incoming.role, stream):
        return False
    if repair:
        r.rtx_ssrc = packet.ssrc
        event_value(core, EVENT_NEW_RTX_STREAM, handle_of(&r.head, stream), packet.ssrc, 0)
    else:
        r.ssrc = packet.ssrc
    return True


# ---------------------------------------------------------------- accounting

cdef void accept(Core *core, Incoming *incoming) noexcept nogil:
    cdef RecvStream *r = &core.recv[incoming.stream]
    cdef Producer *producer = &core.producers[r.producer]
    cdef Transport *t = &core.transports[incoming.transport]
    cdef RtpPacket *packet = &incoming.packet
    cdef ExtIndex index
    cdef uint32_t present = rtp_extensions_scan(packet, producer.extension_kinds, &index)
    if producer.feedback == FEEDBACK_TWCC:
        if present & (1 << <int>EXT_TWCC):
            twcc_on_packet(&t.twcc, load16(packet.data + index.offset[<int>EXT_TWCC]), core.now_ns)
            t.feedback_ssrc = packet.ssrc
            timer_want(core, incoming.transport, twcc_next_deadline(&t.twcc))
    remb_on_packet(&t.remb, packet.len)
    if incoming.role == SSRC_MEDIA_IN:
        meter_add(&t.rtp_received, packet.len)
        accept_media(core, incoming, r, producer, &index, present)
    else:
        meter_add(&t.rtx_received, packet.len)
        accept_repair(core, incoming, r, producer, &index, present)


cdef void accept_media(
    Core *core, Incoming *incoming, RecvStream *r, Producer *producer, const ExtIndex *index, uint32_t present
) noexcept nogil:
    cdef RtpPacket *packet = &incoming.packet
    cdef uint64_t ext_seq = 0
    cdef bint new_stream = not r.state.started
    cdef int verdict
    if producer.type_index[packet.pt] == NO_ID:
        count_drop(core, incoming.transport, DROP_UNKNOWN_PAYLOAD_TYPE)
        return
    verdict = recv_on_packet(
        &r.state, packet.seq, packet.timestamp, core.now_ns, packet.len, packet.payload_len == 0, &ext_seq
    )
    if verdict == RECV_DISCARD:
        count_drop(core, incoming.transport, DROP_SEQUENCE)
        return
    if verdict == RECV_DUPLICATE:
        count_drop(core, incoming.transport, DROP_DUPLICATE)
        return
    if verdict == RECV_RESYNC:
        start_over(core, r)
    if new_stream:
        event_value(core, EVENT_NEW_STREAM, handle_of(&r.head, incoming.stream), packet.ssrc, 0)
    use_packet(core, incoming, r, producer, index, present, ext_seq, False, new_stream)


cdef void accept_repair(
    Core *core, Incoming *incoming, RecvStream *r, Producer *producer, const ExtIndex *index, uint32_t present
) noexcept nogil:
    """RFC 4588: unwrap; from here on it is the packet that was missing."""
    cdef RtpPacket *packet = &incoming.packet
    cdef uint64_t ext_seq = 0
    cdef uint16_t seq = 0
    cdef int verdict
    cdef uint8_t type = producer.type_index[packet.pt]
    recv_on_packet(
        &r.rtx_state, packet.seq, packet.timestamp, core.now_ns, packet.len, packet.payload_len == 0, &ext_seq
    )
    if (
        type == NO_ID or producer.types[type].repairs == NO_ID
        or rtx_unwrap(packet.data + packet.payload_off, packet.payload_len, &seq) != RTX_OK
    ):
        r.rtx_discarded += 1
        count_drop(core, incoming.transport, DROP_RTX_USELESS)
        return
    packet.pt = producer.types[type].repairs
    packet.seq = seq
    packet.ssrc = r.ssrc
    packet.payload_off += 2
    packet.payload_len -= 2
    verdict = recv_on_repair(&r.state, seq, packet.timestamp, core.now_ns, packet.len, &ext_seq)
    if verdict == RECV_DISCARD or verdict == RECV_DUPLICATE or producer.type_index[packet.pt] == NO_ID:
        r.rtx_discarded += 1
        count_drop(core, incoming.transport, DROP_RTX_USELESS)
        return
    use_packet(core, incoming, r, producer, index, present, ext_seq, True, False)


cdef void start_over(Core *core, RecvStream *r) noexcept nogil:
    """The publisher's numbers jumped: what is missing is forgotten, consumers start a new stretch."""
    cdef uint32_t send = r.first_subscriber
    if r.nacks != NONE:
        nack_init(&core.nacks[r.nacks])
    while send != NONE:
        core.send[send].flags |= SF_SYNC
        send = core.send[send].subscribers.next


cdef void use_packet(
    Core *core, Incoming *incoming, RecvStream *r, Producer *producer, const ExtIndex *index, uint32_t present,
    uint64_t ext_seq, bint repaired, bint new_stream
) noexcept nogil:
    """A packet of the stream that has not been seen before."""
    cdef RtpPacket *packet = &incoming.packet
    cdef PayloadType *type = &producer.types[producer.type_index[packet.pt]]
    cdef FrameInfo frame
    cdef bint inspected = packet.payload_len and codec_inspect(
        &frame, type.codec, packet.data + packet.payload_off, packet.payload_len, packet.marker
    )
    cdef bint key_frame = inspected and frame.key_frame and producer.flags & PF_VIDEO
    cdef int verdict
    if r.nacks != NONE:
        verdict = nack_on_packet(&core.nacks[r.nacks], ext_seq, key_frame, repaired, core.now_ns)
        if repaired and (verdict & 7) == NACK_UNWANTED:
            r.rtx_discarded += 1
            count_drop(core, incoming.transport, DROP_RTX_USELESS)
            return
        if verdict & NACK_NEEDS_KEY_FRAME:
            request_key_frame(core, incoming.stream, True)
        timer_want(core, incoming.transport, nack_next_deadline(&core.nacks[r.nacks]))
    if key_frame:
        r.key_frame_asked_ns = 0
        r.key_frame_flags = 0
    elif new_stream and producer.flags & PF_VIDEO:
        request_key_frame(core, incoming.stream, True)
    if present & (1 << <int>EXT_VIDEO_ORIENTATION):
        note_orientation(core, r, incoming.stream, packet.data[index.offset[<int>EXT_VIDEO_ORIENTATION]])
    if producer.trace:
        trace_received(core, incoming, r, producer, index, present, key_frame, repaired)
    if producer.flags & PF_PAUSED:
        count_drop(core, incoming.transport, DROP_PAUSED)
        return
    if packet.payload_len == 0:
        count_drop(core, incoming.transport, DROP_PADDING)
    if r.subscribers:
        keep(core, incoming, r, producer, type, index, ext_seq, key_frame, inspected and frame.dtx)


cdef void keep(
    Core *core, Incoming *incoming, RecvStream *r, const Producer *producer, const PayloadType *type,
    const ExtIndex *index, uint64_t ext_seq, bint key_frame, bint dtx
) noexcept nogil:
    """Write the packet into the history, behind the header that consumers get, and note it for this tick."""
    cdef RtpPacket *packet = &incoming.packet
    cdef Record *record = history_append(core, RTP_TEMPLATE_MAX, packet.payload_len)
    cdef uint32_t want = r.want
    if producer.flags & PF_PACKET_ID:
        want |= RTP_WANT_PACKET_ID
    if not write_header(record, packet, index, producer.flags & PF_VIDEO != 0, want):
        count_drop(core, incoming.transport, DROP_RTP_MALFORMED)
        return
    if want & RTP_WANT_PACKET_ID:
        core.packet_id += 1
        rtp_set_packet_id(record_header(record), &record.template, core.packet_id)
    memcpy(record_payload(record), packet.data + packet.payload_off, packet.payload_len)
    record.ext_seq = ext_seq
    record.timestamp = packet.timestamp
    record.payload_length = <uint16_t>packet.payload_len
    record.pt = type.mapped
    record.marker = packet.marker
    record.key_frame = key_frame
    record.dtx = dtx
    record.arrival_ns = core.now_ns
    record.capture_ns = recv_capture_ns(
        &r.state, &core.transports[incoming.transport].clock, packet.timestamp, core.now_ns
    )
    if r.tick_last:
        record_at(core, r.tick_last - 1).next = record.position + 1
    else:
        r.tick_first = record.position + 1
    r.tick_last = record.position + 1
    if not r.touched:
        r.touched = 1
        r.next_touched = core.touched
        core.touched = incoming.stream


cdef bint write_header(
    Record *record, const RtpPacket *packet, const ExtIndex *index, bint video, uint32_t want
) noexcept nogil:
    """The header for consumers; a dependency descriptor that leaves no room for the rest is left out."""
    if rtp_write_header(&record.template, record_header(record), RTP_TEMPLATE_MAX, packet, index, video, want):
        return True
    want &= ~<uint32_t>RTP_KEEP_DD
    return 0 != rtp_write_header(
        &record.template, record_header(record), RTP_TEMPLATE_MAX, packet, index, video, want
    )


cdef void note_orientation(Core *core, RecvStream *r, uint32_t stream, uint8_t value) noexcept nogil:
    if r.orientation != <uint32_t>value + 1:
        r.orientation = <uint32_t>value + 1
        event_value(core, EVENT_ORIENTATION, handle_of(&r.head, stream), value, 0)


cdef void copy_text(
    uint8_t *to, uint8_t *length, const RtpPacket *packet, const ExtIndex *index, uint32_t kind, uint32_t present
) noexcept nogil:
    length[0] = 0
    if present & (1 << kind) and index.length[kind] <= 32:
        length[0] = index.length[kind]
        memcpy(to, packet.data + index.offset[kind], length[0])


cdef void trace_received(
    Core *core, const Incoming *incoming, const RecvStream *r, const Producer *producer, const ExtIndex *index,
    uint32_t present, bint key_frame, bint is_rtx
) noexcept nogil:
    cdef const RtpPacket *packet = &incoming.packet
    cdef TraceInfo info
    cdef uint32_t type = TRACE_KEYFRAME if key_frame and producer.trace & (1 << <int>TRACE_KEYFRAME) else TRACE_RTP
    if not producer.trace & (1 << type):
        return
    info.direction = 0
    info.is_rtx = is_rtx
    info.pt = packet.pt
    info.seq = packet.seq
    info.timestamp = packet.timestamp
    info.marker = packet.marker
    info.ssrc = packet.ssrc
    info.key_frame = key_frame
    info.size = packet.len
    info.payload_size = packet.payload_len
    info.wide_seq = -1
    if present & (1 << <int>EXT_TWCC):
        info.wide_seq = load16(packet.data + index.offset[<int>EXT_TWCC])
    copy_text(info.mid, &info.mid_length, packet, index, EXT_MID, present)
    copy_text(info.rid, &info.rid_length, packet, index, EXT_RID, present)
    event_trace(core, EVENT_PRODUCER_TRACE, handle_of(&producer.head, r.producer), type, &info)
