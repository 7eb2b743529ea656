"""RTCP, the writing half. See the .pxd for the contract.

Tier 1, any thread. Knows bytes only: no streams, no timers, no statistics.
"""

from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from sfu_core._bytes cimport store16, store24, store32, store64
from sfu_core._rtcp cimport (
    PSFB_AFB, PSFB_FIR, PSFB_PLI, RTCP_BYE, RTCP_MAX_BLOCKS, RTCP_PSFB, RTCP_RR, RTCP_RTPFB, RTCP_SDES, RTCP_SR,
    RTCP_XR, RTPFB_NACK, RTPFB_TWCC, SDES_CNAME, XR_DLRR, XR_RRTR,
)
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
    # packet status symbols of transport-cc; their values are the bytes of the delta
    SYMBOL_LOST = 0
    SYMBOL_SMALL = 1
    SYMBOL_LARGE = 2


# --- packets ---

cdef inline uint8_t *open_packet(RtcpWriter *w, uint8_t type, uint32_t count, uint32_t size) noexcept nogil:
    """Room for a packet of `size` bytes (whole words) with its common header; NULL if it does not fit."""
    cdef uint8_t *at = w.buf + w.len
    if size > w.cap - w.len or size > 4 * 0x10000:
        return NULL
    at[0] = <uint8_t>(0x80 | count)
    at[1] = type
    store16(at + 2, <uint16_t>(size // 4 - 1))
    w.len += size
    return at


cdef inline uint8_t *open_feedback(
    RtcpWriter *w, uint8_t type, uint32_t format, uint32_t sender_ssrc, uint32_t media_ssrc, uint32_t fci
) noexcept nogil:
    """A feedback packet with `fci` bytes of control information; returns where they begin."""
    cdef uint8_t *at = open_packet(w, type, format, HEADER + FEEDBACK + fci)
    if at == NULL:
        return NULL
    store32(at + 4, sender_ssrc)
    store32(at + 8, media_ssrc)
    return at + HEADER + FEEDBACK


cdef inline uint32_t clamped_lost(int32_t lost) noexcept nogil:
    if lost > 0x7FFFFF:
        lost = 0x7FFFFF
    elif lost < -0x800000:
        lost = -0x800000
    return <uint32_t>lost & 0xFFFFFF


cdef void put_reports(uint8_t *at, const ReportBlock *blocks, uint32_t count) noexcept nogil:
    cdef uint32_t i
    for i in range(count):
        store32(at, blocks[i].ssrc)
        at[4] = blocks[i].fraction_lost
        store24(at + 5, clamped_lost(blocks[i].lost))
        store32(at + 8, blocks[i].highest_seq)
        store32(at + 12, blocks[i].jitter)
        store32(at + 16, blocks[i].lsr)
        store32(at + 20, blocks[i].dlsr)
        at += REPORT_BLOCK


cdef bint rtcp_write_sr(
    RtcpWriter *w, uint32_t ssrc, const SenderInfo *info, const ReportBlock *blocks, uint32_t count
) noexcept nogil:
    cdef uint8_t *at = NULL
    if count <= RTCP_MAX_BLOCKS:
        at = open_packet(w, RTCP_SR, count, HEADER + 4 + SENDER_INFO + REPORT_BLOCK * count)
    if at == NULL:
        return False
    store32(at + 4, ssrc)
    store64(at + 8, info.ntp)
    store32(at + 16, info.rtp_timestamp)
    store32(at + 20, info.packets)
    store32(at + 24, info.octets)
    put_reports(at + HEADER + 4 + SENDER_INFO, blocks, count)
    return True


cdef bint rtcp_write_rr(
    RtcpWriter *w, uint32_t ssrc, const ReportBlock *blocks, uint32_t count
) noexcept nogil:
    cdef uint8_t *at = NULL
    if count <= RTCP_MAX_BLOCKS:
        at = open_packet(w, RTCP_RR, count, HEADER + 4 + REPORT_BLOCK * count)
    if at == NULL:
        return False
    store32(at + 4, ssrc)
    put_reports(at + HEADER + 4, blocks, count)
    return True


cdef bint rtcp_write_sdes(RtcpWriter *w, uint32_t ssrc, const uint8_t *cname, uint32_t len) noexcept nogil:
    cdef uint32_t chunk = (4 + 2 + len + 1 + 3) & ~<uint32_t>3      # at least one zero ends the items
    cdef uint8_t *at = NULL
    if len <= 255:
        at = open_packet(w, RTCP_SDES, 1, HEADER + chunk)
    if at == NULL:
        return False
    memset(at + HEADER, 0, chunk)
    store32(at + 4, ssrc)
    at[8] = SDES_CNAME
    at[9] = <uint8_t>len
    if len:
        memcpy(at + 10, cname, len)
    return True


cdef bint rtcp_write_bye(RtcpWriter *w, uint32_t ssrc) noexcept nogil:
    cdef uint8_t *at = open_packet(w, RTCP_BYE, 1, HEADER + 4)
    if at == NULL:
        return False
    store32(at + 4, ssrc)
    return True


cdef inline uint8_t *open_xr(RtcpWriter *w, uint32_t ssrc, uint8_t block_type, uint32_t size) noexcept nogil:
    """An XR packet with one block; returns where the block's contents begin."""
    cdef uint8_t *at = open_packet(w, RTCP_XR, 0, HEADER + 4 + 4 + size)
    if at == NULL:
        return NULL
    store32(at + 4, ssrc)
    at[8] = block_type
    at[9] = 0
    store16(at + 10, <uint16_t>(size // 4))
    return at + 12


cdef bint rtcp_write_rrtr(RtcpWriter *w, uint32_t ssrc, uint64_t ntp) noexcept nogil:
    cdef uint8_t *at = open_xr(w, ssrc, XR_RRTR, 8)
    if at == NULL:
        return False
    store64(at, ntp)
    return True


cdef bint rtcp_write_dlrr(
    RtcpWriter *w, uint32_t ssrc, const DlrrEntry *entries, uint32_t count
) noexcept nogil:
    cdef uint8_t *at = NULL
    cdef uint32_t i
    if 0 < count <= 0xFFFF // 3:
        at = open_xr(w, ssrc, XR_DLRR, DLRR_ENTRY * count)
    if at == NULL:
        return False
    for i in range(count):
        store32(at + DLRR_ENTRY * i, entries[i].ssrc)
        store32(at + DLRR_ENTRY * i + 4, entries[i].lrr)
        store32(at + DLRR_ENTRY * i + 8, entries[i].dlrr)
    return True


cdef inline uint32_t nack_run(const uint16_t *seqs, uint32_t count, uint16_t *blp) noexcept nogil:
    """How many of the numbers one entry holds: the first and those up to 16 behind it."""
    cdef uint32_t i = 1
    cdef uint16_t distance
    blp[0] = 0
    while i < count:
        distance = <uint16_t>(seqs[i] - seqs[0])
        if distance == 0 or distance > 16:
            break
        blp[0] |= <uint16_t>(1 << (distance - 1))
        i += 1
    return i


cdef uint32_t rtcp_write_nack(
    RtcpWriter *w, uint32_t sender_ssrc, uint32_t media_ssrc, const uint16_t *seqs, uint32_t count
) noexcept nogil:
    cdef uint8_t *fci
    cdef uint8_t *at = w.buf + w.len
    cdef uint32_t room = w.cap - w.len
    cdef uint32_t entries = 0
    cdef uint32_t done = 0
    cdef uint16_t blp
    cdef uint16_t pid
    if count == 0 or room < HEADER + FEEDBACK + 4:
        return 0
    fci = at + HEADER + FEEDBACK
    room = min((room - HEADER - FEEDBACK) // 4, <uint32_t>0xFF00)
    while done < count and entries < room:
        pid = seqs[done]
        done += nack_run(seqs + done, count - done, &blp)
        store16(fci + 4 * entries, pid)
        store16(fci + 4 * entries + 2, blp)
        entries += 1
    open_feedback(w, RTCP_RTPFB, RTPFB_NACK, sender_ssrc, media_ssrc, 4 * entries)
    return done


cdef bint rtcp_write_pli(RtcpWriter *w, uint32_t sender_ssrc, uint32_t media_ssrc) noexcept nogil:
    return open_feedback(w, RTCP_PSFB, PSFB_PLI, sender_ssrc, media_ssrc, 0) != NULL


cdef bint rtcp_write_fir(
    RtcpWriter *w, uint32_t sender_ssrc, uint32_t media_ssrc, const FirEntry *entries, uint32_t count
) noexcept nogil:
    cdef uint8_t *fci = NULL
    cdef uint32_t i
    if 0 < count <= 0x1000:
        fci = open_feedback(w, RTCP_PSFB, PSFB_FIR, sender_ssrc, media_ssrc, FIR_ENTRY * count)
    if fci == NULL:
        return False
    for i in range(count):
        store32(fci + FIR_ENTRY * i, entries[i].ssrc)
        store32(fci + FIR_ENTRY * i + 4, <uint32_t>entries[i].seq << 24)
    return True


cdef bint rtcp_write_remb(
    RtcpWriter *w, uint32_t sender_ssrc, uint64_t bitrate, const uint32_t *ssrcs, uint32_t count
) noexcept nogil:
    cdef uint8_t *fci = NULL
    cdef uint32_t exponent = 0
    cdef uint32_t i
    if count <= 255:
        fci = open_feedback(w, RTCP_PSFB, PSFB_AFB, sender_ssrc, 0, REMB_FIXED + 4 * count)
    if fci == NULL:
        return False
    while bitrate > 0x3FFFF:     # 18 bits of mantissa; what is cut off is below 1/131072
        bitrate >>= 1
        exponent += 1
    store32(fci, REMB_NAME)
    fci[4] = <uint8_t>count
    store24(fci + 5, (exponent << 18) | <uint32_t>bitrate)
    for i in range(count):
        store32(fci + REMB_FIXED + 4 * i, ssrcs[i])
    return True


# --- the transport-cc builder ---

cdef uint32_t choose_symbols(
    uint8_t *symbols, int64_t reference, const int64_t *arrivals, uint32_t count
) noexcept nogil:
    """The symbol of each status. Returns how many there are before a gap that 16 bits cannot tell."""
    cdef int64_t last = reference
    cdef int64_t delta
    cdef uint32_t i
    for i in range(count):
        if arrivals[i] < 0:
            symbols[i] = SYMBOL_LOST
            continue
        delta = arrivals[i] - last
        if delta < -0x8000 or delta > 0x7FFF:
            return i
        symbols[i] = SYMBOL_SMALL if 0 <= delta <= 255 else SYMBOL_LARGE
        last = arrivals[i]
    return count


cdef inline uint32_t run_length(const uint8_t *symbols, uint32_t count) noexcept nogil:
    cdef uint32_t run = 1
    while run < count and symbols[run] == symbols[0]:
        run += 1
    return run


cdef inline bint has_large(const uint8_t *symbols, uint32_t count) noexcept nogil:
    cdef uint32_t i
    for i in range(count):
        if symbols[i] == SYMBOL_LARGE:
            return True
    return False


cdef uint32_t choose_chunk(const uint8_t *symbols, uint32_t count, uint16_t *chunk) noexcept nogil:
    """The chunk that holds the most of these statuses. Returns how many."""
    cdef uint32_t run = run_length(symbols, count)
    cdef bint two_bits = has_large(symbols, min(count, <uint32_t>14))
    cdef uint32_t size = 7 if two_bits else 14
    cdef uint32_t i
    if run >= size:
        chunk[0] = <uint16_t>((symbols[0] << 13) | run)      # run <= TWCC_MAX_STATUSES fits in 13 bits
        return run
    size = min(size, count)
    chunk[0] = 0xC000 if two_bits else 0x8000
    for i in range(size):
        chunk[0] |= <uint16_t>(symbols[i] << (12 - 2 * i if two_bits else 13 - i))
    return size


cdef inline uint32_t delta_bytes(const uint8_t *symbols, uint32_t count) noexcept nogil:
    cdef uint32_t size = 0
    cdef uint32_t i
    for i in range(count):
        size += symbols[i]
    return size


cdef uint32_t put_chunks(
    uint8_t *at, uint32_t room, const uint8_t *symbols, uint32_t count, uint32_t *size
) noexcept nogil:
    """Writes chunks while they and their deltas fit in `room`. Returns the statuses; `size`: bytes of chunks."""
    cdef uint32_t done = 0
    cdef uint32_t deltas = 0
    cdef uint32_t taken
    cdef uint16_t chunk
    size[0] = 0
    while done < count:
        taken = choose_chunk(symbols + done, count - done, &chunk)
        deltas += delta_bytes(symbols + done, taken)
        if size[0] + 2 + deltas > room:
            break
        store16(at + size[0], chunk)
        size[0] += 2
        done += taken
    return done


cdef uint32_t put_deltas(
    uint8_t *at, const uint8_t *symbols, int64_t reference, const int64_t *arrivals, uint32_t count
) noexcept nogil:
    cdef int64_t last = reference
    cdef uint32_t size = 0
    cdef uint32_t i
    for i in range(count):
        if symbols[i] == SYMBOL_LOST:
            continue
        if symbols[i] == SYMBOL_SMALL:
            at[size] = <uint8_t>(arrivals[i] - last)
        else:
            store16(at + size, <uint16_t>(arrivals[i] - last))
        size += symbols[i]
        last = arrivals[i]
    return size


cdef inline uint32_t first_arrival(const int64_t *arrivals, uint32_t count) noexcept nogil:
    cdef uint32_t i = 0
    while i < count and arrivals[i] < 0:
        i += 1
    return i


cdef uint32_t rtcp_write_twcc(
    RtcpWriter *w, uint32_t sender_ssrc, uint32_t media_ssrc, uint8_t feedback_count,
    uint16_t base_seq, const int64_t *arrivals, uint32_t count
) noexcept nogil:
    cdef uint8_t[TWCC_MAX_STATUSES] symbols
    cdef uint8_t *fci = w.buf + w.len + HEADER + FEEDBACK
    cdef uint32_t room = (w.cap - w.len) & ~<uint32_t>3
    cdef uint32_t known, done, size, first, fci_size
    cdef int64_t reference
    count = min(count, <uint32_t>TWCC_MAX_STATUSES)
    first = first_arrival(arrivals, count)
    if first == count or room < HEADER + FEEDBACK + TWCC_FIXED:
        return 0
    room -= HEADER + FEEDBACK + TWCC_FIXED
    reference = arrivals[first] & ~<int64_t>0xFF             # 64 ms = 256 units
    known = choose_symbols(symbols, reference, arrivals, count)
    done = put_chunks(fci + TWCC_FIXED, room, symbols, known, &size)
    if done <= first:
        return 0
    size += put_deltas(fci + TWCC_FIXED + size, symbols, reference, arrivals, done)
    fci_size = (TWCC_FIXED + size + 3) & ~<uint32_t>3
    memset(fci + TWCC_FIXED + size, 0, fci_size - TWCC_FIXED - size)
    open_feedback(w, RTCP_RTPFB, RTPFB_TWCC, sender_ssrc, media_ssrc, fci_size)
    store16(fci, base_seq)
    store16(fci + 2, <uint16_t>done)
    store24(fci + 4, <uint32_t>(reference >> 8) & 0xFFFFFF)
    fci[7] = feedback_count
    return done


# --- test door ---

cdef class Writer:
    """An RtcpWriter over a heap block of `cap` bytes, with the writers as methods."""
    cdef RtcpWriter w

    def __cinit__(self, uint32_t cap=1200):
        self.w.buf = exact_copy(bytes(cap))
        self.w.cap = cap

    def __dealloc__(self):
        free(self.w.buf)

    def data(self):
        return (<const char *>self.w.buf)[:self.w.len]

    cdef bint reports(self, uint32_t ssrc, list blocks, SenderInfo *info) except -1:
        cdef ReportBlock raw[40]
        cdef uint32_t i
        for i in range(min(len(blocks), 40)):
            raw[i] = blocks[i]
        if info != NULL:
            return rtcp_write_sr(&self.w, ssrc, info, raw, <uint32_t>len(blocks))
        return rtcp_write_rr(&self.w, ssrc, raw, <uint32_t>len(blocks))

    def sr(self, uint32_t ssrc, dict info not None, list blocks not None):
        cdef SenderInfo raw = info
        return bool(self.reports(ssrc, blocks, &raw))

    def rr(self, uint32_t ssrc, list blocks not None):
        return bool(self.reports(ssrc, blocks, NULL))

    def sdes(self, uint32_t ssrc, bytes cname not None):
        return bool(rtcp_write_sdes(&self.w, ssrc, <const uint8_t *><const char *>cname, <uint32_t>len(cname)))

    def bye(self, uint32_t ssrc):
        return bool(rtcp_write_bye(&self.w, ssrc))

    def rrtr(self, uint32_t ssrc, uint64_t ntp):
        return bool(rtcp_write_rrtr(&self.w, ssrc, ntp))

    def dlrr(self, uint32_t ssrc, list entries not None):
        cdef DlrrEntry raw[64]
        cdef uint32_t i
        for i in range(min(len(entries), 64)):
            raw[i].ssrc, raw[i].lrr, raw[i].dlrr = entries[i]
        return bool(rtcp_write_dlrr(&self.w, ssrc, raw, <uint32_t>min(len(entries), 64)))

    def nack(self, uint32_t sender, uint32_t media, list seqs not None):
        cdef uint16_t *raw = <uint16_t *>exact_copy(bytes(2 * len(seqs)))
        cdef Py_ssize_t i
        try:
            for i in range(len(seqs)):
                raw[i] = seqs[i]
            return rtcp_write_nack(&self.w, sender, media, raw, <uint32_t>len(seqs))
        finally:
            free(raw)

    def pli(self, uint32_t sender, uint32_t media):
        return bool(rtcp_write_pli(&self.w, sender, media))

    def fir(self, uint32_t sender, uint32_t media, list entries not None):
        cdef FirEntry raw[64]
        cdef uint32_t i
        for i in range(min(len(entries), 64)):
            raw[i].ssrc, raw[i].seq = entries[i]
        return bool(rtcp_write_fir(&self.w, sender, media, raw, <uint32_t>min(len(entries), 64)))

    def remb(self, uint32_t sender, uint64_t bitrate, list ssrcs not None):
        cdef uint32_t raw[256]
        cdef uint32_t i
        for i in range(min(len(ssrcs), 256)):
            raw[i] = ssrcs[i]
        return bool(rtcp_write_remb(&self.w, sender, bitrate, raw, <uint32_t>len(ssrcs)))

    def twcc(self, uint32_t sender, uint32_t media, uint8_t feedback_count, uint16_t base_seq, list arrivals not None):
        cdef int64_t *raw = <int64_t *>exact_copy(bytes(8 * len(arrivals)))
        cdef Py_ssize_t i
        try:
            for i in range(len(arrivals)):
                raw[i] = arrivals[i]
            return rtcp_write_twcc(
                &self.w, sender, media, feedback_count, base_seq, raw, <uint32_t>len(arrivals)
            )
        finally:
            free(raw)
