"""The last resort under `_srtp`: libsrtp through the addresses of pylibsrtp's cffi module. Tier 0, media thread.

libsrtp keeps its own indices and replay windows, so it follows our explicit indices as far as it can: the roll-over
counter is imposed before each packet; an SRTCP sender index can only be reached by counting up to it, from 1, and a
packet unprotected twice is refused. Everything else behaves as the EVP layer does. Not fast, and not meant to be.
"""

import ctypes

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from sfu_core._bytes cimport load32


cdef enum:
    SSRC_SPECIFIC = 1
    SSRC_ANY_INBOUND = 2
    SSRC_ANY_OUTBOUND = 3
    WINDOW = 1024
    MAX_PACKET = 2048        # what fits a slot; larger packets fail here
    MAX_COUNT_UP = 1 << 16   # how far an SRTCP index is counted up


# The public structures of libsrtp 2 (unchanged since 2.0); their size is compared with cffi's at import.
cdef struct CryptoPolicy:
    uint32_t cipher_type
    int cipher_key_len
    uint32_t auth_type
    int auth_key_len
    int auth_tag_len
    int sec_serv

cdef struct Policy:
    int ssrc_type
    unsigned int ssrc_value
    CryptoPolicy rtp
    CryptoPolicy rtcp
    const uint8_t *key
    void *keys
    unsigned long num_master_keys
    void *ekt
    unsigned long window_size
    int allow_repeat_tx
    void *enc_xtn_hdr
    int enc_xtn_hdr_count
    void *next

cdef struct LibSession:
    void *session
    Policy policy
    uint8_t key[64]
    uint8_t packet[MAX_PACKET]


cdef struct Library:
    int (*create)(void **session, const Policy *policy) noexcept nogil
    int (*dealloc)(void *session) noexcept nogil
    int (*add_stream)(void *session, const Policy *policy) noexcept nogil
    int (*policy_rtp)(CryptoPolicy *policy, int profile) noexcept nogil
    int (*policy_rtcp)(CryptoPolicy *policy, int profile) noexcept nogil
    int (*protect)(void *session, void *packet, int *length) noexcept nogil
    int (*unprotect)(void *session, void *packet, int *length) noexcept nogil
    int (*protect_rtcp)(void *session, void *packet, int *length) noexcept nogil
    int (*unprotect_rtcp)(void *session, void *packet, int *length) noexcept nogil
    int (*set_roc)(void *session, uint32_t ssrc, uint32_t roc) noexcept nogil  # may be missing


cdef Library L
cdef bint LOADED = False


cdef LibSession *lib_session_new(
    uint8_t suite, const uint8_t *key, uint32_t length, bint outbound
) noexcept nogil:
    """`key`: master key and master salt, one after the other. NULL if libsrtp refuses them."""
    cdef LibSession *self
    if not LOADED or length > sizeof(self.key):
        return NULL
    self = <LibSession *>calloc(1, sizeof(LibSession))
    if self == NULL:
        return NULL
    memcpy(self.key, key, length)
    self.policy.key = self.key
    self.policy.ssrc_type = SSRC_ANY_OUTBOUND if outbound else SSRC_ANY_INBOUND
    self.policy.window_size = WINDOW
    self.policy.allow_repeat_tx = 1
    if (L.policy_rtp(&self.policy.rtp, suite) or L.policy_rtcp(&self.policy.rtcp, suite)
            or L.create(&self.session, &self.policy)):
        free(self)
        return NULL
    return self


cdef void lib_session_free(LibSession *self) noexcept nogil:
    if self != NULL:
        L.dealloc(self.session)
        memset(self.key, 0, sizeof(self.key))
        free(self)


cdef bint impose_roc(LibSession *self, uint32_t ssrc, uint32_t roc) noexcept nogil:
    """The next packet of `ssrc` belongs to `roc`. A stream that does not exist yet begins at 0."""
    cdef Policy policy
    if L.set_roc == NULL:
        return True
    if L.set_roc(self.session, ssrc, roc) == LIB_OK or roc == 0:
        return True
    policy = self.policy
    policy.ssrc_type = SSRC_SPECIFIC
    policy.ssrc_value = ssrc
    if L.add_stream(self.session, &policy) != LIB_OK:
        return False
    return L.set_roc(self.session, ssrc, roc) == LIB_OK


cdef int32_t lib_protect(
    LibSession *self, uint8_t *packet, uint32_t *length, uint64_t index, uint32_t ssrc, bint rtcp
) noexcept nogil:
    """In place; `packet` has room for tag and trailer."""
    cdef int n = <int>length[0]
    cdef int status
    if rtcp:
        return protect_rtcp(self, packet, length, <uint32_t>index)
    if not impose_roc(self, ssrc, <uint32_t>(index >> 16)):
        return LIB_FAILED
    status = L.protect(self.session, packet, &n)
    length[0] = <uint32_t>n
    return status


cdef int32_t protect_rtcp(LibSession *self, uint8_t *packet, uint32_t *length, uint32_t index) noexcept nogil:
    """Count libsrtp's own SRTCP index up until it is ours."""
    cdef uint32_t trailer, reached
    cdef int n, status, attempt
    if length[0] > MAX_PACKET - 64:
        return LIB_FAILED
    for attempt in range(MAX_COUNT_UP):
        memcpy(self.packet, packet, length[0])
        n = <int>length[0]
        status = L.protect_rtcp(self.session, self.packet, &n)
        if status != LIB_OK:
            return status
        trailer = <uint32_t>n - 4 - <uint32_t>(0 if is_aead(self) else self.policy.rtcp.auth_tag_len)
        reached = load32(&self.packet[trailer]) & 0x7FFFFFFF
        if reached > index:
            return LIB_FAILED
        if reached == index:
            memcpy(packet, self.packet, <size_t>n)
            length[0] = <uint32_t>n
            return LIB_OK
    return LIB_FAILED


cdef inline bint is_aead(const LibSession *self) noexcept nogil:
    return self.policy.rtcp.auth_key_len == 0


cdef int32_t lib_unprotect(
    LibSession *self, const uint8_t *header, uint32_t header_len, const uint8_t *payload, uint32_t *payload_len,
    uint8_t *out, uint64_t index, uint32_t ssrc, bint rtcp
) noexcept nogil:
    cdef int n = <int>(header_len + payload_len[0])
    cdef int status
    if n > MAX_PACKET:
        return LIB_FAILED
    if not rtcp and not impose_roc(self, ssrc, <uint32_t>(index >> 16)):
        return LIB_FAILED
    memcpy(self.packet, header, header_len)
    memcpy(self.packet + header_len, payload, payload_len[0])
    if rtcp:
        status = L.unprotect_rtcp(self.session, self.packet, &n)
    else:
        status = L.unprotect(self.session, self.packet, &n)
    if status == LIB_OK:
        payload_len[0] = <uint32_t>n - header_len
        memcpy(out, self.packet + header_len, payload_len[0])
    return status


def load() -> bool:
    """Look the functions up; False where pylibsrtp's structures are not the ones known here."""
    global LOADED
    from pylibsrtp import _binding
    ffi, lib = _binding.ffi, _binding.lib

    def address(name):
        return int(ffi.cast("uintptr_t", ffi.addressof(lib, name)))

    if ffi.sizeof("srtp_policy_t") != sizeof(Policy):
        return False
    L.create = <int (*)(void **, const Policy *) noexcept nogil><uintptr_t>address("srtp_create")
    L.dealloc = <int (*)(void *) noexcept nogil><uintptr_t>address("srtp_dealloc")
    L.add_stream = <int (*)(void *, const Policy *) noexcept nogil><uintptr_t>address("srtp_add_stream")
    L.policy_rtp = <int (*)(CryptoPolicy *, int) noexcept nogil><uintptr_t>address(
        "srtp_crypto_policy_set_from_profile_for_rtp")
    L.policy_rtcp = <int (*)(CryptoPolicy *, int) noexcept nogil><uintptr_t>address(
        "srtp_crypto_policy_set_from_profile_for_rtcp")
    L.protect = <int (*)(void *, void *, int *) noexcept nogil><uintptr_t>address("srtp_protect")
    L.unprotect = <int (*)(void *, void *, int *) noexcept nogil><uintptr_t>address("srtp_unprotect")
    L.protect_rtcp = <int (*)(void *, void *, int *) noexcept nogil><uintptr_t>address("srtp_protect_rtcp")
    L.unprotect_rtcp = <int (*)(void *, void *, int *) noexcept nogil><uintptr_t>address("srtp_unprotect_rtcp")
    # Not among cffi's names, but exported by every Linux build; without it a resumed sender cannot be served.
    set_roc = getattr(ctypes.CDLL(_binding.__file__), "srtp_set_stream_roc", None)
    if set_roc is not None:
        L.set_roc = <int (*)(void *, uint32_t, uint32_t) noexcept nogil><uintptr_t>(
            ctypes.cast(set_roc, ctypes.c_void_p).value)
    LOADED = True
    return True
