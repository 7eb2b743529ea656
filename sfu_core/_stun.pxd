"""STUN for an ICE-lite agent (RFC 8489, RFC 8445): Binding requests in, responses out. Tier 1, no state.

A message is judged in three steps: `stun_parse` (is it STUN, is its CRC right), `stun_request_status` (may it be answered), and,
once the caller has found the password that belongs to `username`, `stun_verify` (constant time).
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef enum StunStatus:
    STUN_OK = 0
    STUN_MALFORMED = 1       # not STUN, or lengths that do not add up: drop, never answer
    STUN_BAD_FINGERPRINT = 2


cdef enum:
    STUN_IGNORE = -1         # from stun_request_status: an indication or a response
    STUN_BAD_REQUEST = 400
    STUN_UNAUTHORIZED = 401
    STUN_ROLE_CONFLICT = 487
    STUN_RESPONSE_MAX = 128  # bytes; every response fits


cdef enum StunClass:
    STUN_REQUEST = 0
    STUN_INDICATION = 1
    STUN_SUCCESS = 2
    STUN_ERROR = 3


# A view of a datagram: valid as long as its bytes are.
cdef struct StunMessage:
    const uint8_t *data
    uint32_t len
    const uint8_t *transaction   # 12 bytes
    const uint8_t *username      # NULL if absent; "<our ufrag>:<theirs>"
    uint16_t username_len
    uint16_t local_len           # bytes of `username` before the colon; 0 without a colon
    uint16_t method              # 1 = Binding
    uint16_t integrity_off       # of the MESSAGE-INTEGRITY attribute; 0 = absent
    uint32_t priority
    uint32_t nomination
    uint64_t tie_breaker         # of ICE-CONTROLLING or ICE-CONTROLLED
    uint8_t message_class
    uint8_t has_fingerprint      # present and right
    uint8_t has_priority
    uint8_t has_nomination
    uint8_t use_candidate
    uint8_t controlling
    uint8_t controlled


cdef int stun_parse(StunMessage *out, const uint8_t *data, uint32_t len) noexcept nogil

# What to do with a parsed message: 0 = look up the user and verify, STUN_IGNORE, or the error code to answer:
# 400 (not Binding; USERNAME with a colon, PRIORITY, MESSAGE-INTEGRITY or FINGERPRINT missing), 487 (ICE-CONTROLLED).
# 487 is only to be sent after verification.
cdef int stun_request_status(const StunMessage *message) noexcept nogil

cdef bint stun_verify(const StunMessage *message, const uint8_t *password, uint32_t len) noexcept nogil

# Success response with XOR-MAPPED-ADDRESS, MESSAGE-INTEGRITY and FINGERPRINT. `ip`: 4 or 16 bytes in network order,
# `port` in host order. Bytes written, or 0 if `cap` is too small.
cdef uint32_t stun_write_success(
    uint8_t *out, uint32_t cap, const StunMessage *request,
    const uint8_t *ip, uint32_t ip_len, uint16_t port, const uint8_t *password, uint32_t password_len
) noexcept nogil

# Error response with ERROR-CODE and FINGERPRINT, no integrity. Bytes written, or 0 if `cap` is too small.
cdef uint32_t stun_write_error(
    uint8_t *out, uint32_t cap, const StunMessage *request, uint32_t code
) noexcept nogil
