"""Producer to consumers: what of a stream goes to whom, under which numbers; repeats; key frame requests.

A consumer that may receive is in its stream's list of subscribers. Per tick the list is walked once and each
subscriber gets all packets of the tick: its state is loaded once, its packets follow each other in the batch.
"""

from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from sfu_core._bytes cimport seq_extend
from sfu_core._events cimport (
    EVENT_CONSUMER_TRACE, EVENT_PRODUCER_TRACE, EVENT_RTP, TRACE_FIR, TRACE_KEYFRAME, TRACE_PLI, TRACE_RTP, TraceInfo,
    event_bytes, event_trace, handle_of, timer_want,
)
from sfu_core._history cimport history_get, record_at, record_header, record_payload
from sfu_core._links cimport LINK_RTP, link_commit, link_reserve
from sfu_core._munge cimport MUNGE_OK, munge_drop, munge_packet, munge_sync, reserve
from sfu_core._output cimport count_drop, output_rtcp, output_rtp, output_slot
from sfu_core._records cimport (
    INDEX_BLOCK, KF_AGAIN, KF_PIPE, KF_REPEATED, PF_FIR, PF_PAUSED, PF_PLI, SF_ABS_SEND_TIME, SF_IGNORE_DTX, SF_LINKED,
    SF_MID, SF_NACK, SF_NEEDS_KEY, SF_PAUSED, SF_PIPE, SF_SYNC, SF_TWCC, SF_VIDEO, TABLE_SEND, TF_CONNECTED, TF_LINK,
    Producer, Record, RecvStream, SendStream, Transport,
)
from sfu_core._rtcp cimport FirEntry
from sfu_core._rtcp_write cimport RtcpWriter, rtcp_write_fir, rtcp_write_pli
from sfu_core._rtp cimport (
    RTP_KEEP_DD, RTP_WANT_ABS_SEND_TIME, RTP_WANT_MID, RTP_WANT_TWCC, abs_send_time, rtp_patch, rtp_set_abs_send_time,
    rtp_set_mid, rtp_set_twcc,
)
from sfu_core._rtx cimport (
    SENT_DUPLICATE, SENT_OK, Sent, rtx_write_osn, sent_abs_send_time, sent_clear, sent_put, sent_take,
)
from sfu_core._slab cimport NONE, chain_add, chain_add_behind, chain_remove, pen_return, pen_take
from sfu_core._stream cimport meter_add, send_on_nack, send_on_packet, send_on_repeat
from sfu_core._types cimport DROP_UNKNOWN_PAYLOAD_TYPE, SLOT_SIZE, TRANSPORT_DIRECT

cdef int64_t KEY_FRAME_INTERVAL_NS = 1000000000
cdef int64_t KEY_FRAME_REPEAT_NS = 400000000   # browsers ignore a request within 300 ms of the last
cdef int64_t FIRST_REPORT_NS = 500000000
cdef int64_t MIN_REPEAT_NS = 10000000


# ---------------------------------------------------------------- the hot path

cdef void forward_tick(Core *core) noexcept nogil:
    cdef RecvStream *stream
    cdef uint32_t index, send
    while core.touched != NONE:
        index = core.touched
        stream = &core.recv[index]
        core.touched = stream.next_touched
        send = stream.first_subscriber
        while send != NONE:
            forward_records(core, send, stream.tick_first)
            send = core.send[send].subscribers.next
        stream.touched = 0
        stream.tick_first = 0
        stream.tick_last = 0


cdef void forward_records(Core *core, uint32_t send, uint64_t first) noexcept nogil:
    cdef SendStream *s = &core.send[send]
    cdef Transport *t = &core.transports[s.transport]
    cdef Record *record
    cdef uint64_t before
    if not t.flags & TF_CONNECTED:
        s.flags |= SF_SYNC
        return
    before = pen_take(&core.counters.pen, TABLE_SEND, send)
    while first:
        record = record_at(core, first - 1)
        if wanted(core, s, record):
            forward_one(core, send, s, t, record)
        first = record.next
    pen_return(&core.counters.pen, before)


cdef inline bint leave_out(SendStream *s, const Record *record) noexcept nogil:
    if not s.flags & SF_SYNC:                # before a (re)start the numbers are still those of the last stretch
        munge_drop(&s.munger, record.ext_seq)
    return False


cdef inline bint wanted(Core *core, SendStream *s, const Record *record) noexcept nogil:
    """Whether the packet goes to this consumer; one that does not leaves no gap in its numbers."""
    if record.payload_length == 0 or (record.dtx and s.flags & SF_IGNORE_DTX):
        return leave_out(s, record)
    if not (s.types[record.pt >> 6] >> (record.pt & 63)) & 1:
        count_drop(core, s.transport, DROP_UNKNOWN_PAYLOAD_TYPE)
        return leave_out(s, record)
    if not s.flags & SF_SYNC:
        return True
    if s.flags & SF_NEEDS_KEY and not record.key_frame:
        return False
    munge_sync(&s.munger, record.ext_seq, record.timestamp, record.arrival_ns, True)
    s.flags &= ~<uint32_t>SF_SYNC
    return True


cdef void forward_one(Core *core, uint32_t send, SendStream *s, Transport *t, Record *record) noexcept nogil:
    cdef uint64_t out_ext
    cdef uint32_t out_ts, ast
    cdef uint8_t *slot = NULL
    cdef uint32_t header_length = record.template.len
    if t.flags & TF_LINK:
        slot = link_reserve(core, s.transport, header_length + record.payload_length)
        if slot == NULL:
            restart_after_full_link(core, s)
            return
    if munge_packet(
        &s.munger, record.ext_seq, record.timestamp, record.arrival_ns, &out_ext, &out_ts
    ) != MUNGE_OK:
        return
    ast = abs_send_time(core.now_ns) if s.flags & SF_ABS_SEND_TIME else 0
    if s.flags & SF_NACK and sent_put(
        &s.sent_ring, core.sent[s.sent].entries, out_ext, record.position, out_ts, ast, t.twcc_seq, 0, core.now_ns
    ) == SENT_DUPLICATE:
        return
    reserve(&s.munger.reserved_until, out_ext, INDEX_BLOCK)
    if not t.flags & TF_LINK:
        slot = output_slot(core)
    memcpy(slot, record_header(record), header_length)
    rtp_patch(slot, record.pt, record.marker, <uint16_t>out_ext, out_ts, s.ssrc)
    write_extensions(s, slot, record, ast, t.twcc_seq)
    if s.flags & SF_TWCC:
        t.twcc_seq += 1
    send_on_packet(
        &s.state, out_ts, header_length + record.payload_length, record.payload_length, record.capture_ns, core.now_ns
    )
    meter_add(&t.rtp_sent, header_length + record.payload_length)
    if s.trace:
        trace_sent(core, send, s, record, <uint16_t>out_ext, out_ts, False)
    if t.kind == TRANSPORT_DIRECT:
        memcpy(slot + header_length, record_payload(record), record.payload_length)
        event_bytes(core, EVENT_RTP, handle_of(&s.head, send), slot, header_length + record.payload_length)
        return
    if t.flags & TF_LINK:
        memcpy(slot + header_length, record_payload(record), record.payload_length)
        link_commit(core, s.transport, LINK_RTP, header_length + record.payload_length)
        return
    output_rtp(core, s.transport, s.ssrc, out_ext, header_length, record_payload(record), record.payload_length)


cdef void restart_after_full_link(Core *core, SendStream *s) noexcept nogil:
    """What does not fit would only be a hole for everybody behind the pipe: go on with the next key frame."""
    s.flags |= SF_SYNC
    if s.flags & SF_VIDEO:
        request_key_frame(core, s.recv, False)


cdef inline void write_extensions(
    const SendStream *s, uint8_t *slot, const Record *record, uint32_t ast, uint16_t twcc
) noexcept nogil:
    if s.flags & SF_MID:
        rtp_set_mid(slot, &record.template, s.mid, s.mid_length)
    if s.flags & SF_ABS_SEND_TIME:
        rtp_set_abs_send_time(slot, &record.template, ast)
    if s.flags & SF_TWCC:
        rtp_set_twcc(slot, &record.template, twcc)


cdef void trace_sent(
    Core *core, uint32_t send, const SendStream *s, const Record *record, uint16_t seq, uint32_t ts, bint is_rtx
) noexcept nogil:
    cdef TraceInfo info
    cdef uint32_t type = TRACE_KEYFRAME if record.key_frame and s.trace & (1 << <int>TRACE_KEYFRAME) else TRACE_RTP
    if not s.trace & (1 << type):
        return
    info.direction = 1
    info.is_rtx = is_rtx
    info.pt = s.rtx_pt if is_rtx else record.pt
    info.seq = seq
    info.timestamp = ts
    info.marker = record.marker
    info.ssrc = s.rtx_ssrc if is_rtx else s.ssrc
    info.key_frame = record.key_frame
    info.size = record.template.len + record.payload_length
    info.payload_size = record.payload_length
    info.wide_seq = -1
    info.rid_length = 0
    info.mid_length = s.mid_length if s.flags & SF_MID else 0
    memcpy(info.mid, s.mid, 8)
    event_trace(core, EVENT_CONSUMER_TRACE, handle_of(&s.head, send), type, &info)


# ---------------------------------------------------------------- repeats

cdef uint32_t repeat_packets(Core *core, uint32_t send, const uint16_t *seqs, uint32_t count) noexcept nogil:
    cdef SendStream *s = &core.send[send]
    cdef Transport *t = &core.transports[s.transport]
    cdef uint32_t done = 0
    cdef uint32_t i
    send_on_nack(&s.state, count)
    if not s.flags & SF_NACK or not t.flags & TF_CONNECTED:
        return 0
    for i in range(count):
        if repeat_one(core, send, s, t, seqs[i]):
            done += 1
    return done


cdef inline int64_t repeat_gap(const SendStream *s) noexcept nogil:
    """A round trip, 0 if unknown; not so short as a peer that lies about its delay could make it."""
    return MIN_REPEAT_NS if 0 < s.state.rtt_ns < MIN_REPEAT_NS else s.state.rtt_ns


cdef bint repeat_one(Core *core, uint32_t send, SendStream *s, Transport *t, uint16_t seq) noexcept nogil:
    cdef Sent *entry = NULL
    cdef bint first_time = False
    cdef Record *record
    cdef uint32_t size
    if sent_take(
        &s.sent_ring, core.sent[s.sent].entries, seq, core.now_ns, repeat_gap(s), &entry, &first_time
    ) != SENT_OK:
        return False
    record = history_get(core, entry.record)
    if record == NULL:
        s.unrepeatable += 1
        return False
    size = record.template.len + record.payload_length
    if s.rtx_ssrc:
        repeat_by_rtx(core, s, t, record, entry)
        meter_add(&t.rtx_sent, size + 2)
    else:
        repeat_as_it_was(core, s, record, entry)
        meter_add(&t.rtp_sent, size)
    send_on_repeat(&s.state, size, record.payload_length, first_time, s.rtx_ssrc == 0)
    if s.trace:
        trace_sent(core, send, s, record, entry.seq, entry.ts, s.rtx_ssrc != 0)
    return True


cdef void repeat_by_rtx(Core *core, SendStream *s, Transport *t, Record *record, const Sent *entry) noexcept nogil:
    """RFC 4588: fresh numbers, the original one before the payload."""
    cdef uint8_t *slot = output_slot(core)
    cdef uint32_t header_length = record.template.len
    cdef uint64_t index = s.rtx.next_ext
    cdef uint32_t ast = abs_send_time(core.now_ns) if s.flags & SF_ABS_SEND_TIME else 0
    s.rtx.next_ext += 1
    reserve(&s.rtx.reserved_until, index, INDEX_BLOCK)
    memcpy(slot, record_header(record), header_length)
    rtp_patch(slot, s.rtx_pt, record.marker, <uint16_t>index, entry.ts, s.rtx_ssrc)
    write_extensions(s, slot, record, ast, t.twcc_seq)
    if s.flags & SF_TWCC:
        t.twcc_seq += 1
    rtx_write_osn(slot + header_length, entry.seq)
    memcpy(slot + header_length + 2, record_payload(record), record.payload_length)
    send_on_packet(
        &s.rtx_state, entry.ts, header_length + record.payload_length + 2, record.payload_length + 2,
        record.capture_ns, core.now_ns,
    )
    if t.kind == TRANSPORT_DIRECT:
        return
    output_rtp(
        core, s.transport, s.rtx_ssrc, index, header_length, slot + header_length, record.payload_length + 2
    )


cdef void repeat_as_it_was(Core *core, SendStream *s, Record *record, const Sent *entry) noexcept nogil:
    """Byte for byte the first sending: under one index only one string may ever be protected."""
    cdef uint8_t *slot = output_slot(core)
    memcpy(slot, record_header(record), record.template.len)
    rtp_patch(slot, record.pt, record.marker, entry.seq, entry.ts, s.ssrc)
    write_extensions(s, slot, record, sent_abs_send_time(entry), entry.twcc)
    if core.transports[s.transport].kind == TRANSPORT_DIRECT:
        return
    output_rtp(
        core, s.transport, s.ssrc, seq_extend(s.munger.out_highest, entry.seq),
        record.template.len, record_payload(record), record.payload_length,
    )


# ---------------------------------------------------------------- key frames

cdef void request_key_frame(Core *core, uint32_t recv, bint forced) noexcept nogil:
    cdef RecvStream *stream = &core.recv[recv]
    cdef Producer *producer = &core.producers[stream.producer]
    if producer.flags & PF_PAUSED or not stream.ssrc:
        return
    if producer.key_frame_delay_ns and not forced:
        if core.now_ns < stream.key_frame_delay_until_ns:
            stream.key_frame_delayed = 1
            return
        stream.key_frame_delay_until_ns = core.now_ns + producer.key_frame_delay_ns
        stream.key_frame_delayed = 0
        timer_want(core, stream.transport, stream.key_frame_delay_until_ns)
    if stream.key_frame_asked_ns and not forced:
        stream.key_frame_flags |= KF_AGAIN
        return
    ask_for_key_frame(core, recv, stream, producer)


cdef void ask_for_key_frame(Core *core, uint32_t recv, RecvStream *stream, Producer *producer) noexcept nogil:
    cdef RtcpWriter writer
    cdef FirEntry entry
    cdef TraceInfo info
    cdef uint32_t type
    if producer.flags & PF_PLI:
        type = TRACE_PLI
    elif producer.flags & PF_FIR:
        type = TRACE_FIR
    else:
        return
    stream.key_frame_asked_ns = core.now_ns
    stream.key_frame_flags = 0
    timer_want(core, stream.transport, core.now_ns + KEY_FRAME_REPEAT_NS)
    writer.buf = output_slot(core)
    writer.cap = SLOT_SIZE
    writer.len = 0
    if type == TRACE_PLI:
        rtcp_write_pli(&writer, stream.ssrc, stream.ssrc)
        stream.pli_count += 1
    else:
        entry.ssrc = stream.ssrc
        entry.seq = <uint8_t>stream.fir_seq
        stream.fir_seq += 1
        rtcp_write_fir(&writer, stream.ssrc, stream.ssrc, &entry, 1)
        stream.fir_count += 1
    output_rtcp(core, stream.transport, writer.len)
    if producer.trace & (1 << type):
        info.direction = 1
        info.ssrc = stream.ssrc
        event_trace(
            core, EVENT_PRODUCER_TRACE, handle_of(&producer.head, stream.producer), type, &info
        )


cdef bint somebody_waits(const Core *core, const RecvStream *stream) noexcept nogil:
    """Whether a subscriber has had no key frame yet. It cannot ask: it has seen nothing of the stream."""
    cdef uint32_t send = stream.first_subscriber
    cdef const SendStream *s
    while send != NONE:
        s = &core.send[send]
        if s.flags & SF_SYNC and s.flags & SF_NEEDS_KEY and core.transports[s.transport].flags & TF_CONNECTED:
            return True
        send = s.subscribers.next
    return False


cdef int64_t key_frame_due(const Core *core, const RecvStream *stream) noexcept nogil:
    """When the request under way has been without an answer for too long."""
    if stream.key_frame_flags & KF_REPEATED or core.producers[stream.producer].key_frame_delay_ns:
        return stream.key_frame_asked_ns + KEY_FRAME_INTERVAL_NS
    return stream.key_frame_asked_ns + KEY_FRAME_REPEAT_NS


cdef void repeat_key_frame_request(Core *core, uint32_t recv, RecvStream *stream) noexcept nogil:
    """Once early for those who wait for their first picture, who may be behind a pipe; after a second for whoever
    still wants one."""
    cdef Producer *producer = &core.producers[stream.producer]
    cdef bint over = core.now_ns - stream.key_frame_asked_ns >= KEY_FRAME_INTERVAL_NS
    cdef bint waits = somebody_waits(core, stream)
    if not over:
        if (waits or stream.key_frame_flags & KF_PIPE) and not producer.flags & PF_PAUSED:
            ask_for_key_frame(core, recv, stream, producer)
        stream.key_frame_flags |= KF_REPEATED
        return
    stream.key_frame_asked_ns = 0
    if stream.key_frame_flags & KF_AGAIN and not producer.flags & PF_PAUSED:
        ask_for_key_frame(core, recv, stream, producer)
    elif waits:
        request_key_frame(core, recv, False)
    else:
        stream.key_frame_flags = 0


cdef void key_frame_tick(Core *core, uint32_t recv, int64_t *deadline) noexcept nogil:
    """A request may get lost, or be ignored by a publisher that answered another one just before."""
    cdef RecvStream *stream = &core.recv[recv]
    if stream.key_frame_asked_ns and core.now_ns >= key_frame_due(core, stream):
        repeat_key_frame_request(core, recv, stream)
    if stream.key_frame_delay_until_ns and core.now_ns >= stream.key_frame_delay_until_ns:
        stream.key_frame_delay_until_ns = 0
        if stream.key_frame_delayed:
            stream.key_frame_delayed = 0
            request_key_frame(core, recv, False)
    if stream.key_frame_asked_ns and key_frame_due(core, stream) < deadline[0]:
        deadline[0] = key_frame_due(core, stream)
    if stream.key_frame_delay_until_ns and stream.key_frame_delay_until_ns < deadline[0]:
        deadline[0] = stream.key_frame_delay_until_ns


# ---------------------------------------------------------------- subscribers

cdef uint32_t header_wishes(const SendStream *s) noexcept nogil:
    cdef uint32_t want = 0
    if s.flags & SF_MID:
        want |= RTP_WANT_MID
    if s.flags & SF_ABS_SEND_TIME:
        want |= RTP_WANT_ABS_SEND_TIME
    if s.flags & SF_TWCC:
        want |= RTP_WANT_TWCC
    if s.flags & SF_PIPE:
        want |= RTP_KEEP_DD
    return want


cdef inline void ask_for_start(Core *core, const SendStream *s) noexcept nogil:
    """Not for a neighbour: whoever is behind the link asks when it is ready, and a publisher that has just been asked
    would ignore that."""
    if s.flags & SF_VIDEO and not core.transports[s.transport].flags & TF_LINK:
        request_key_frame(core, s.recv, False)


cdef uint32_t last_link(Core *core, const RecvStream *stream) noexcept nogil:
    """Pipes stand first in the list, so that a neighbour has a packet before all consumers here have theirs."""
    cdef uint32_t last = NONE
    cdef uint32_t send = stream.first_subscriber
    while send != NONE and core.transports[core.send[send].transport].flags & TF_LINK:
        last = send
        send = core.send[send].subscribers.next
    return last


cdef void subscribe(Core *core, uint32_t send) noexcept nogil:
    """Put a consumer into its stream's list; it starts with the next packet, or key frame if video."""
    cdef SendStream *s = &core.send[send]
    cdef RecvStream *stream = &core.recv[s.recv]
    cdef uint32_t pipe
    if s.flags & (SF_LINKED | SF_PAUSED):
        return
    s.flags |= SF_LINKED | SF_SYNC
    pipe = NONE if core.transports[s.transport].flags & TF_LINK else last_link(core, stream)
    if pipe == NONE:
        chain_add(&stream.first_subscriber, &core.send.subscribers, sizeof(SendStream), send)
    else:
        chain_add_behind(pipe, &core.send.subscribers, sizeof(SendStream), send)
    stream.subscribers += 1
    stream.want |= header_wishes(s)
    if core.transports[s.transport].flags & TF_CONNECTED:
        ask_for_start(core, s)


cdef void unsubscribe(Core *core, uint32_t send) noexcept nogil:
    cdef SendStream *s = &core.send[send]
    cdef RecvStream *stream = &core.recv[s.recv]
    if not s.flags & SF_LINKED:
        return
    chain_remove(&stream.first_subscriber, &core.send.subscribers, sizeof(SendStream), send)
    stream.subscribers -= 1
    s.flags &= ~<uint32_t>SF_LINKED
    if s.flags & SF_NACK:
        sent_clear(&s.sent_ring)


cdef void transport_connected(Core *core, uint32_t transport) noexcept nogil:
    cdef Transport *t = &core.transports[transport]
    cdef uint32_t send = t.first_send
    if not t.rtcp_due_ns:
        t.rtcp_due_ns = core.now_ns + FIRST_REPORT_NS
        timer_want(core, transport, t.rtcp_due_ns)
    while send != NONE:
        core.send[send].flags |= SF_SYNC
        if core.send[send].flags & SF_LINKED:
            ask_for_start(core, &core.send[send])
        send = core.send[send].in_transport.next
