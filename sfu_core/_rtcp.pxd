"""RTCP, the reading half: an iterator over compound packets and readers (RFC 3550, 4585, 5104, 3611; REMB and transport-cc
drafts), and the time formats of reports. Writing: `_rtcp_write`.

Tier 1: over bytes that the caller owns; nothing here allocates or reads a clock. Readers are given an iterator that stands
on a packet of their type (they check it) and answer False/0 for anything malformed.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef enum RtcpType:
    RTCP_SR = 200
    RTCP_RR = 201
    RTCP_SDES = 202
    RTCP_BYE = 203
    RTCP_APP = 204
    RTCP_RTPFB = 205
    RTCP_PSFB = 206
    RTCP_XR = 207


cdef enum RtcpFormat:
    """`RtcpIter.count` of feedback packets."""
    RTPFB_NACK = 1
    RTPFB_TWCC = 15
    PSFB_PLI = 1
    PSFB_FIR = 4
    PSFB_AFB = 15            # application layer feedback: REMB


cdef enum:
    RTCP_MAX_BLOCKS = 31     # report blocks in one SR or RR
    SDES_CNAME = 1
    XR_RRTR = 4
    XR_DLRR = 5


cdef struct RtcpIter:
    const uint8_t *cursor
    const uint8_t *end
    bint malformed           # iteration stopped before the end
    # the packet it stands on:
    const uint8_t *body      # behind the 4-byte common header
    uint32_t len             # of the body, without padding
    uint32_t ssrc            # sender (first word of the body); 0 if the body is empty
    uint32_t media_ssrc      # second word of RTPFB and PSFB, else 0
    uint8_t type
    uint8_t count            # report count, source count or FMT


cdef struct SenderInfo:
    uint64_t ntp             # Q32.32
    uint32_t rtp_timestamp
    uint32_t packets
    uint32_t octets


cdef struct ReportBlock:
    uint32_t ssrc
    uint32_t highest_seq     # cycles << 16 | seq
    uint32_t jitter          # RTP clock units
    uint32_t lsr             # middle 32 bits of the SR's NTP
    uint32_t dlsr            # 1/65536 s
    int32_t lost             # cumulative, 24 bits signed (clamped on write)
    uint8_t fraction_lost


cdef struct FirEntry:
    uint32_t ssrc
    uint8_t seq


cdef struct Remb:
    uint64_t bitrate         # bits per second; saturates at 2**64 - 1
    const uint8_t *ssrcs     # big-endian words
    uint32_t count


cdef struct TwccStatus:
    uint16_t seq
    bint received
    int32_t delta_250us      # to the packet received before (the first: to the reference time); 0 if not received


cdef struct TwccIter:
    uint32_t reference_time  # 24 bits, units of 64 ms
    uint16_t base_seq
    uint16_t status_count
    uint8_t feedback_count
    # position:
    const uint8_t *chunk
    const uint8_t *delta
    uint32_t left            # statuses not yet given out
    uint16_t seq
    uint16_t symbols         # current chunk
    uint16_t chunk_left      # statuses left in it
    uint8_t chunk_kind


cdef struct XrIter:
    const uint8_t *cursor
    const uint8_t *end
    const uint8_t *body      # behind the 4-byte block header
    uint32_t len
    uint8_t type


cdef struct DlrrEntry:
    uint32_t ssrc
    uint32_t lrr
    uint32_t dlrr            # 1/65536 s


cdef struct SdesIter:
    const uint8_t *cursor
    const uint8_t *end
    uint32_t chunks_left
    bint in_chunk
    uint32_t ssrc
    uint8_t type
    uint8_t len
    const uint8_t *text      # not zero-terminated


cdef void rtcp_iter(RtcpIter *it, const uint8_t *data, uint32_t len) noexcept nogil
cdef bint rtcp_next(RtcpIter *it) noexcept nogil

cdef bint rtcp_sender_info(const RtcpIter *it, SenderInfo *out) noexcept nogil
cdef uint32_t rtcp_report_count(const RtcpIter *it) noexcept nogil
cdef bint rtcp_report(const RtcpIter *it, uint32_t index, ReportBlock *out) noexcept nogil

# NACK: entries of (pid, blp), or all numbers expanded into `out` (at most `cap`; returns how many were written).
cdef uint32_t rtcp_nack_count(const RtcpIter *it) noexcept nogil
cdef bint rtcp_nack(const RtcpIter *it, uint32_t index, uint16_t *pid, uint16_t *blp) noexcept nogil
cdef uint32_t rtcp_nack_seqs(const RtcpIter *it, uint16_t *out, uint32_t cap) noexcept nogil

cdef bint rtcp_is_pli(const RtcpIter *it) noexcept nogil
cdef uint32_t rtcp_fir_count(const RtcpIter *it) noexcept nogil
cdef bint rtcp_fir(const RtcpIter *it, uint32_t index, FirEntry *out) noexcept nogil
cdef bint rtcp_remb(const RtcpIter *it, Remb *out) noexcept nogil

# Transport-cc: `rtcp_twcc` checks the whole packet first, so `rtcp_twcc_next` cannot fail, only end.
cdef bint rtcp_twcc(const RtcpIter *it, TwccIter *out) noexcept nogil
cdef bint rtcp_twcc_next(TwccIter *it, TwccStatus *out) noexcept nogil

cdef bint rtcp_xr(const RtcpIter *it, XrIter *out) noexcept nogil
cdef bint rtcp_xr_next(XrIter *it) noexcept nogil
cdef bint rtcp_rrtr(const XrIter *it, uint64_t *ntp) noexcept nogil
cdef uint32_t rtcp_dlrr_count(const XrIter *it) noexcept nogil
cdef bint rtcp_dlrr(const XrIter *it, uint32_t index, DlrrEntry *out) noexcept nogil

cdef bint rtcp_sdes(const RtcpIter *it, SdesIter *out) noexcept nogil
cdef bint rtcp_sdes_next(SdesIter *it) noexcept nogil
cdef uint32_t rtcp_bye_count(const RtcpIter *it) noexcept nogil
cdef uint32_t rtcp_bye(const RtcpIter *it, uint32_t index) noexcept nogil


cdef inline uint64_t ntp_from_unix_ns(int64_t ns) noexcept nogil:
    """Q32.32 seconds since 1900 of a Unix time >= 0."""
    cdef uint64_t seconds = <uint64_t>ns // 1000000000 + 2208988800U
    cdef uint64_t rest = <uint64_t>ns % 1000000000
    return (seconds << 32) | ((rest << 32) // 1000000000)


cdef inline uint64_t ntp_from_ns(int64_t ns) noexcept nogil:
    """Q32.32 seconds of a time on any clock (>= 0), for clocks whose origin does not matter (monotonic)."""
    cdef uint64_t seconds = <uint64_t>ns // 1000000000
    cdef uint64_t rest = <uint64_t>ns % 1000000000
    return (seconds << 32) | ((rest << 32) // 1000000000)


cdef inline int64_t ns_from_ntp(uint64_t ntp) noexcept nogil:
    """Nanoseconds of a Q32.32 time on the same origin."""
    return <int64_t>((ntp >> 32) * 1000000000 + (((ntp & 0xFFFFFFFFU) * 1000000000) >> 32))


cdef inline uint32_t ntp_compact(uint64_t ntp) noexcept nogil:
    """The middle 32 bits: 16.16 seconds, as in LSR and LRR."""
    return <uint32_t>(ntp >> 16)


cdef inline uint32_t compact_from_ns(int64_t ns) noexcept nogil:
    """A duration >= 0 in 1/65536 s, as in DLSR and DLRR; saturates."""
    cdef uint64_t units = (<uint64_t>ns // 1000000000 << 16) + ((<uint64_t>ns % 1000000000 << 16) // 1000000000)
    return 0xFFFFFFFFU if units > 0xFFFFFFFFU else <uint32_t>units


cdef inline int64_t ns_from_compact(uint32_t units) noexcept nogil:
    return <int64_t>((<uint64_t>units * 1000000000) >> 16)


cdef inline int64_t rtcp_rtt_ns(uint32_t now_compact, uint32_t last, uint32_t delay) noexcept nogil:
    """Round trip from an echoed report (LSR/DLSR, LRR/DLRR); -1 without one, at least one unit (15 us) else."""
    cdef int32_t units = <int32_t>(now_compact - last - delay)
    if last == 0:
        return -1
    return ns_from_compact(<uint32_t>units) if units > 0 else ns_from_compact(1)
