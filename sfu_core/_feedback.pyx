"""RTCP of a transport: what the peer reports and asks for, what it is told; and all that happens by time."""

from libc.stdint cimport int64_t, uint16_t, uint64_t

from sfu_core._events cimport (
    EVENT_CONSUMER_TRACE, EVENT_PRODUCER_TRACE, EVENT_RECV_SCORE, EVENT_SEND_SCORE, TRACE_FIR, TRACE_NACK, TRACE_PLI,
    TRACE_SR, TraceInfo, event_trace, event_value, handle_of, timer_want,
)
from sfu_core._forward cimport key_frame_tick, repeat_packets, request_key_frame
from sfu_core._ice cimport ice_data_on, ice_tick
from sfu_core._nack cimport nack_due, nack_next_deadline
from sfu_core._output cimport count_drop, output_rtcp, output_slot
from sfu_core._paths cimport ssrc_find
from sfu_core._receive cimport comedia_learn
from sfu_core._records cimport (
    KF_PIPE, SF_PIPE, SRTCP_SENDERS, TABLE_TRANSPORTS, TF_CONNECTED, TF_KEYED, TF_SRTP, RecvStream, SendStream, SsrcEntry,
    Transport,
)
from sfu_core._remb cimport REMB_ESTIMATE, REMB_OFF, remb_on_loss, remb_take
from sfu_core._rtcp cimport (
    PSFB_FIR, PSFB_PLI, RTCP_MAX_BLOCKS, RTCP_PSFB, RTCP_RR, RTCP_RTPFB, RTCP_SR, RTCP_XR, RTPFB_NACK, RTPFB_TWCC, XR_DLRR,
    XR_RRTR, DlrrEntry, FirEntry, ReportBlock, RtcpIter, SenderInfo, TwccIter, TwccStatus, XrIter, ntp_compact, ntp_from_unix_ns, rtcp_dlrr,
    rtcp_dlrr_count, rtcp_fir, rtcp_fir_count, rtcp_iter, rtcp_nack_seqs, rtcp_next, rtcp_report, rtcp_report_count,
    rtcp_rrtr, rtcp_sender_info, rtcp_twcc, rtcp_twcc_next, rtcp_xr, rtcp_xr_next,
)
from sfu_core._rtcp_write cimport (
    RtcpWriter, rtcp_write_dlrr, rtcp_write_nack, rtcp_write_remb, rtcp_write_rr, rtcp_write_rrtr, rtcp_write_sdes,
    rtcp_write_sr, rtcp_write_twcc,
)
from sfu_core._slab cimport NONE, pen_return, pen_take
from sfu_core._srtp cimport (
    SRTP_AUTH_FAILED, SRTP_OK, ReplayWindow, SrtpJob, replay_check, replay_commit, srtcp_index, srtp_unprotect,
)
from sfu_core._stream cimport (
    meter_add, meter_tick, peer_make_dlrr, peer_on_rrtr, recv_make_report, recv_on_dlrr, recv_on_sr,
    recv_update_score, send_make_sr, send_on_report,
)
from sfu_core._twcc cimport twcc_next_deadline, twcc_on_feedback, twcc_pending
from sfu_core._types cimport (
    DROP_NOT_CONNECTED, DROP_RTCP_MALFORMED, DROP_SRTP_AUTH, DROP_SRTP_FAILED, DROP_SRTP_REPLAYED, FEEDBACK_TWCC,
    SSRC_MEDIA_IN, SSRC_MEDIA_OUT, mix64,
)

cdef enum:
    COMPOUND_MAX = 1292          # 1500 - IPv6 40 - UDP/TCP 20 - SRTP and a margin 148
    MAX_NACKED = 1024            # numbers of one NACK message that are looked at
    TWCC_CHUNK = 512
    MAX_FED_BACK = 2048          # statuses of one transport-wide feedback that are looked at

cdef int64_t FOREVER = 0x7FFFFFFFFFFFFFFF
cdef int64_t SECOND_NS = 1000000000
cdef int64_t REMB_LOOK_NS = 200000000
cdef double LOSS_GAIN = 0.1          # weight of the newest transport-wide feedback


# ---------------------------------------------------------------- in

cdef void receive_rtcp(
    Core *core, uint32_t transport, uint32_t tuple, const Path *path, uint8_t *data, uint32_t length
) noexcept nogil:
    cdef uint64_t before = pen_take(&core.counters.pen, TABLE_TRANSPORTS, transport)
    take_rtcp(core, transport, tuple, path, data, length)
    pen_return(&core.counters.pen, before)


cdef void take_rtcp(
    Core *core, uint32_t transport, uint32_t tuple, const Path *path, uint8_t *data, uint32_t length
) noexcept nogil:
    cdef Transport *t = &core.transports[transport]
    cdef uint32_t clear = length
    if t.flags & TF_SRTP:
        if not t.flags & TF_KEYED:
            count_drop(core, transport, DROP_NOT_CONNECTED)
            return
        clear = unprotect_rtcp(core, transport, data, length)
        if not clear:
            return
    if tuple != NONE:
        ice_data_on(core, tuple)
    elif not comedia_learn(core, transport, path, True):
        return
    meter_add(&t.received, length)
    apply_rtcp(core, transport, data, clear)


cdef ReplayWindow *srtcp_window(Core *core, uint32_t transport, uint32_t ssrc) noexcept nogil:
    """The replay window of an SSRC: one in use for it, else that of its stream; NULL: not seen before."""
    cdef Transport *t = &core.transports[transport]
    cdef SsrcEntry *entry
    cdef uint32_t i
    for i in range(SRTCP_SENDERS):
        if t.srtcp[i].started and t.srtcp[i].ssrc == ssrc:
            return &t.srtcp[i].window
    entry = ssrc_find(core, transport, ssrc, False)
    if entry == NULL:
        return NULL
    if entry.role == SSRC_MEDIA_IN:
        return &core.recv[entry.stream].rtcp_replay
    return &core.recv[entry.stream].rtx_rtcp_replay


cdef ReplayWindow *new_srtcp_window(Transport *t, uint32_t ssrc) noexcept nogil:
    cdef uint32_t i
    for i in range(SRTCP_SENDERS):
        if not t.srtcp[i].started:
            t.srtcp[i].started = 1
            t.srtcp[i].ssrc = ssrc
            return &t.srtcp[i].window
    return NULL


cdef uint32_t unprotect_rtcp(Core *core, uint32_t transport, uint8_t *data, uint32_t length) noexcept nogil:
    """Length of the clear packet, in place; 0 if it is to be dropped."""
    cdef Transport *t = &core.transports[transport]
    cdef SrtpJob job
    cdef ReplayWindow *window
    cdef int64_t index = srtcp_index(core.srtp_in[transport], data, length)
    if index < 0:
        count_drop(core, transport, DROP_SRTP_FAILED)
        return 0
    job.ctx = core.srtp_in[transport]
    job.index = <uint64_t>index
    job.ssrc = (<uint32_t>data[4] << 24) | (<uint32_t>data[5] << 16) | (<uint32_t>data[6] << 8) | data[7]
    job.header = data
    job.header_len = 8
    job.payload = data + 8
    job.payload_len = length - 8
    job.out = data + 8
    job.rtcp = True
    window = srtcp_window(core, transport, job.ssrc)
    if window != NULL and not replay_check(window, <uint64_t>index):
        count_drop(core, transport, DROP_SRTP_REPLAYED)
        return 0
    srtp_unprotect(&job, 1)
    if job.status != SRTP_OK:
        count_drop(core, transport, DROP_SRTP_AUTH if job.status == SRTP_AUTH_FAILED else DROP_SRTP_FAILED)
        return 0
    if window == NULL:
        window = new_srtcp_window(t, job.ssrc)
    if window == NULL:                       # more senders than a transport may have
        count_drop(core, transport, DROP_SRTP_FAILED)
        return 0
    replay_commit(window, <uint64_t>index)
    return 8 + job.out_len


cdef void apply_rtcp(Core *core, uint32_t transport, const uint8_t *data, uint32_t length) noexcept nogil:
    cdef RtcpIter it
    rtcp_iter(&it, data, length)
    while rtcp_next(&it):
        if it.type == RTCP_SR:
            on_sender_report(core, transport, &it)
            on_reports(core, transport, &it)
        elif it.type == RTCP_RR:
            on_reports(core, transport, &it)
        elif it.type == RTCP_RTPFB and it.count == RTPFB_NACK:
            on_nack(core, transport, &it)
        elif it.type == RTCP_RTPFB and it.count == RTPFB_TWCC:
            on_transport_feedback(core, transport, &it)
        elif it.type == RTCP_PSFB:
            on_key_frame_request(core, transport, &it)
        elif it.type == RTCP_XR:
            on_extended_report(core, transport, &it)
    if it.malformed:
        count_drop(core, transport, DROP_RTCP_MALFORMED)


cdef void on_sender_report(Core *core, uint32_t transport, const RtcpIter *it) noexcept nogil:
    cdef SsrcEntry *entry = ssrc_find(core, transport, it.ssrc, False)
    cdef SenderInfo sr
    cdef RecvStream *r
    cdef TraceInfo info
    if entry == NULL or not rtcp_sender_info(it, &sr):
        return
    r = &core.recv[entry.stream]
    if entry.role != SSRC_MEDIA_IN:
        recv_on_sr(&r.rtx_state, &core.transports[transport].clock, sr.ntp, sr.rtp_timestamp, core.now_ns)
        return
    recv_on_sr(&r.state, &core.transports[transport].clock, sr.ntp, sr.rtp_timestamp, core.now_ns)
    if recv_update_score(&r.state):
        event_value(core, EVENT_RECV_SCORE, handle_of(&r.head, entry.stream), r.state.score.value, 0)
    if core.producers[r.producer].trace & (1 << <int>TRACE_SR):
        info.direction = 0
        info.ssrc = it.ssrc
        info.ntp = sr.ntp
        info.timestamp = sr.rtp_timestamp
        info.size = sr.packets
        info.payload_size = sr.octets
        event_trace(
            core, EVENT_PRODUCER_TRACE, handle_of(&core.producers[r.producer].head, r.producer), TRACE_SR, &info
        )



cdef void on_reports(Core *core, uint32_t transport, const RtcpIter *it) noexcept nogil:
    cdef uint32_t compact = ntp_compact(ntp_from_unix_ns(core.now_ns + core.unix_offset_ns))
    cdef uint32_t count = rtcp_report_count(it)
    cdef ReportBlock block
    cdef SsrcEntry *entry
    cdef SendStream *s
    cdef uint32_t i
    for i in range(count):
        if not rtcp_report(it, i, &block):
            return
        entry = ssrc_find(core, transport, block.ssrc, True)
        if entry == NULL:
            continue
        s = &core.send[entry.stream]
        if entry.role != SSRC_MEDIA_OUT:
            send_on_report(&s.rtx_state, &block, compact)
        elif send_on_report(&s.state, &block, compact):
            event_value(core, EVENT_SEND_SCORE, handle_of(&s.head, entry.stream), s.state.score.value, 0)


cdef void trace_consumer(Core *core, uint32_t send, uint32_t type) noexcept nogil:
    cdef TraceInfo info
    if core.send[send].trace & (1 << type):
        info.direction = 0
        info.ssrc = core.send[send].ssrc
        event_trace(core, EVENT_CONSUMER_TRACE, handle_of(&core.send[send].head, send), type, &info)


cdef void on_nack(Core *core, uint32_t transport, const RtcpIter *it) noexcept nogil:
    cdef SsrcEntry *entry = ssrc_find(core, transport, it.media_ssrc, True)
    cdef uint16_t seqs[MAX_NACKED]
    cdef uint32_t count
    if entry == NULL or entry.role != SSRC_MEDIA_OUT:
        return
    count = rtcp_nack_seqs(it, seqs, MAX_NACKED)
    trace_consumer(core, entry.stream, TRACE_NACK)
    repeat_packets(core, entry.stream, seqs, count)


cdef void on_transport_feedback(Core *core, uint32_t transport, const RtcpIter *it) noexcept nogil:
    """The share of what we sent that did not arrive, smoothed as that of what we receive."""
    cdef Transport *t = &core.transports[transport]
    cdef TwccIter feedback
    cdef TwccStatus status
    cdef uint32_t count = 0
    cdef uint32_t lost = 0
    if not rtcp_twcc(it, &feedback):
        return
    while count < MAX_FED_BACK and rtcp_twcc_next(&feedback, &status):
        count += 1
        lost += not status.received
    if count:
        t.loss_out = (1 - LOSS_GAIN) * t.loss_out + LOSS_GAIN * lost / count


cdef void on_key_frame_request(Core *core, uint32_t transport, const RtcpIter *it) noexcept nogil:
    cdef FirEntry fir
    cdef uint32_t i
    if it.count == PSFB_PLI:
        pass_on_request(core, transport, it.media_ssrc, TRACE_PLI)
    elif it.count == PSFB_FIR:
        for i in range(rtcp_fir_count(it)):
            if rtcp_fir(it, i, &fir):
                pass_on_request(core, transport, fir.ssrc, TRACE_FIR)


cdef void pass_on_request(Core *core, uint32_t transport, uint32_t ssrc, uint32_t type) noexcept nogil:
    cdef SsrcEntry *entry = ssrc_find(core, transport, ssrc, True)
    if entry == NULL or entry.role != SSRC_MEDIA_OUT:
        return
    if type == TRACE_PLI:
        core.send[entry.stream].pli_count += 1
    else:
        core.send[entry.stream].fir_count += 1
    trace_consumer(core, entry.stream, type)
    request_key_frame(core, core.send[entry.stream].recv, False)
    if core.send[entry.stream].flags & SF_PIPE:
        core.recv[core.send[entry.stream].recv].key_frame_flags |= KF_PIPE


cdef void on_extended_report(Core *core, uint32_t transport, const RtcpIter *it) noexcept nogil:
    cdef Transport *t = &core.transports[transport]
    cdef XrIter xr
    cdef uint64_t ntp
    if not rtcp_xr(it, &xr):
        return
    while rtcp_xr_next(&xr):
        if xr.type == XR_RRTR and rtcp_rrtr(&xr, &ntp):
            peer_on_rrtr(&t.peer_time, it.ssrc, ntp, core.now_ns)
        elif xr.type == XR_DLRR:
            on_dlrr(core, transport, &xr)


cdef void on_dlrr(Core *core, uint32_t transport, const XrIter *xr) noexcept nogil:
    """Our receiver reference time came back: the round trip to the publisher, for all its streams."""
    cdef uint32_t compact = ntp_compact(ntp_from_unix_ns(core.now_ns + core.unix_offset_ns))
    cdef uint32_t stream
    cdef DlrrEntry entry
    cdef uint32_t i
    for i in range(rtcp_dlrr_count(xr)):
        if not rtcp_dlrr(xr, i, &entry):
            return
        stream = core.transports[transport].first_recv
        while stream != NONE:
            recv_on_dlrr(&core.recv[stream].state, compact, entry.lrr, entry.dlrr)
            stream = core.recv[stream].in_transport.next


# ---------------------------------------------------------------- by time

cdef void feedback_tick(Core *core, uint32_t transport) noexcept nogil:
    cdef Transport *t = &core.transports[transport]
    cdef int64_t deadline = FOREVER
    cdef uint32_t stream = t.first_recv
    ice_tick(core, transport, &deadline)
    while stream != NONE:
        key_frame_tick(core, stream, &deadline)
        nack_tick(core, transport, stream, &deadline)
        stream = core.recv[stream].in_transport.next
    if t.feedback == FEEDBACK_TWCC:
        twcc_tick(core, transport, &deadline)
    if t.rtcp_due_ns:
        if core.now_ns >= t.rtcp_due_ns:
            report_tick(core, transport)
        deadline = min_of(deadline, t.rtcp_due_ns)
    if t.remb.mode != REMB_OFF and t.flags & TF_CONNECTED:
        remb_tick(core, transport)
        if t.remb.mode == REMB_ESTIMATE or t.remb.max_bps or t.remb.farewells:
            deadline = min_of(deadline, core.now_ns + REMB_LOOK_NS)
    if deadline != FOREVER:
        timer_want(core, transport, deadline)


cdef inline int64_t min_of(int64_t a, int64_t b) noexcept nogil:
    return a if a < b else b


cdef inline void open_writer(Core *core, RtcpWriter *writer) noexcept nogil:
    writer.buf = output_slot(core)
    writer.cap = COMPOUND_MAX
    writer.len = 0


cdef void nack_tick(Core *core, uint32_t transport, uint32_t stream, int64_t *deadline) noexcept nogil:
    cdef RecvStream *r = &core.recv[stream]
    cdef uint16_t seqs[256]
    cdef uint32_t count, written
    cdef RtcpWriter writer
    if r.nacks == NONE:
        return
    count = nack_due(&core.nacks[r.nacks], core.now_ns, r.state.rtt_ns, seqs, 256)
    while count:
        open_writer(core, &writer)
        written = rtcp_write_nack(&writer, 0, r.ssrc, seqs, count)
        output_rtcp(core, transport, writer.len)
        r.nack_count += 1
        r.nack_packet_count += written
        trace_nack(core, r)
        count = nack_due(&core.nacks[r.nacks], core.now_ns, r.state.rtt_ns, seqs, 256) if count == 256 else 0
    deadline[0] = min_of(deadline[0], nack_next_deadline(&core.nacks[r.nacks]))


cdef void trace_nack(Core *core, const RecvStream *r) noexcept nogil:
    cdef TraceInfo info
    if core.producers[r.producer].trace & (1 << <int>TRACE_NACK):
        info.direction = 1
        info.ssrc = r.ssrc
        event_trace(
            core, EVENT_PRODUCER_TRACE, handle_of(&core.producers[r.producer].head, r.producer), TRACE_NACK, &info
        )


cdef void twcc_tick(Core *core, uint32_t transport, int64_t *deadline) noexcept nogil:
    cdef Transport *t = &core.transports[transport]
    cdef int64_t arrivals[TWCC_CHUNK]
    cdef uint16_t base_seq = 0
    cdef uint32_t count, written, i
    cdef uint32_t lost = 0
    cdef RtcpWriter writer
    if twcc_next_deadline(&t.twcc) <= core.now_ns:
        count = twcc_pending(&t.twcc, &base_seq, arrivals, TWCC_CHUNK)
        while count:
            open_writer(core, &writer)
            written = rtcp_write_twcc(
                &writer, 0, t.feedback_ssrc, <uint8_t>t.twcc.feedback_count, base_seq, arrivals, count
            )
            if not written:
                break
            lost = 0
            for i in range(written):
                lost += arrivals[i] < 0
            t.loss_in = (1 - LOSS_GAIN) * t.loss_in + LOSS_GAIN * lost / written
            output_rtcp(core, transport, writer.len)
            twcc_on_feedback(&t.twcc, written, core.now_ns)
            count = twcc_pending(&t.twcc, &base_seq, arrivals, TWCC_CHUNK) if written < count else 0
    deadline[0] = min_of(deadline[0], twcc_next_deadline(&t.twcc))


cdef void remb_tick(Core *core, uint32_t transport) noexcept nogil:
    cdef Transport *t = &core.transports[transport]
    cdef uint64_t bitrate = 0
    cdef uint32_t ssrcs[32]
    cdef uint32_t count = 0
    cdef uint32_t stream = t.first_recv
    cdef RtcpWriter writer
    if not remb_take(&t.remb, core.now_ns, &bitrate):
        return
    while stream != NONE and count < 32:
        if core.recv[stream].ssrc:
            ssrcs[count] = core.recv[stream].ssrc
            count += 1
        stream = core.recv[stream].in_transport.next
    open_writer(core, &writer)
    if rtcp_write_remb(&writer, 0, bitrate, ssrcs, count):
        output_rtcp(core, transport, writer.len)


# ---------------------------------------------------------------- reports

cdef inline uint64_t next_random(Core *core) noexcept nogil:
    core.random = mix64(core.random + <uint64_t>0x9E3779B97F4A7C15)
    return core.random


cdef void report_tick(Core *core, uint32_t transport) noexcept nogil:
    """Every 1.0 to 1.5 s: rates, then sender and receiver reports."""
    cdef Transport *t = &core.transports[transport]
    t.rtcp_due_ns = core.now_ns + SECOND_NS + <int64_t>(next_random(core) % 500000000)
    tick_meters(core, t)
    if not t.flags & TF_CONNECTED:
        return
    send_sender_reports(core, transport)
    send_receiver_reports(core, transport)


cdef void tick_meters(Core *core, Transport *t) noexcept nogil:
    cdef uint32_t stream = t.first_recv
    meter_tick(&t.sent, core.now_ns)
    meter_tick(&t.rtp_sent, core.now_ns)
    meter_tick(&t.rtx_sent, core.now_ns)
    meter_tick(&t.received, core.now_ns)
    meter_tick(&t.rtp_received, core.now_ns)
    meter_tick(&t.rtx_received, core.now_ns)
    while stream != NONE:
        meter_tick(&core.recv[stream].state.meter, core.now_ns)
        stream = core.recv[stream].in_transport.next
    stream = t.first_send
    while stream != NONE:
        meter_tick(&core.send[stream].state.meter, core.now_ns)
        stream = core.send[stream].in_transport.next


cdef void send_sender_reports(Core *core, uint32_t transport) noexcept nogil:
    cdef Transport *t = &core.transports[transport]
    cdef uint64_t ntp = ntp_from_unix_ns(core.now_ns + core.unix_offset_ns)
    cdef uint32_t stream = t.first_send
    cdef RtcpWriter writer
    open_writer(core, &writer)
    while stream != NONE:
        write_stream_reports(core, transport, &writer, &core.send[stream], ntp)
        stream = core.send[stream].in_transport.next
    if writer.len:
        output_rtcp(core, transport, writer.len)


cdef void write_stream_reports(
    Core *core, uint32_t transport, RtcpWriter *writer, const SendStream *s, uint64_t ntp
) noexcept nogil:
    """SR, SDES and DLRR of a stream, then of its RTX stream; a full compound leaves and a new one begins."""
    cdef SenderInfo info
    if send_make_sr(&s.state, ntp, core.now_ns, &info):
        write_one_report(core, transport, writer, s, s.ssrc, &info)
    if s.rtx_ssrc and send_make_sr(&s.rtx_state, ntp, core.now_ns, &info):
        write_one_report(core, transport, writer, s, s.rtx_ssrc, &info)


cdef void write_one_report(
    Core *core, uint32_t transport, RtcpWriter *writer, const SendStream *s, uint32_t ssrc, const SenderInfo *info
) noexcept nogil:
    cdef uint32_t before = writer.len
    if write_report(core, transport, writer, s, ssrc, info) or not before:
        return
    writer.len = before
    output_rtcp(core, transport, writer.len)
    open_writer(core, writer)
    write_report(core, transport, writer, s, ssrc, info)


cdef bint write_report(
    Core *core, uint32_t transport, RtcpWriter *writer, const SendStream *s, uint32_t ssrc, const SenderInfo *info
) noexcept nogil:
    cdef DlrrEntry entry
    if not rtcp_write_sr(writer, ssrc, info, NULL, 0):
        return False
    if not rtcp_write_sdes(writer, ssrc, s.cname, s.cname_length):
        return False
    if peer_make_dlrr(&core.transports[transport].peer_time, core.now_ns, &entry):
        return rtcp_write_dlrr(writer, ssrc, &entry, 1)
    return True


cdef void send_receiver_reports(Core *core, uint32_t transport) noexcept nogil:
    cdef Transport *t = &core.transports[transport]
    cdef ReportBlock blocks[RTCP_MAX_BLOCKS + 1]
    cdef uint32_t count = 0
    cdef uint32_t stream = t.first_recv
    while stream != NONE:
        count += report_stream(core, t, &core.recv[stream], &blocks[count])
        if count >= RTCP_MAX_BLOCKS - 1:
            write_receiver_report(core, transport, blocks, count)
            count = 0
        stream = core.recv[stream].in_transport.next
    if count:
        write_receiver_report(core, transport, blocks, count)


cdef uint32_t report_stream(Core *core, Transport *t, RecvStream *r, ReportBlock *blocks) noexcept nogil:
    """Report blocks of a stream and its RTX stream: how many."""
    cdef uint64_t expected_before = r.state.report_expected
    cdef uint32_t count = 0
    cdef uint64_t interval
    if r.ssrc and recv_make_report(&r.state, r.ssrc, core.now_ns, &blocks[0]):
        count = 1
        interval = r.state.report_expected - expected_before
        remb_on_loss(&t.remb, <uint32_t>interval, <uint32_t>((interval * blocks[0].fraction_lost) >> 8))
    if r.rtx_ssrc and recv_make_report(&r.rtx_state, r.rtx_ssrc, core.now_ns, &blocks[count]):
        count += 1
    return count


cdef void write_receiver_report(
    Core *core, uint32_t transport, const ReportBlock *blocks, uint32_t count
) noexcept nogil:
    cdef RtcpWriter writer
    open_writer(core, &writer)
    rtcp_write_rr(&writer, 0, blocks, count)
    rtcp_write_rrtr(&writer, 0, ntp_from_unix_ns(core.now_ns + core.unix_offset_ns))
    output_rtcp(core, transport, writer.len)
