"""SRTP and SRTCP (RFC 3711, RFC 7714) over arrays of packets: tier 1.

Owns the transform and the replay arithmetic; knows nothing of sockets, streams or time. Contexts are made and
freed by the control thread; the media thread only uses them. Nothing here allocates per packet.

    receive:  index = srtp_guess_index(window, seq)          RTCP: index = srtcp_index(ctx, packet, length)
              replay_check(window, index)                    before any cryptography
              srtp_unprotect(jobs, n)                        jobs[i].status
              replay_commit(window, index)                   only if jobs[i].status == SRTP_OK
    send:     srtp_protect(jobs, n)                          one (ssrc, index), one byte string, for ever
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from sfu_core._bytes cimport load32


cdef enum SrtpSuite:
    """Numbers of the DTLS-SRTP protection profiles (RFC 5764 §4.1.2, RFC 7714 §14.2)."""
    SRTP_SUITE_NONE = 0
    SRTP_AES_CM_128_HMAC_SHA1_80 = 1
    SRTP_AES_CM_128_HMAC_SHA1_32 = 2
    SRTP_AEAD_AES_128_GCM = 7
    SRTP_AEAD_AES_256_GCM = 8


cdef enum SrtpStatus:
    SRTP_OK = 0
    SRTP_TOO_SHORT = 1       # no room for tag and trailer, or a size that no datagram has
    SRTP_AUTH_FAILED = 2     # tag mismatch
    SRTP_NOT_ENCRYPTED = 3   # SRTCP without the E flag: refused, never a downgrade
    SRTP_REPLAYED = 4        # seen before (only the libsrtp layer reports it from here)
    SRTP_FAILED = 5          # the library refused: no context, or an index it cannot be brought to


cdef struct SrtpKeys:
    # In the slab: all that is needed to make the context again.
    uint8_t suite            # SrtpSuite
    uint8_t key_length       # 16, or 32 for AES-256
    uint8_t salt_length      # 14 for AES-CM, 12 for GCM
    uint8_t reserved
    uint8_t key[32]
    uint8_t salt[14]
    uint8_t padding[2]


cdef struct SrtpContext      # both key sets (RTP and RTCP) of one direction, expanded; local to the process


cdef struct SrtpJob:
    SrtpContext *ctx
    uint64_t index           # RTP: roc << 16 | seq. RTCP: the sender's 31-bit index, from 1; unprotect fills it in
    uint32_t ssrc
    uint32_t header_len      # RTP: 12 + CSRCs + extensions. RTCP: 8
    const uint8_t *header    # authenticated, not encrypted
    const uint8_t *payload   # protect: clear. unprotect: all that follows the header, tag and trailer included
    uint32_t payload_len
    uint32_t out_len         # result: bytes written at `out`
    uint8_t *out             # protect: cipher, tag, trailer; the header stands ready at out - header_len (and is
                             # `header`). unprotect: clear payload. Equal to `payload`, or apart from it
    int32_t status           # SrtpStatus; unless SRTP_OK, what lies at `out` is not to be used
    bint rtcp


cdef struct ReplayWindow:
    # 1024 packets behind the highest index. All zero is a fresh window. In the slab.
    uint64_t highest
    uint64_t bits[16]        # bit (index mod 1024)
    bint started


cdef SrtpContext *srtp_context_new(const SrtpKeys *keys, bint outbound) noexcept nogil  # NULL: bad keys or no memory
cdef void srtp_context_free(SrtpContext *ctx) noexcept nogil
cdef uint32_t srtp_overhead(const SrtpContext *ctx, bint rtcp) noexcept nogil
cdef void srtp_protect(SrtpJob *jobs, uint32_t n) noexcept nogil
cdef void srtp_unprotect(SrtpJob *jobs, uint32_t n) noexcept nogil
cdef bint srtp_keys_set(SrtpKeys *keys, uint16_t suite, const uint8_t *material, uint32_t length) noexcept nogil

cdef int64_t srtcp_index(const SrtpContext *ctx, const uint8_t *packet, uint32_t length) noexcept nogil
cdef uint64_t srtp_guess_index(const ReplayWindow *window, uint16_t seq) noexcept nogil
cdef bint replay_check(const ReplayWindow *window, uint64_t index) noexcept nogil
cdef void replay_commit(ReplayWindow *window, uint64_t index) noexcept nogil
