"""RTCP, the reading half: the iterator and the readers. See the .pxd for the contract.

Tier 1, any thread. Knows bytes only: no streams, no timers, no statistics.
"""

from libc.stdlib cimport free
from libc.string cimport memset

from sfu_core._bytes cimport load16, load24, load32, load64
from sfu_core._testdoor cimport exact_copy


cdef enum:
    HEADER = 4               # common header
    SENDER_INFO = 20
    REPORT_BLOCK = 24
    FEEDBACK = 8             # sender and media SSRC, at the start of a feedback body
    FIR_ENTRY = 8
    DLRR_ENTRY = 12
    REMB_FIXED = 8           # 'REMB', number of SSRCs, exponent and mantissa
    REMB_NAME = 0x52454D42
    TWCC_FIXED = 8           # base, count, reference time, feedback count
    # chunk kinds of transport-cc
    CHUNK_RUN = 0
    CHUNK_ONE_BIT = 1
    CHUNK_TWO_BITS = 2
    # packet status symbols
    SYMBOL_LOST = 0
    SYMBOL_SMALL = 1
    SYMBOL_LARGE = 2


# --- compound packets (RFC 3550 section 6.1) ---

cdef void rtcp_iter(RtcpIter *it, const uint8_t *data, uint32_t len) noexcept nogil:
    memset(it, 0, sizeof(RtcpIter))
    it.cursor = data
    it.end = data + len


cdef bint rtcp_next(RtcpIter *it) noexcept nogil:
    cdef const uint8_t *data = it.cursor
    cdef uint32_t left = <uint32_t>(it.end - data)
    cdef uint32_t size, padding
    if left == 0 or it.malformed:
        return False
    it.malformed = True
    if left < HEADER or data[0] >> 6 != 2:
        return False
    size = 4 * (<uint32_t>load16(data + 2) + 1)
    if size > left:
        return False
    padding = 0
    if data[0] & 0x20:       # Chromium pads transport-cc with single bytes, though the RFC wants whole words
        padding = data[size - 1]
        if padding == 0 or padding > size - HEADER:
            return False
    it.malformed = False
    it.cursor = data + size
    it.type = data[1]
    it.count = data[0] & 0x1F
    it.body = data + HEADER
    it.len = size - HEADER - padding
    it.ssrc = load32(it.body) if it.len >= 4 else 0
    it.media_ssrc = 0
    if it.len >= FEEDBACK and (it.type == RTCP_RTPFB or it.type == RTCP_PSFB):
        it.media_ssrc = load32(it.body + 4)
    return True


# --- sender and receiver reports (RFC 3550 section 6.4) ---

cdef bint rtcp_sender_info(const RtcpIter *it, SenderInfo *out) noexcept nogil:
    if it.type != RTCP_SR or it.len < 4 + SENDER_INFO:
        return False
    out.ntp = load64(it.body + 4)
    out.rtp_timestamp = load32(it.body + 12)
    out.packets = load32(it.body + 16)
    out.octets = load32(it.body + 20)
    return True


cdef inline uint32_t reports_off(const RtcpIter *it) noexcept nogil:
    return 4 + SENDER_INFO if it.type == RTCP_SR else 4


cdef uint32_t rtcp_report_count(const RtcpIter *it) noexcept nogil:
    if it.type != RTCP_SR and it.type != RTCP_RR:
        return 0
    if it.len < reports_off(it) + REPORT_BLOCK * <uint32_t>it.count:
        return 0
    return it.count


cdef bint rtcp_report(const RtcpIter *it, uint32_t index, ReportBlock *out) noexcept nogil:
    cdef const uint8_t *block
    if index >= rtcp_report_count(it):
        return False
    block = it.body + reports_off(it) + REPORT_BLOCK * index
    out.ssrc = load32(block)
    out.fraction_lost = block[4]
    out.lost = <int32_t>(load24(block + 5) << 8) >> 8
    out.highest_seq = load32(block + 8)
    out.jitter = load32(block + 12)
    out.lsr = load32(block + 16)
    out.dlsr = load32(block + 20)
    return True


# --- feedback (RFC 4585 section 6, RFC 5104 section 4.3.1) ---

cdef inline bint is_feedback(const RtcpIter *it, uint8_t type, uint8_t format) noexcept nogil:
    return it.type == type and it.count == format and it.len >= FEEDBACK


cdef uint32_t rtcp_nack_count(const RtcpIter *it) noexcept nogil:
    return (it.len - FEEDBACK) // 4 if is_feedback(it, RTCP_RTPFB, RTPFB_NACK) else 0


cdef bint rtcp_nack(const RtcpIter *it, uint32_t index, uint16_t *pid, uint16_t *blp) noexcept nogil:
    if index >= rtcp_nack_count(it):
        return False
    pid[0] = load16(it.body + FEEDBACK + 4 * index)
    blp[0] = load16(it.body + FEEDBACK + 4 * index + 2)
    return True


cdef uint32_t rtcp_nack_seqs(const RtcpIter *it, uint16_t *out, uint32_t cap) noexcept nogil:
    cdef uint32_t count = 0
    cdef uint32_t index, bit
    cdef uint16_t pid = 0, blp = 0
    for index in range(rtcp_nack_count(it)):
        rtcp_nack(it, index, &pid, &blp)
        if count < cap:
            out[count] = pid
            count += 1
        for bit in range(16):
            if (blp >> bit) & 1 and count < cap:
                out[count] = <uint16_t>(pid + bit + 1)
                count += 1
    return count


cdef bint rtcp_is_pli(const RtcpIter *it) noexcept nogil:
    return is_feedback(it, RTCP_PSFB, PSFB_PLI)


cdef uint32_t rtcp_fir_count(const RtcpIter *it) noexcept nogil:
    return (it.len - FEEDBACK) // FIR_ENTRY if is_feedback(it, RTCP_PSFB, PSFB_FIR) else 0


cdef bint rtcp_fir(const RtcpIter *it, uint32_t index, FirEntry *out) noexcept nogil:
    if index >= rtcp_fir_count(it):
        return False
    out.ssrc = load32(it.body + FEEDBACK + FIR_ENTRY * index)
    out.seq = it.body[FEEDBACK + FIR_ENTRY * index + 4]
    return True


cdef bint rtcp_remb(const RtcpIter *it, Remb *out) noexcept nogil:
    cdef const uint8_t *fci
    cdef uint64_t mantissa
    cdef uint8_t exponent
    if not is_feedback(it, RTCP_PSFB, PSFB_AFB) or it.len < FEEDBACK + REMB_FIXED:
        return False
    fci = it.body + FEEDBACK
    if load32(fci) != REMB_NAME or it.len < FEEDBACK + REMB_FIXED + 4 * <uint32_t>fci[4]:
        return False
    out.count = fci[4]
    out.ssrcs = fci + REMB_FIXED
    exponent = fci[5] >> 2
    mantissa = load24(fci + 5) & 0x3FFFF
    out.bitrate = mantissa << exponent
    if out.bitrate >> exponent != mantissa:
        out.bitrate = <uint64_t>0 - 1
    return True


# --- transport-cc (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1) ---

cdef inline void open_chunk(TwccIter *it) noexcept nogil:
    """Reads the chunk at `it.chunk`, which is known to be there."""
    cdef uint16_t word = load16(it.chunk)
    it.chunk += 2
    if not word & 0x8000:
        it.chunk_kind = CHUNK_RUN
        it.symbols = (word >> 13) & 3
        it.chunk_left = word & 0x1FFF
    elif not word & 0x4000:
        it.chunk_kind = CHUNK_ONE_BIT
        it.symbols = <uint16_t>(word << 2)       # next symbol in the highest bits
        it.chunk_left = 14
    else:
        it.chunk_kind = CHUNK_TWO_BITS
        it.symbols = <uint16_t>(word << 2)
        it.chunk_left = 7


cdef inline uint16_t next_symbol(TwccIter *it) noexcept nogil:
    cdef uint16_t symbol
    if it.chunk_kind == CHUNK_RUN:
        symbol = it.symbols
    elif it.chunk_kind == CHUNK_ONE_BIT:
        symbol = it.symbols >> 15
        it.symbols = <uint16_t>(it.symbols << 1)
    else:
        symbol = it.symbols >> 14
        it.symbols = <uint16_t>(it.symbols << 2)
    it.chunk_left -= 1
    return symbol


cdef bint check_chunks(TwccIter *it, const uint8_t *end) noexcept nogil:
    """Walks all chunks to find where the deltas begin, and that all of them are there. `it` is left there."""
    cdef uint32_t left = it.status_count
    cdef uint32_t deltas = 0
    cdef uint16_t symbol
    while left > 0:
        if end - it.chunk < 2:
            return False
        open_chunk(it)
        if it.chunk_left > left:
            it.chunk_left = <uint16_t>left       # a vector may reach beyond the last status
        left -= it.chunk_left
        if it.chunk_kind == CHUNK_RUN:
            if it.symbols > SYMBOL_LARGE or it.chunk_left == 0:
                return False
            deltas += it.symbols * <uint32_t>it.chunk_left
            continue
        while it.chunk_left:
            symbol = next_symbol(it)
            if symbol > SYMBOL_LARGE:
                return False
            deltas += symbol                     # 1 or 2 bytes
    it.delta = it.chunk
    return deltas <= <uint32_t>(end - it.delta)


cdef bint rtcp_twcc(const RtcpIter *it, TwccIter *out) noexcept nogil:
    cdef const uint8_t *fci
    if not is_feedback(it, RTCP_RTPFB, RTPFB_TWCC) or it.len < FEEDBACK + TWCC_FIXED:
        return False
    memset(out, 0, sizeof(TwccIter))
    fci = it.body + FEEDBACK
    out.base_seq = load16(fci)
    out.status_count = load16(fci + 2)
    out.reference_time = load24(fci + 4)
    out.feedback_count = fci[7]
    out.chunk = fci + TWCC_FIXED
    if out.status_count == 0 or not check_chunks(out, it.body + it.len):
        return False
    out.chunk = fci + TWCC_FIXED
    out.chunk_left = 0
    out.left = out.status_count
    out.seq = out.base_seq
    return True


cdef bint rtcp_twcc_next(TwccIter *it, TwccStatus *out) noexcept nogil:
    cdef uint16_t symbol
    if it.left == 0:
        return False
    if it.chunk_left == 0:
        open_chunk(it)
    symbol = next_symbol(it)
    out.seq = it.seq
    out.received = symbol != SYMBOL_LOST
    out.delta_250us = 0
    if symbol == SYMBOL_SMALL:
        out.delta_250us = it.delta[0]
        it.delta += 1
    elif symbol == SYMBOL_LARGE:
        out.delta_250us = <int16_t>load16(it.delta)
        it.delta += 2
    it.seq += 1
    it.left -= 1
    return True


# --- extended reports (RFC 3611 sections 4.4, 4.5) ---

cdef bint rtcp_xr(const RtcpIter *it, XrIter *out) noexcept nogil:
    if it.type != RTCP_XR or it.len < 4:
        return False
    memset(out, 0, sizeof(XrIter))
    out.cursor = it.body + 4
    out.end = it.body + it.len
    return True


cdef bint rtcp_xr_next(XrIter *it) noexcept nogil:
    cdef uint32_t left = <uint32_t>(it.end - it.cursor)
    cdef uint32_t size
    if left < 4:
        return False
    size = 4 * <uint32_t>load16(it.cursor + 2)
    if size > left - 4:
        return False
    it.type = it.cursor[0]
    it.body = it.cursor + 4
    it.len = size
    it.cursor = it.body + size
    return True


cdef bint rtcp_rrtr(const XrIter *it, uint64_t *ntp) noexcept nogil:
    if it.type != XR_RRTR or it.len != 8:
        return False
    ntp[0] = load64(it.body)
    return True


cdef uint32_t rtcp_dlrr_count(const XrIter *it) noexcept nogil:
    return it.len // DLRR_ENTRY if it.type == XR_DLRR else 0


cdef bint rtcp_dlrr(const XrIter *it, uint32_t index, DlrrEntry *out) noexcept nogil:
    if index >= rtcp_dlrr_count(it):
        return False
    out.ssrc = load32(it.body + DLRR_ENTRY * index)
    out.lrr = load32(it.body + DLRR_ENTRY * index + 4)
    out.dlrr = load32(it.body + DLRR_ENTRY * index + 8)
    return True


# --- source descriptions and goodbyes (RFC 3550 sections 6.5, 6.6) ---

cdef bint rtcp_sdes(const RtcpIter *it, SdesIter *out) noexcept nogil:
    if it.type != RTCP_SDES:
        return False
    memset(out, 0, sizeof(SdesIter))
    out.cursor = it.body
    out.end = it.body + (it.len & ~<uint32_t>3)
    out.chunks_left = it.count
    return True


cdef inline void end_chunk(SdesIter *it) noexcept nogil:
    """From the zero that ends a chunk to the next word. Chunks begin on words as counted from the end, too."""
    it.cursor += ((it.end - it.cursor - 1) & 3) + 1
    it.in_chunk = False


cdef bint rtcp_sdes_next(SdesIter *it) noexcept nogil:
    while True:
        if not it.in_chunk:
            if it.chunks_left == 0 or it.end - it.cursor < 4:
                return False
            it.chunks_left -= 1
            it.ssrc = load32(it.cursor)
            it.cursor += 4
            it.in_chunk = True
        if it.cursor >= it.end:
            return False
        if it.cursor[0] == 0:
            end_chunk(it)
            continue
        if it.end - it.cursor < 2 or it.end - it.cursor - 2 < it.cursor[1]:
            it.cursor = it.end
            return False
        it.type = it.cursor[0]
        it.len = it.cursor[1]
        it.text = it.cursor + 2
        it.cursor += 2 + it.len
        return True


cdef uint32_t rtcp_bye_count(const RtcpIter *it) noexcept nogil:
    if it.type != RTCP_BYE or it.len < 4 * <uint32_t>it.count:
        return 0
    return it.count


cdef uint32_t rtcp_bye(const RtcpIter *it, uint32_t index) noexcept nogil:
    return load32(it.body + 4 * index) if index < rtcp_bye_count(it) else 0


# --- test doors ---

cdef list read_reports(const RtcpIter *it):
    cdef ReportBlock block
    cdef uint32_t i
    blocks = []
    for i in range(rtcp_report_count(it)):
        rtcp_report(it, i, &block)
        blocks.append(block)
    return blocks


cdef list read_twcc(TwccIter *twcc):
    cdef TwccStatus status
    statuses = []
    while rtcp_twcc_next(twcc, &status):
        statuses.append((status.seq, bool(status.received), status.delta_250us))
    return statuses


cdef dict read_rtpfb(const RtcpIter *it):
    cdef TwccIter twcc
    cdef uint16_t seqs[512]
    cdef uint16_t pid = 0, blp = 0
    cdef uint32_t i, count
    fields = {"media_ssrc": it.media_ssrc}
    if rtcp_nack_count(it):
        count = rtcp_nack_seqs(it, seqs, 512)
        fields["nack"] = [seqs[i] for i in range(count)]
        entries = []
        for i in range(rtcp_nack_count(it)):
            rtcp_nack(it, i, &pid, &blp)
            entries.append((pid, blp))
        fields["entries"] = entries
    if rtcp_twcc(it, &twcc):
        fields["twcc"] = {
            "base_seq": twcc.base_seq, "reference_time": twcc.reference_time,
            "feedback_count": twcc.feedback_count, "statuses": read_twcc(&twcc),
        }
    return fields


cdef dict read_psfb(const RtcpIter *it):
    cdef FirEntry fir
    cdef Remb remb
    cdef uint32_t i
    fields = {"media_ssrc": it.media_ssrc}
    if rtcp_is_pli(it):
        fields["pli"] = True
    if rtcp_fir_count(it):
        entries = []
        for i in range(rtcp_fir_count(it)):
            rtcp_fir(it, i, &fir)
            entries.append((fir.ssrc, fir.seq))
        fields["fir"] = entries
    if rtcp_remb(it, &remb):
        fields["remb"] = remb.bitrate
        fields["ssrcs"] = [load32(remb.ssrcs + 4 * i) for i in range(remb.count)]
    return fields


cdef dict read_xr(const RtcpIter *it):
    cdef XrIter xr
    cdef DlrrEntry dlrr
    cdef uint64_t ntp
    cdef uint32_t i
    blocks = []
    if rtcp_xr(it, &xr):
        while rtcp_xr_next(&xr):
            if rtcp_rrtr(&xr, &ntp):
                blocks.append(("rrtr", ntp))
            elif rtcp_dlrr_count(&xr):
                entries = []
                for i in range(rtcp_dlrr_count(&xr)):
                    rtcp_dlrr(&xr, i, &dlrr)
                    entries.append((dlrr.ssrc, dlrr.lrr, dlrr.dlrr))
                blocks.append(("dlrr", entries))
            else:
                blocks.append((xr.type, xr.len))
    return {"blocks": blocks}


cdef dict read_sdes(const RtcpIter *it):
    cdef SdesIter sdes
    items = []
    if rtcp_sdes(it, &sdes):
        while rtcp_sdes_next(&sdes):
            items.append((sdes.ssrc, sdes.type, (<const char *>sdes.text)[:sdes.len]))
    return {"items": items}


cdef dict read_packet(const RtcpIter *it):
    cdef SenderInfo info
    cdef uint32_t i
    fields = {"type": it.type, "count": it.count, "ssrc": it.ssrc, "len": it.len}
    if it.type == RTCP_SR or it.type == RTCP_RR:
        if rtcp_sender_info(it, &info):
            fields["info"] = info
        fields["reports"] = read_reports(it)
    elif it.type == RTCP_RTPFB:
        fields.update(read_rtpfb(it))
    elif it.type == RTCP_PSFB:
        fields.update(read_psfb(it))
    elif it.type == RTCP_XR:
        fields.update(read_xr(it))
    elif it.type == RTCP_SDES:
        fields.update(read_sdes(it))
    elif it.type == RTCP_BYE:
        fields["sources"] = [rtcp_bye(it, i) for i in range(rtcp_bye_count(it))]
    return fields


def parse(bytes data not None):
    """(packets, malformed): every packet of a compound with all that can be read from it."""
    cdef RtcpIter it
    cdef uint8_t *copy = exact_copy(data)
    packets = []
    try:
        rtcp_iter(&it, copy, <uint32_t>len(data))
        while rtcp_next(&it):
            packets.append(read_packet(&it))
        return packets, bool(it.malformed)
    finally:
        free(copy)


def times(int64_t ns):
    """Conversions of one time: (ntp of Unix ns, ntp of ns, ns back from that, compact of ns, ns back from that)."""
    ntp = ntp_from_ns(ns)
    return ntp_from_unix_ns(ns), ntp, ns_from_ntp(ntp), compact_from_ns(ns), ns_from_compact(compact_from_ns(ns))


def rtt(uint32_t now, uint32_t last, uint32_t delay):
    """The round trip in ns from compact NTP times."""
    return rtcp_rtt_ns(now, last, delay)
