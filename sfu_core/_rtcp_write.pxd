"""RTCP, the writing half: reports, descriptions and feedback appended to a buffer of the caller's. Tier 1."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from sfu_core._rtcp cimport DlrrEntry, FirEntry, ReportBlock, SenderInfo


cdef enum:
    TWCC_LOST = -1           # in the array of arrivals
    TWCC_MAX_STATUSES = 2048 # at most so many in one transport-cc packet


# Appends packets at buf + len. A packet that does not fit is not written at all.
cdef struct RtcpWriter:
    uint8_t *buf
    uint32_t cap
    uint32_t len


# Writers: True if written. At most RTCP_MAX_BLOCKS report blocks, CNAMEs up to 255 bytes.
cdef bint rtcp_write_sr(
    RtcpWriter *w, uint32_t ssrc, const SenderInfo *info, const ReportBlock *blocks, uint32_t count
) noexcept nogil
cdef bint rtcp_write_rr(
    RtcpWriter *w, uint32_t ssrc, const ReportBlock *blocks, uint32_t count
) noexcept nogil
cdef bint rtcp_write_sdes(RtcpWriter *w, uint32_t ssrc, const uint8_t *cname, uint32_t len) noexcept nogil
cdef bint rtcp_write_bye(RtcpWriter *w, uint32_t ssrc) noexcept nogil
cdef bint rtcp_write_rrtr(RtcpWriter *w, uint32_t ssrc, uint64_t ntp) noexcept nogil
cdef bint rtcp_write_dlrr(
    RtcpWriter *w, uint32_t ssrc, const DlrrEntry *entries, uint32_t count
) noexcept nogil
# `seqs` in ascending order on the 16-bit circle. Returns how many of them were written (as many as fit).
cdef uint32_t rtcp_write_nack(
    RtcpWriter *w, uint32_t sender_ssrc, uint32_t media_ssrc, const uint16_t *seqs, uint32_t count
) noexcept nogil
cdef bint rtcp_write_pli(RtcpWriter *w, uint32_t sender_ssrc, uint32_t media_ssrc) noexcept nogil
cdef bint rtcp_write_fir(
    RtcpWriter *w, uint32_t sender_ssrc, uint32_t media_ssrc, const FirEntry *entries, uint32_t count
) noexcept nogil
cdef bint rtcp_write_remb(
    RtcpWriter *w, uint32_t sender_ssrc, uint64_t bitrate, const uint32_t *ssrcs, uint32_t count
) noexcept nogil
# `arrivals[i]`: when packet base_seq + i came, in units of 250 us on any clock >= 0, or TWCC_LOST. Returns how many
# statuses were written (fewer when full or a gap exceeds 16 bits: go on from there in a next packet); 0 if none came.
cdef uint32_t rtcp_write_twcc(
    RtcpWriter *w, uint32_t sender_ssrc, uint32_t media_ssrc, uint8_t feedback_count,
    uint16_t base_seq, const int64_t *arrivals, uint32_t count
) noexcept nogil
