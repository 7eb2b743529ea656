"""The four SRTP suites on OpenSSL's EVP functions, one key set and one packet at a time: under `_srtp`. Tier 0."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef struct EvpSession:              # what the key derivation yields for one of RTP and RTCP
    uint8_t key[32]
    uint8_t salt[16]                 # zero-padded to a block
    uint8_t auth[20]


cdef struct EvpKeys:                 # the same, expanded
    void *cipher
    void *inner                      # AES-CM: SHA-1 states after the inner and the outer pad
    void *outer
    void *digest                     # AES-CM: work area of the HMAC
    uint8_t salt[16]


cdef enum EvpResult:
    EVP_OK = 0
    EVP_MISMATCH = 1
    EVP_FAILED = 2


cdef bint evp_derive(
    const uint8_t *key, uint32_t key_len, const uint8_t *salt, uint32_t salt_len, bint rtcp,
    EvpSession *out) noexcept nogil
cdef bint evp_keys_init(
    EvpKeys *self, const EvpSession *session, uint32_t key_len, bint gcm, bint outbound) noexcept nogil
cdef void evp_keys_clear(EvpKeys *self) noexcept nogil
cdef void evp_cleanse(void *secret, size_t length) noexcept nogil

cdef EvpResult evp_seal_gcm(
    const EvpKeys *self, uint32_t ssrc, uint64_t index, const uint8_t *header, uint32_t header_len,
    const uint8_t *payload, uint32_t length, const uint8_t *trailer, uint8_t *out) noexcept nogil
cdef EvpResult evp_open_gcm(
    const EvpKeys *self, uint32_t ssrc, uint64_t index, const uint8_t *header, uint32_t header_len,
    const uint8_t *payload, uint32_t length, const uint8_t *trailer, uint8_t *out) noexcept nogil
cdef EvpResult evp_seal_cm(
    const EvpKeys *self, uint32_t ssrc, uint64_t index, const uint8_t *header, uint32_t header_len,
    const uint8_t *payload, uint32_t length, const uint8_t *last, uint8_t *out, uint8_t *tag) noexcept nogil
cdef EvpResult evp_open_cm(
    const EvpKeys *self, uint32_t ssrc, uint64_t index, const uint8_t *header, uint32_t header_len,
    const uint8_t *payload, uint32_t length, const uint8_t *last, const uint8_t *tag, uint32_t tag_len,
    uint8_t *out) noexcept nogil
