"""The transforms of RFC 3711 (AES-CM, HMAC-SHA1) and RFC 7714 (AES-GCM) on OpenSSL's EVP functions. Tier 0.

The functions are those that pylibsrtp's module exports; Python looks their addresses up at import, so the extension
itself needs no dlsym and no OpenSSL of its own. Everything is fetched and allocated when a key set is made (control
thread); a packet (media thread) costs an IV, the updates and a tag, and no allocation: copying a digest state into a
work area that already has its algorithm is a plain copy in OpenSSL >= 3.2.
"""

import ctypes

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy, memset

from sfu_core._bytes cimport load16, load32, store16, store32


cdef enum:
    TAG_GCM = 16
    TRAILER = 4
    SHA1_BLOCK = 64
    SHA1_SIZE = 20
    CTRL_GET_TAG = 0x10      # EVP_CTRL_AEAD_GET_TAG, EVP_CTRL_AEAD_SET_TAG
    CTRL_SET_TAG = 0x11
    LABEL_KEY = 0            # labels of the key derivation (RFC 3711 §4.3.2)
    LABEL_AUTH = 1
    LABEL_SALT = 2
    LABEL_RTCP = 3           # what they are higher by for SRTCP


cdef struct Evp:
    void *(*cipher_new)() noexcept nogil
    void (*cipher_free)(void *) noexcept nogil
    int (*cipher_ctrl)(void *, int, int, void *) noexcept nogil
    int (*encrypt_init)(void *, const void *, void *, const uint8_t *, const uint8_t *) noexcept nogil
    int (*encrypt_update)(void *, uint8_t *, int *, const uint8_t *, int) noexcept nogil
    int (*encrypt_final)(void *, uint8_t *, int *) noexcept nogil
    int (*decrypt_init)(void *, const void *, void *, const uint8_t *, const uint8_t *) noexcept nogil
    int (*decrypt_update)(void *, uint8_t *, int *, const uint8_t *, int) noexcept nogil
    int (*decrypt_final)(void *, uint8_t *, int *) noexcept nogil
    const void *(*aes_128_ctr)() noexcept nogil
    const void *(*aes_256_ctr)() noexcept nogil
    const void *(*aes_128_gcm)() noexcept nogil
    const void *(*aes_256_gcm)() noexcept nogil
    void *(*digest_new)() noexcept nogil
    void (*digest_free)(void *) noexcept nogil
    int (*digest_copy)(void *, const void *) noexcept nogil
    int (*digest_init)(void *, const void *, void *) noexcept nogil
    int (*digest_update)(void *, const void *, size_t) noexcept nogil
    int (*digest_final)(void *, uint8_t *, unsigned int *) noexcept nogil
    const void *(*sha1)() noexcept nogil
    int (*memcmp)(const void *, const void *, size_t) noexcept nogil  # in constant time
    void (*cleanse)(void *, size_t) noexcept nogil


NAMES = (
    "EVP_CIPHER_CTX_new", "EVP_CIPHER_CTX_free", "EVP_CIPHER_CTX_ctrl", "EVP_EncryptInit_ex", "EVP_EncryptUpdate",
    "EVP_EncryptFinal_ex", "EVP_DecryptInit_ex", "EVP_DecryptUpdate", "EVP_DecryptFinal_ex", "EVP_aes_128_ctr",
    "EVP_aes_256_ctr", "EVP_aes_128_gcm", "EVP_aes_256_gcm", "EVP_MD_CTX_new", "EVP_MD_CTX_free", "EVP_MD_CTX_copy_ex",
    "EVP_DigestInit_ex", "EVP_DigestUpdate", "EVP_DigestFinal_ex", "EVP_sha1", "CRYPTO_memcmp", "OPENSSL_cleanse",
)  # in the order of the struct above

cdef Evp E
cdef bint LOADED = False


# ----------------------------------------------------------------------------------------------------------- keys

cdef bint evp_derive(
    const uint8_t *key, uint32_t key_len, const uint8_t *salt, uint32_t salt_len, bint rtcp, EvpSession *out
) noexcept nogil:
    """Session keys from master key (16 or 32 bytes) and master salt (12 or 14)."""
    cdef uint8_t first = LABEL_RTCP if rtcp else 0
    cdef void *cipher
    cdef bint made
    if not LOADED or (key_len != 16 and key_len != 32) or salt_len > 14:
        return False
    memset(out, 0, sizeof(EvpSession))
    cipher = E.cipher_new()
    if cipher == NULL:
        return False
    made = (
        E.encrypt_init(cipher, E.aes_256_ctr() if key_len == 32 else E.aes_128_ctr(), NULL, key, NULL)
        and derive_one(cipher, salt, salt_len, first + LABEL_KEY, out.key, key_len)
        and derive_one(cipher, salt, salt_len, first + LABEL_AUTH, out.auth, SHA1_SIZE)
        and derive_one(cipher, salt, salt_len, first + LABEL_SALT, out.salt, salt_len))
    E.cipher_free(cipher)
    return made


cdef bint derive_one(
    void *cipher, const uint8_t *salt, uint32_t salt_len, uint8_t label, uint8_t *out, uint32_t length
) noexcept nogil:
    """AES-CM as the pseudo-random function, key derivation rate 0 (RFC 3711 §4.3.3); `out` is zero."""
    cdef uint8_t iv[16]
    cdef int n = 0
    memset(iv, 0, sizeof(iv))
    memcpy(iv, salt, salt_len)
    iv[7] ^= label
    return E.encrypt_init(cipher, NULL, NULL, NULL, iv) and E.encrypt_update(cipher, out, &n, out, <int>length)


cdef bint evp_keys_init(
    EvpKeys *self, const EvpSession *session, uint32_t key_len, bint gcm, bint outbound
) noexcept nogil:
    """Expand. On False what was made is still to be given to `evp_keys_clear`."""
    cdef const void *cipher
    memset(self, 0, sizeof(EvpKeys))
    if not LOADED:
        return False
    memcpy(self.salt, session.salt, sizeof(self.salt))
    self.cipher = E.cipher_new()
    if self.cipher == NULL:
        return False
    if gcm:
        cipher = E.aes_256_gcm() if key_len == 32 else E.aes_128_gcm()
        if outbound:
            return E.encrypt_init(self.cipher, cipher, NULL, session.key, NULL)
        return E.decrypt_init(self.cipher, cipher, NULL, session.key, NULL)
    self.inner = padded(session.auth, 0x36)
    self.outer = padded(session.auth, 0x5C)
    self.digest = padded(session.auth, 0x36)
    return (
        self.inner != NULL and self.outer != NULL and self.digest != NULL
        and E.encrypt_init(self.cipher, E.aes_128_ctr(), NULL, session.key, NULL))


cdef void *padded(const uint8_t *key, uint8_t pad) noexcept nogil:
    """SHA-1 after one block of key XOR pad (RFC 2104): half of an HMAC, computed once."""
    cdef uint8_t block[SHA1_BLOCK]
    cdef void *digest = E.digest_new()
    cdef uint32_t i
    memset(block, pad, sizeof(block))
    for i in range(<uint32_t>SHA1_SIZE):
        block[i] ^= key[i]
    if digest != NULL and not (
            E.digest_init(digest, E.sha1(), NULL) and E.digest_update(digest, block, sizeof(block))):
        E.digest_free(digest)
        digest = NULL
    E.cleanse(block, sizeof(block))
    return digest


cdef void evp_keys_clear(EvpKeys *self) noexcept nogil:
    if not LOADED:
        return
    E.cipher_free(self.cipher)       # these take NULL, and wipe what they free
    E.digest_free(self.inner)
    E.digest_free(self.outer)
    E.digest_free(self.digest)
    E.cleanse(self, sizeof(EvpKeys))


cdef void evp_cleanse(void *secret, size_t length) noexcept nogil:
    if LOADED:
        E.cleanse(secret, length)


# -------------------------------------------------------------------------------------------------------- packets

cdef inline void make_iv(
    uint8_t *iv, const uint8_t *salt, uint32_t offset, uint32_t ssrc, uint64_t index
) noexcept nogil:
    """salt XOR (SSRC, 48-bit index) from `offset` on: 4 for AES-CM (RFC 3711 §4.1.1), 2 for GCM (RFC 7714 §8.1,
    §9.1). An SRTCP index has 31 bits, and stands where the low bits of an RTP index stand."""
    memcpy(iv, salt, 16)
    iv += offset
    store32(iv, load32(iv) ^ ssrc)
    store16(iv + 4, load16(iv + 4) ^ <uint16_t>(index >> 32))
    store32(iv + 6, load32(iv + 6) ^ <uint32_t>index)


cdef EvpResult evp_seal_gcm(
    const EvpKeys *self, uint32_t ssrc, uint64_t index, const uint8_t *header, uint32_t header_len,
    const uint8_t *payload, uint32_t length, const uint8_t *trailer, uint8_t *out
) noexcept nogil:
    """Cipher and tag at `out`. `trailer`: the 4 bytes of SRTCP that are authenticated too, or NULL."""
    cdef void *cipher = self.cipher
    cdef uint8_t iv[16]
    cdef int n = 0
    make_iv(iv, self.salt, 2, ssrc, index)
    if (E.encrypt_init(cipher, NULL, NULL, NULL, iv)
            and E.encrypt_update(cipher, NULL, &n, header, <int>header_len)
            and (trailer == NULL or E.encrypt_update(cipher, NULL, &n, trailer, TRAILER))
            and (length == 0 or E.encrypt_update(cipher, out, &n, payload, <int>length))
            and E.encrypt_final(cipher, out + length, &n)
            and E.cipher_ctrl(cipher, CTRL_GET_TAG, TAG_GCM, out + length)):
        return EVP_OK
    return EVP_FAILED


cdef EvpResult evp_open_gcm(
    const EvpKeys *self, uint32_t ssrc, uint64_t index, const uint8_t *header, uint32_t header_len,
    const uint8_t *payload, uint32_t length, const uint8_t *trailer, uint8_t *out
) noexcept nogil:
    """`length` bytes of cipher at `payload`, then the tag. `out` is written before the tag is known to be good."""
    cdef void *cipher = self.cipher
    cdef uint8_t iv[16]
    cdef uint8_t tag[TAG_GCM]
    cdef int n = 0
    make_iv(iv, self.salt, 2, ssrc, index)
    memcpy(tag, payload + length, TAG_GCM)
    if not (E.decrypt_init(cipher, NULL, NULL, NULL, iv)
            and E.cipher_ctrl(cipher, CTRL_SET_TAG, TAG_GCM, tag)
            and E.decrypt_update(cipher, NULL, &n, header, <int>header_len)
            and (trailer == NULL or E.decrypt_update(cipher, NULL, &n, trailer, TRAILER))
            and (length == 0 or E.decrypt_update(cipher, out, &n, payload, <int>length))):
        return EVP_FAILED
    return EVP_OK if E.decrypt_final(cipher, tag, &n) > 0 else EVP_MISMATCH


cdef inline bint ctr(
    const EvpKeys *self, uint32_t ssrc, uint64_t index, uint8_t *out, const uint8_t *data, uint32_t length
) noexcept nogil:
    cdef uint8_t iv[16]
    cdef int n = 0
    if length == 0:
        return True
    make_iv(iv, self.salt, 4, ssrc, index)
    return (E.encrypt_init(self.cipher, NULL, NULL, NULL, iv)
            and E.encrypt_update(self.cipher, out, &n, data, <int>length))


cdef inline bint hmac(
    const EvpKeys *self, const uint8_t *header, uint32_t header_len, const uint8_t *body, uint32_t body_len,
    const uint8_t *last, uint8_t *tag
) noexcept nogil:
    """HMAC-SHA1 over header, body and the 4 bytes `last`."""
    cdef void *digest = self.digest
    if not E.digest_copy(digest, self.inner):
        return False
    if body == header + header_len:  # as it nearly always is
        header_len += body_len
        body_len = 0
    return (
        E.digest_update(digest, header, header_len)
        and (body_len == 0 or E.digest_update(digest, body, body_len))
        and E.digest_update(digest, last, TRAILER)
        and E.digest_final(digest, tag, NULL)
        and E.digest_copy(digest, self.outer)
        and E.digest_update(digest, tag, SHA1_SIZE)
        and E.digest_final(digest, tag, NULL))


cdef EvpResult evp_seal_cm(
    const EvpKeys *self, uint32_t ssrc, uint64_t index, const uint8_t *header, uint32_t header_len,
    const uint8_t *payload, uint32_t length, const uint8_t *last, uint8_t *out, uint8_t *tag
) noexcept nogil:
    """Cipher at `out`, the whole HMAC (20 bytes) at `tag`. `last`: the 4 bytes that end what is authenticated: the
    roll-over counter, or SRTCP's trailer."""
    if (ctr(self, ssrc, index, out, payload, length)
            and hmac(self, header, header_len, out, length, last, tag)):
        return EVP_OK
    return EVP_FAILED


cdef EvpResult evp_open_cm(
    const EvpKeys *self, uint32_t ssrc, uint64_t index, const uint8_t *header, uint32_t header_len,
    const uint8_t *payload, uint32_t length, const uint8_t *last, const uint8_t *tag, uint32_t tag_len, uint8_t *out
) noexcept nogil:
    """Compares before it decrypts."""
    cdef uint8_t expected[SHA1_SIZE]
    if not hmac(self, header, header_len, payload, length, last, expected):
        return EVP_FAILED
    if E.memcmp(expected, tag, tag_len):
        return EVP_MISMATCH
    return EVP_OK if ctr(self, ssrc, index, out, payload, length) else EVP_FAILED


def load() -> bool:
    """Take the addresses from pylibsrtp's module; False if it does not export one of them."""
    global LOADED
    from pylibsrtp import _binding
    cdef void **table = <void **>&E
    library = ctypes.CDLL(_binding.__file__)
    for i, name in enumerate(NAMES):
        function = getattr(library, name, None)
        if function is None:
            return False
        table[<size_t>i] = <void *><uintptr_t>ctypes.cast(function, ctypes.c_void_p).value
    LOADED = True
    return True
