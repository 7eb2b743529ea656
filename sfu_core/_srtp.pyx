"""SRTP and SRTCP over arrays of packets: AES-CM with HMAC-SHA1 (RFC 3711) and AES-GCM (RFC 7714). Tier 1.

Two layers behind one interface, chosen at import and proved with known answers before one is taken:

    evp       OpenSSL's EVP functions that pylibsrtp's module exports (`_evp`)
    libsrtp   libsrtp itself (`_libsrtp`): the last resort

`SFU_SRTP=evp|libsrtp` forces one; `layer()` tells which one runs. The media thread uses contexts, the control thread
makes and frees them. Replay arithmetic works on plain structs, so it can live in the slab.
"""

import os

from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport abort, calloc, free
from libc.string cimport memcpy, memset

from sfu_core._bytes cimport load32, store16, store32
from sfu_core._evp cimport (
    EVP_MISMATCH, EVP_OK, EvpKeys, EvpSession, evp_cleanse, evp_derive, evp_keys_clear, evp_keys_init, evp_open_cm,
    evp_open_gcm, evp_seal_cm, evp_seal_gcm,
)
from sfu_core._libsrtp cimport (
    LIB_AUTH_FAILED, LIB_OK, LIB_REPLAYED, LIB_TOO_OLD, LibSession, lib_protect, lib_session_free, lib_session_new,
    lib_unprotect,
)

from sfu_core import _evp, _libsrtp


cdef extern from *:
    """
    #ifndef SFU_DEBUG
    #define SFU_DEBUG 0
    #endif
    """
    const int SFU_DEBUG


cdef enum:
    MAX_PAYLOAD = 65535
    TAG_GCM = 16
    TAG_80 = 10
    TAG_32 = 4
    TRAILER = 4              # SRTCP: E flag and index
    HMAC_SIZE = 20
    REPLAY_WINDOW = 1024
    SEEN = 1024              # debug build: remembered (ssrc, index) a sending context

cdef uint32_t E_FLAG = 0x80000000U
cdef bint USE_EVP = False


# ------------------------------------------------------------------------------------------------------- contexts

cdef struct Seen:
    uint64_t index
    uint64_t hash
    uint32_t ssrc
    bint rtcp

cdef struct SrtpContext:
    EvpKeys rtp
    EvpKeys rtcp
    LibSession *session      # not NULL: this context is libsrtp's
    Seen *seen               # debug build
    uint32_t tag             # bytes on RTP; SRTCP never has the short one
    uint32_t rtcp_tag
    bint gcm
    bint outbound


cdef bint srtp_keys_set(
    SrtpKeys *keys, uint16_t suite, const uint8_t *material, uint32_t length
) noexcept nogil:
    """Take master key and master salt, one after the other as DTLS exports them. False if they do not fit the suite."""
    cdef uint32_t key_length, salt_length
    if suite == SRTP_AEAD_AES_128_GCM:
        key_length, salt_length = 16, 12
    elif suite == SRTP_AEAD_AES_256_GCM:
        key_length, salt_length = 32, 12
    elif suite == SRTP_AES_CM_128_HMAC_SHA1_80 or suite == SRTP_AES_CM_128_HMAC_SHA1_32:
        key_length, salt_length = 16, 14
    else:
        return False
    if length != key_length + salt_length:
        return False
    memset(keys, 0, sizeof(SrtpKeys))
    keys.suite = <uint8_t>suite
    keys.key_length = <uint8_t>key_length
    keys.salt_length = <uint8_t>salt_length
    memcpy(keys.key, material, key_length)
    memcpy(keys.salt, material + key_length, salt_length)
    return True


cdef SrtpContext *srtp_context_new(const SrtpKeys *keys, bint outbound) noexcept nogil:
    return context_new(keys, outbound, USE_EVP)


cdef SrtpContext *context_new(const SrtpKeys *keys, bint outbound, bint use_evp) noexcept nogil:
    cdef SrtpContext *ctx
    cdef bint made
    if keys.key_length > sizeof(keys.key) or keys.salt_length > sizeof(keys.salt):
        return NULL
    ctx = context_empty(keys.suite, outbound)
    if ctx == NULL:
        return NULL
    made = make_evp(ctx, keys) if use_evp else make_libsrtp(ctx, keys)
    if not made:
        srtp_context_free(ctx)
        return NULL
    return ctx


cdef SrtpContext *context_empty(uint8_t suite, bint outbound) noexcept nogil:
    cdef SrtpContext *ctx = <SrtpContext *>calloc(1, sizeof(SrtpContext))
    if ctx == NULL:
        return NULL
    ctx.outbound = outbound
    ctx.gcm = suite == SRTP_AEAD_AES_128_GCM or suite == SRTP_AEAD_AES_256_GCM
    ctx.rtcp_tag = TAG_GCM if ctx.gcm else TAG_80
    ctx.tag = TAG_32 if suite == SRTP_AES_CM_128_HMAC_SHA1_32 else ctx.rtcp_tag
    if SFU_DEBUG and outbound:
        ctx.seen = <Seen *>calloc(SEEN, sizeof(Seen))
    return ctx


cdef bint make_libsrtp(SrtpContext *ctx, const SrtpKeys *keys) noexcept nogil:
    cdef uint8_t material[46]
    memcpy(material, keys.key, keys.key_length)
    memcpy(&material[keys.key_length], keys.salt, keys.salt_length)
    ctx.session = lib_session_new(
        keys.suite, material, <uint32_t>keys.key_length + keys.salt_length, ctx.outbound)
    memset(material, 0, sizeof(material))
    return ctx.session != NULL


cdef bint make_evp(SrtpContext *ctx, const SrtpKeys *keys) noexcept nogil:
    cdef EvpSession rtp, rtcp
    cdef bint made = (
        evp_derive(keys.key, keys.key_length, keys.salt, keys.salt_length, False, &rtp)
        and evp_derive(keys.key, keys.key_length, keys.salt, keys.salt_length, True, &rtcp)
        and evp_keys_init(&ctx.rtp, &rtp, keys.key_length, ctx.gcm, ctx.outbound)
        and evp_keys_init(&ctx.rtcp, &rtcp, keys.key_length, ctx.gcm, ctx.outbound))
    evp_cleanse(&rtp, sizeof(rtp))
    evp_cleanse(&rtcp, sizeof(rtcp))
    return made


cdef void srtp_context_free(SrtpContext *ctx) noexcept nogil:
    if ctx == NULL:
        return
    lib_session_free(ctx.session)
    evp_keys_clear(&ctx.rtp)
    evp_keys_clear(&ctx.rtcp)
    free(ctx.seen)
    free(ctx)


cdef uint32_t srtp_overhead(const SrtpContext *ctx, bint rtcp) noexcept nogil:
    """Bytes that protection adds."""
    return ctx.rtcp_tag + TRAILER if rtcp else ctx.tag


# -------------------------------------------------------------------------------------------------------- packets

cdef int32_t protect_gcm(SrtpContext *ctx, SrtpJob *job) noexcept nogil:
    cdef const EvpKeys *keys = &ctx.rtcp if job.rtcp else &ctx.rtp
    cdef uint8_t *trailer = NULL
    if job.rtcp:
        trailer = job.out + job.payload_len + TAG_GCM
        store32(trailer, E_FLAG | <uint32_t>job.index)
    return from_evp(evp_seal_gcm(
        keys, job.ssrc, job.index, job.header, job.header_len, job.payload, job.payload_len, trailer, job.out))


cdef int32_t unprotect_gcm(SrtpContext *ctx, SrtpJob *job, uint32_t length) noexcept nogil:
    cdef const EvpKeys *keys = &ctx.rtcp if job.rtcp else &ctx.rtp
    cdef const uint8_t *trailer = job.payload + length + TAG_GCM if job.rtcp else NULL
    return from_evp(evp_open_gcm(
        keys, job.ssrc, job.index, job.header, job.header_len, job.payload, length, trailer, job.out))


cdef int32_t protect_cm(SrtpContext *ctx, SrtpJob *job) noexcept nogil:
    cdef const EvpKeys *keys = &ctx.rtcp if job.rtcp else &ctx.rtp
    cdef uint8_t *end = job.out + job.payload_len
    cdef uint8_t last[TRAILER]
    cdef uint8_t tag[HMAC_SIZE]
    cdef int32_t status
    store32(last, E_FLAG | <uint32_t>job.index if job.rtcp else <uint32_t>(job.index >> 16))
    status = from_evp(evp_seal_cm(
        keys, job.ssrc, job.index, job.header, job.header_len, job.payload, job.payload_len, last, job.out, tag))
    if job.rtcp:
        memcpy(end, last, TRAILER)
        memcpy(end + TRAILER, tag, TAG_80)
    else:
        memcpy(end, tag, ctx.tag)
    return status


cdef int32_t unprotect_cm(SrtpContext *ctx, SrtpJob *job, uint32_t length) noexcept nogil:
    cdef const EvpKeys *keys = &ctx.rtcp if job.rtcp else &ctx.rtp
    cdef const uint8_t *tag = job.payload + length
    cdef uint8_t last[TRAILER]
    if job.rtcp:
        memcpy(last, tag, TRAILER)
        tag += TRAILER
    else:
        store32(last, <uint32_t>(job.index >> 16))
    return from_evp(evp_open_cm(
        keys, job.ssrc, job.index, job.header, job.header_len, job.payload, length, last, tag,
        ctx.rtcp_tag if job.rtcp else ctx.tag, job.out))


cdef inline int32_t from_evp(int result) noexcept nogil:
    if result == EVP_OK:
        return SRTP_OK
    return SRTP_AUTH_FAILED if result == EVP_MISMATCH else SRTP_FAILED


cdef int32_t protect_libsrtp(SrtpContext *ctx, SrtpJob *job) noexcept nogil:
    cdef uint32_t length = job.header_len + job.payload_len
    if job.out != job.payload:
        memcpy(job.out, job.payload, job.payload_len)
    return from_libsrtp(
        lib_protect(ctx.session, job.out - job.header_len, &length, job.index, job.ssrc, job.rtcp))


cdef int32_t unprotect_libsrtp(SrtpContext *ctx, SrtpJob *job) noexcept nogil:
    cdef uint32_t length = job.payload_len
    return from_libsrtp(lib_unprotect(
        ctx.session, job.header, job.header_len, job.payload, &length, job.out, job.index, job.ssrc, job.rtcp))


cdef int32_t from_libsrtp(int32_t status) noexcept nogil:
    if status == LIB_OK:
        return SRTP_OK
    if status == LIB_AUTH_FAILED:
        return SRTP_AUTH_FAILED
    if status == LIB_REPLAYED or status == LIB_TOO_OLD:
        return SRTP_REPLAYED
    return SRTP_FAILED


cdef void srtp_protect(SrtpJob *jobs, uint32_t n) noexcept nogil:
    """Write cipher, tag and trailer of every job at its `out`; `out_len` and `status` of each."""
    cdef uint32_t i
    for i in range(n):
        protect_one(&jobs[i])


cdef inline void protect_one(SrtpJob *job) noexcept nogil:
    cdef SrtpContext *ctx = job.ctx
    job.out_len = 0
    if ctx == NULL or not ctx.outbound:
        job.status = SRTP_FAILED
        return
    if job.payload_len > MAX_PAYLOAD or job.header_len > MAX_PAYLOAD:
        job.status = SRTP_TOO_SHORT
        return
    if SFU_DEBUG:
        never_twice(ctx, job)
    if ctx.session != NULL:
        job.status = protect_libsrtp(ctx, job)
    elif ctx.gcm:
        job.status = protect_gcm(ctx, job)
    else:
        job.status = protect_cm(ctx, job)
    if job.status == SRTP_OK:
        job.out_len = job.payload_len + srtp_overhead(ctx, job.rtcp)


cdef void srtp_unprotect(SrtpJob *jobs, uint32_t n) noexcept nogil:
    """Authenticate every job and write its clear payload at `out`. Replay is the caller's: see `replay_check`."""
    cdef uint32_t i
    for i in range(n):
        unprotect_one(&jobs[i])


cdef inline void unprotect_one(SrtpJob *job) noexcept nogil:
    cdef SrtpContext *ctx = job.ctx
    cdef uint32_t length
    job.out_len = 0
    if ctx == NULL or ctx.outbound:
        job.status = SRTP_FAILED
        return
    if (job.payload_len < srtp_overhead(ctx, job.rtcp)
            or job.payload_len > MAX_PAYLOAD or job.header_len > MAX_PAYLOAD):
        job.status = SRTP_TOO_SHORT
        return
    length = job.payload_len - srtp_overhead(ctx, job.rtcp)
    if job.rtcp and not read_trailer(ctx, job.payload + length, &job.index):
        job.status = SRTP_NOT_ENCRYPTED
        return
    if ctx.session != NULL:
        job.status = unprotect_libsrtp(ctx, job)
    elif ctx.gcm:
        job.status = unprotect_gcm(ctx, job, length)
    else:
        job.status = unprotect_cm(ctx, job, length)
    if job.status == SRTP_OK:
        job.out_len = length


cdef inline bint read_trailer(const SrtpContext *ctx, const uint8_t *end, uint64_t *index) noexcept nogil:
    """E flag and index of SRTCP: before the tag in AES-CM, after it in GCM. False without the flag."""
    cdef uint32_t word = load32(end + (TAG_GCM if ctx.gcm else 0))
    index[0] = word & ~E_FLAG
    return word & E_FLAG != 0


cdef int64_t srtcp_index(const SrtpContext *ctx, const uint8_t *packet, uint32_t length) noexcept nogil:
    """The index a whole SRTCP packet claims (for the replay check); -1: too short, or not encrypted."""
    cdef uint64_t index = 0
    cdef uint32_t overhead = srtp_overhead(ctx, True)
    if length < 8 + overhead or not read_trailer(ctx, packet + length - overhead, &index):
        return -1
    return <int64_t>index


cdef void never_twice(SrtpContext *ctx, const SrtpJob *job) noexcept nogil:
    """Debug build: under one (key, SSRC, index) exactly one byte string is ever protected; with GCM a second one
    gives the key away. Watches the latest few hundred packets of a context and aborts."""
    cdef uint64_t hash = 0xCBF29CE484222325U
    cdef uint32_t i
    cdef Seen *seen
    if ctx.seen == NULL:
        return
    for i in range(job.header_len):
        hash = (hash ^ job.header[i]) * 0x100000001B3U
    for i in range(job.payload_len):
        hash = (hash ^ job.payload[i]) * 0x100000001B3U
    seen = &ctx.seen[(job.index ^ (<uint64_t>job.ssrc * 0x9E3779B1U) ^ <uint64_t>job.rtcp) % SEEN]
    if (seen.hash != 0 and seen.index == job.index and seen.ssrc == job.ssrc and seen.rtcp == job.rtcp
            and seen.hash != hash):
        abort()
    seen.index, seen.ssrc, seen.rtcp, seen.hash = job.index, job.ssrc, job.rtcp, hash


# --------------------------------------------------------------------------------------------------------- replay

cdef uint64_t srtp_guess_index(const ReplayWindow *window, uint16_t seq) noexcept nogil:
    """The index nearest to the highest authenticated one (RFC 3711 §3.3.1, appendix A)."""
    cdef uint64_t roc = window.highest >> 16
    cdef uint32_t last = <uint32_t>(window.highest & 0xFFFF)
    if not window.started:
        return seq
    if last < 0x8000:
        if seq > last + 0x8000 and roc > 0:
            roc -= 1
    elif seq < last - 0x8000:
        roc = (roc + 1) & <uint64_t>0xFFFFFFFF
    return (roc << 16) | seq


cdef bint replay_check(const ReplayWindow *window, uint64_t index) noexcept nogil:
    """Whether `index` may still be accepted: not seen before and not too old."""
    if not window.started or index > window.highest:
        return True
    if window.highest - index >= REPLAY_WINDOW:
        return False
    return not (window.bits[(index >> 6) & 15] >> (index & 63)) & 1


cdef void replay_commit(ReplayWindow *window, uint64_t index) noexcept nogil:
    """Remember `index`: only after its packet was authenticated."""
    cdef uint64_t forget
    if not window.started or (index > window.highest and index - window.highest >= REPLAY_WINDOW):
        memset(window.bits, 0, sizeof(window.bits))
        window.highest = index
        window.started = True
    while window.highest < index:
        window.highest += 1
        forget = window.highest
        window.bits[(forget >> 6) & 15] &= ~(<uint64_t>1 << (forget & 63))
    window.bits[(index >> 6) & 15] |= <uint64_t>1 << (index & 63)


# ------------------------------------------------------------------------------------------------ choice of layer

# Known answers, (suite, RTP, RTCP): master key and salt are 00 01 02 .., RTP and SRTCP the packets of RFC 7714 §16 and
# §17 cut short, RTP index 0xF17B, SRTCP index 1. The unit tests hold the transforms against the RFCs' own vectors.
_RTP = bytes.fromhex("8040f17b8041f8d35501a0b2"), b"Gallia est omnis di", 0x5501A0B2, 0xF17B
_RTCP = bytes.fromhex("81c8000d4d617273"), bytes.fromhex("4e5450314e545032525450200000042a0000e930"), 0x4D617273, 1
_KNOWN = (
    (1, "43e9420c9cf39e584e466454b2c1e893e44b51140d960e72016ddc022c",
     "c666ce0c636833f9066526b242e6797c1d139f0b80000001a80abd37a22fdba0e884"),
    (2, "43e9420c9cf39e584e466454b2c1e893e44b51140d960e",
     "c666ce0c636833f9066526b242e6797c1d139f0b80000001a80abd37a22fdba0e884"),
    (7, "17a97eb6773731e9ef4dcd6e6e7182b18eefcbb477cbfa44c37e77330e3ec2901b0978",
     "fe267afb490b985fab1931bd34e3a5f905dc7035f077f3baf38d20f742bcc4b9341e8dcf80000001"),
    (8, "4730a9d66007814e595d9a1acfca34d784cb3d81054b7ed193d93b6cc40ce6a4795b90",
     "19e72ec348c9d0d1a730ce6c5e876efac218c2c111173c1284bfd05f20cb5c2666441dcc80000001"),
)


def _self_test(name: str) -> bool:
    """Both directions of every suite against the known answers, and a spoiled byte."""
    for suite, rtp, rtcp in _KNOWN:
        sender, receiver = (Context(suite, _material(suite), outbound, layer=name) for outbound in (True, False))
        for is_rtcp, (header, clear, ssrc, index), answer in ((False, _RTP, rtp), (True, _RTCP, rtcp)):
            sealed = bytes.fromhex(answer)
            spoiled = bytes([sealed[0] ^ 1]) + sealed[1:]
            if (sender.protect(header, clear, index, ssrc, is_rtcp) != (SRTP_OK, sealed)
                    or receiver.unprotect(header, spoiled, index, ssrc, is_rtcp)[0] != SRTP_AUTH_FAILED
                    or receiver.unprotect(header, sealed, index, ssrc, is_rtcp) != (SRTP_OK, clear, index)):
                return False
    return True


def _material(suite: int) -> bytes:
    return bytes(range({1: 30, 2: 30, 7: 28, 8: 44}[suite]))


def _choose() -> str:
    global USE_EVP
    forced = os.environ.get("SFU_SRTP", "")
    if forced not in ("", *_LAYERS):
        raise ImportError(f"SFU_SRTP is {forced!r}: not one of {', '.join(_LAYERS)}")
    loaded = {name: load() for name, load in _LAYERS.items()}
    for name in _LAYERS:
        if forced in ("", name) and loaded[name] and _self_test(name):
            USE_EVP = name == "evp"
            return name
    raise ImportError("no SRTP layer found in pylibsrtp passes its self-test")


def layer() -> str:
    """The layer that runs: "evp" or "libsrtp"."""
    return _layer


# ------------------------------------------------------------------------- for tests, fuzzing and benchmarks only

cdef class Context:
    """One direction of one suite. `material`: master key and salt. ValueError if they do not fit."""

    cdef SrtpContext *ctx

    def __cinit__(self, suite: int, material: bytes, outbound: bool, *, layer: str | None = None):
        cdef SrtpKeys keys
        if not srtp_keys_set(&keys, suite, <const uint8_t *>PyBytes_AsString(material), <uint32_t>len(material)):
            raise ValueError("suite or material")
        self.ctx = context_new(&keys, outbound, layer == "evp" if layer else USE_EVP)
        if self.ctx == NULL:
            raise ValueError("the layer refuses")

    def __dealloc__(self):
        srtp_context_free(self.ctx)

    @staticmethod
    def with_session_keys(suite: int, key: bytes, salt: bytes, auth: bytes, outbound: bool) -> Context:
        """EVP layer, the same session keys for RTP and RTCP: where the RFCs' vectors begin."""
        cdef Context self = Context(suite, _material(suite), outbound, layer="evp")
        cdef EvpSession session
        memset(&session, 0, sizeof(session))
        memcpy(session.key, PyBytes_AsString(key), min(<size_t>len(key), sizeof(session.key)))
        memcpy(session.salt, PyBytes_AsString(salt), min(<size_t>len(salt), sizeof(session.salt)))
        memcpy(session.auth, PyBytes_AsString(auth), min(<size_t>len(auth), sizeof(session.auth)))
        evp_keys_clear(&self.ctx.rtp)
        evp_keys_clear(&self.ctx.rtcp)
        if not (evp_keys_init(&self.ctx.rtp, &session, <uint32_t>len(key), self.ctx.gcm, outbound)
                and evp_keys_init(&self.ctx.rtcp, &session, <uint32_t>len(key), self.ctx.gcm, outbound)):
            raise ValueError("the layer refuses")
        return self

    def overhead(self, rtcp: bool) -> int:
        return srtp_overhead(self.ctx, rtcp)

    def rtcp_index(self, packet: bytes) -> int:
        return srtcp_index(self.ctx, <const uint8_t *>PyBytes_AsString(packet), <uint32_t>len(packet))

    def protect(self, header: bytes, payload: bytes, index: int, ssrc: int, rtcp: bool) -> tuple[int, bytes]:
        return protect([(self, header, payload, index, ssrc, rtcp)])[0]

    def unprotect(
        self, header: bytes, payload: bytes, index: int, ssrc: int, rtcp: bool
    ) -> tuple[int, bytes, int]:
        return unprotect([(self, header, payload, index, ssrc, rtcp)])[0]


cdef class _Jobs:
    """An array of jobs, each with a buffer of exactly its size: header, payload, room for the overhead."""

    cdef SrtpJob *jobs
    cdef uint8_t **buffers
    cdef uint32_t n
    cdef list alive

    def __cinit__(self, packets: list, bint outbound, bint in_place):
        cdef Context context
        cdef SrtpJob *job
        cdef uint8_t *buffer
        cdef size_t room
        self.n = <uint32_t>len(packets)
        self.alive = packets
        self.jobs = <SrtpJob *>calloc(self.n + 1, sizeof(SrtpJob))
        self.buffers = <uint8_t **>calloc(self.n + 1, sizeof(uint8_t *))
        if self.jobs == NULL or self.buffers == NULL:
            raise MemoryError
        for i, (context, header, payload, index, ssrc, rtcp) in enumerate(packets):
            room = srtp_overhead(context.ctx, rtcp) if outbound else 0
            buffer = <uint8_t *>calloc(1, <size_t>len(header) + <size_t>len(payload) + room)
            if buffer == NULL:
                raise MemoryError
            self.buffers[i] = buffer
            memcpy(buffer, PyBytes_AsString(header), len(header))
            job = &self.jobs[i]
            job.ctx, job.index, job.ssrc, job.rtcp = context.ctx, index, ssrc, rtcp
            job.header, job.header_len = buffer, <uint32_t>len(header)
            job.payload, job.payload_len = <const uint8_t *>PyBytes_AsString(payload), <uint32_t>len(payload)
            job.out = buffer + len(header)
            if in_place:
                memcpy(job.out, job.payload, job.payload_len)
                job.payload = job.out

    def __dealloc__(self):
        cdef uint32_t i
        if self.buffers != NULL:
            for i in range(self.n):
                free(self.buffers[i])
        free(self.buffers)
        free(self.jobs)

    cdef bytes output(self, uint32_t i):
        return PyBytes_FromStringAndSize(<const char *>self.jobs[i].out, self.jobs[i].out_len)


def protect(packets: list, *, in_place: bool = False) -> list[tuple[int, bytes]]:
    """[(context, header, payload, index, ssrc, rtcp)] as one array -> [(status, what follows the header)]."""
    cdef _Jobs jobs = _Jobs(packets, True, in_place)
    with nogil:
        srtp_protect(jobs.jobs, jobs.n)
    return [(jobs.jobs[i].status, jobs.output(i)) for i in range(jobs.n)]


def unprotect(packets: list, *, in_place: bool = False) -> list[tuple[int, bytes, int]]:
    """[(context, header, protected, index, ssrc, rtcp)] as one array -> [(status, payload, index)]."""
    cdef _Jobs jobs = _Jobs(packets, False, in_place)
    with nogil:
        srtp_unprotect(jobs.jobs, jobs.n)
    return [(jobs.jobs[i].status, jobs.output(i), jobs.jobs[i].index) for i in range(jobs.n)]


def protect_repeatedly(packets: list, int rounds) -> None:
    """Protect the same array again and again, each time under the next index."""
    cdef _Jobs jobs = _Jobs(packets, True, False)
    cdef uint32_t i
    cdef int turn
    with nogil:
        for turn in range(rounds):
            srtp_protect(jobs.jobs, jobs.n)
            for i in range(jobs.n):
                jobs.jobs[i].index += 1
                store16(<uint8_t *>jobs.jobs[i].header + 2, <uint16_t>jobs.jobs[i].index)
    if any(jobs.jobs[i].status != SRTP_OK for i in range(jobs.n)):
        raise RuntimeError("a packet was refused")


cdef class Window:
    """A replay window."""

    cdef ReplayWindow window

    @property
    def highest(self) -> int:
        return self.window.highest

    def guess(self, seq: int) -> int:
        return srtp_guess_index(&self.window, seq)

    def check(self, index: int) -> bool:
        return replay_check(&self.window, index)

    def commit(self, index: int) -> None:
        replay_commit(&self.window, index)


aborts_on_reuse = bool(SFU_DEBUG)  # of an index for other bytes: see `never_twice`
_LAYERS = {"evp": _evp.load, "libsrtp": _libsrtp.load}
_layer = _choose()
