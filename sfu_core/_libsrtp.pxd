"""libsrtp, one packet at a time, by the pointers of pylibsrtp: the last resort under `_srtp`. Tier 0."""

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t


cdef struct LibSession              # a libsrtp session of one direction with its policy

# What libsrtp answers (srtp_err_status_t), as far as it is told apart here.
cdef enum LibStatus:
    LIB_OK = 0
    LIB_FAILED = 1
    LIB_AUTH_FAILED = 7
    LIB_REPLAYED = 9
    LIB_TOO_OLD = 10

cdef LibSession *lib_session_new(
    uint8_t suite, const uint8_t *key, uint32_t length, bint outbound) noexcept nogil
cdef void lib_session_free(LibSession *session) noexcept nogil
cdef int32_t lib_protect(
    LibSession *session, uint8_t *packet, uint32_t *length, uint64_t index, uint32_t ssrc, bint rtcp) noexcept nogil
cdef int32_t lib_unprotect(
    LibSession *session, const uint8_t *header, uint32_t header_len, const uint8_t *payload, uint32_t *payload_len,
    uint8_t *out, uint64_t index, uint32_t ssrc, bint rtcp) noexcept nogil
