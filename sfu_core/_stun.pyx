"""STUN for an ICE-lite agent: see the .pxd for the contract (RFC 8489; RFC 8445 section 7.3).

Tier 1, any thread. Knows bytes only: it neither finds credentials nor decides which tuple is used.
"""

from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from sfu_core._bytes cimport load16, load32, load64, store16, store32
from sfu_core._testdoor cimport exact_copy


cdef extern from "sha1.h":
    ctypedef struct Sha1:
        pass
    void sha1_update(Sha1 *s, const uint8_t *data, size_t len) noexcept nogil
    void hmac_sha1_init(Sha1 *inner, Sha1 *outer, const uint8_t *key, size_t key_len) noexcept nogil
    void hmac_sha1_final(Sha1 *inner, Sha1 *outer, uint8_t *digest) noexcept nogil
    bint equal_constant_time(const uint8_t *a, const uint8_t *b, size_t len) noexcept nogil


cdef enum:
    HEADER = 20
    COOKIE = 0x2112A442
    BINDING = 1
    FINGERPRINT_XOR = 0x5354554E
    # attributes
    ATTR_USERNAME = 0x0006
    ATTR_MESSAGE_INTEGRITY = 0x0008
    ATTR_ERROR_CODE = 0x0009
    ATTR_MESSAGE_INTEGRITY_SHA256 = 0x001C
    ATTR_XOR_MAPPED_ADDRESS = 0x0020
    ATTR_PRIORITY = 0x0024
    ATTR_USE_CANDIDATE = 0x0025
    ATTR_NOMINATION = 0x0030
    ATTR_FINGERPRINT = 0x8028
    ATTR_ICE_CONTROLLED = 0x8029
    ATTR_ICE_CONTROLLING = 0x802A
    ATTR_NOMINATION_OLD = 0xC001
    USERNAME_MAX = 513       # RFC 8489 section 14.3: fewer than 514 bytes
    # sizes of whole attributes
    FINGERPRINT_SIZE = 8
    INTEGRITY_SIZE = 24


cdef uint32_t[16] CRC_OF_NIBBLE = [
    0x00000000U, 0x1DB71064U, 0x3B6E20C8U, 0x26D930ACU, 0x76DC4190U, 0x6B6B51F4U, 0x4DB26158U, 0x5005713CU,
    0xEDB88320U, 0xF00F9344U, 0xD6D6A3E8U, 0xCB61B38CU, 0x9B64C2B0U, 0x86D3D2D4U, 0xA00AE278U, 0xBDBDF21CU,
]


cdef uint32_t crc32(const uint8_t *data, uint32_t len) noexcept nogil:
    """CRC-32 of IEEE 802.3, four bits at a time: a table of one cache line, for messages that are short and rare."""
    cdef uint32_t crc = 0xFFFFFFFFU
    cdef uint32_t i
    for i in range(len):
        crc ^= data[i]
        crc = (crc >> 4) ^ CRC_OF_NIBBLE[crc & 15]
        crc = (crc >> 4) ^ CRC_OF_NIBBLE[crc & 15]
    return crc ^ 0xFFFFFFFFU


# --- reading ---

cdef inline bint read_attribute(StunMessage *out, uint16_t type, const uint8_t *value, uint32_t len) noexcept nogil:
    """One attribute that is not about integrity. False if its length is wrong; unknown ones are passed over."""
    if type == ATTR_USERNAME:
        if len > USERNAME_MAX or out.username != NULL:
            return False
        out.username = value
        out.username_len = <uint16_t>len
        out.local_len = local_length(value, len)
    elif type == ATTR_PRIORITY:
        if len != 4:
            return False
        out.has_priority = 1
        out.priority = load32(value)
    elif type == ATTR_USE_CANDIDATE:
        if len != 0:
            return False
        out.use_candidate = 1
    elif type == ATTR_NOMINATION or type == ATTR_NOMINATION_OLD:
        if len != 4:
            return False
        out.has_nomination = 1
        out.nomination = load32(value)
    elif type == ATTR_ICE_CONTROLLING or type == ATTR_ICE_CONTROLLED:
        if len != 8:
            return False
        out.tie_breaker = load64(value)
        if type == ATTR_ICE_CONTROLLING:
            out.controlling = 1
        else:
            out.controlled = 1
    return True


cdef inline uint16_t local_length(const uint8_t *username, uint32_t len) noexcept nogil:
    cdef uint32_t i
    for i in range(len):
        if username[i] == 58:    # ':'
            return <uint16_t>i
    return 0


cdef inline bint fingerprint_fits(const uint8_t *data, uint32_t at) noexcept nogil:
    """The CRC covers everything before the attribute, and the header length as it stands (it is the last one)."""
    return load32(data + at + 4) == (crc32(data, at) ^ <uint32_t>FINGERPRINT_XOR)


cdef int read_attributes(StunMessage *out) noexcept nogil:
    cdef const uint8_t *data = out.data
    cdef uint32_t at = HEADER
    cdef uint32_t size, padded
    cdef uint16_t type
    cdef bint sealed = False     # behind MESSAGE-INTEGRITY only FINGERPRINT counts (RFC 8489 section 14.5)
    while at < out.len:          # len and at are multiples of 4, so a whole attribute header is there
        type = load16(data + at)
        size = load16(data + at + 2)
        padded = (size + 3) & ~<uint32_t>3
        if padded > out.len - at - 4:
            return STUN_MALFORMED
        if type == ATTR_FINGERPRINT:
            if size != 4 or at + FINGERPRINT_SIZE != out.len:
                return STUN_MALFORMED
            if not fingerprint_fits(data, at):
                return STUN_BAD_FINGERPRINT
            out.has_fingerprint = 1
        elif sealed:
            pass
        elif type == ATTR_MESSAGE_INTEGRITY:
            if size != 20:
                return STUN_MALFORMED
            out.integrity_off = <uint16_t>at
            sealed = True
        elif type == ATTR_MESSAGE_INTEGRITY_SHA256:
            sealed = True
        elif not read_attribute(out, type, data + at + 4, size):
            return STUN_MALFORMED
        at += 4 + padded
    return STUN_OK


cdef int stun_parse(StunMessage *out, const uint8_t *data, uint32_t len) noexcept nogil:
    cdef uint16_t type
    if len < HEADER or len > 0xFFFF or len & 3 or data[0] & 0xC0:
        return STUN_MALFORMED
    if load16(data + 2) != len - HEADER or load32(data + 4) != COOKIE:
        return STUN_MALFORMED
    memset(out, 0, sizeof(StunMessage))
    type = load16(data)
    out.data = data
    out.len = len
    out.transaction = data + 8
    out.message_class = <uint8_t>(((type >> 4) & 1) | ((type >> 7) & 2))
    out.method = <uint16_t>((type & 0x0F) | ((type >> 1) & 0x70) | ((type >> 2) & 0xF80))
    return read_attributes(out)


cdef int stun_request_status(const StunMessage *message) noexcept nogil:
    if message.message_class != STUN_REQUEST:
        return STUN_IGNORE
    if message.method != BINDING or not message.has_fingerprint or not message.has_priority:
        return STUN_BAD_REQUEST
    if message.local_len == 0 or message.integrity_off == 0:
        return STUN_BAD_REQUEST
    if message.controlled:
        return STUN_ROLE_CONFLICT
    return 0


cdef void integrity(
    const uint8_t *data, uint32_t at, const uint8_t *password, uint32_t len, uint8_t *digest
) noexcept nogil:
    """HMAC-SHA1 of what precedes `at`, with the header length as if MESSAGE-INTEGRITY were the last attribute."""
    cdef Sha1 inner, outer
    cdef uint8_t length[2]
    store16(length, <uint16_t>(at + INTEGRITY_SIZE - HEADER))
    hmac_sha1_init(&inner, &outer, password, len)
    sha1_update(&inner, data, 2)
    sha1_update(&inner, length, 2)
    sha1_update(&inner, data + 4, at - 4)
    hmac_sha1_final(&inner, &outer, digest)


cdef bint stun_verify(const StunMessage *message, const uint8_t *password, uint32_t len) noexcept nogil:
    cdef uint8_t digest[20]
    if message.integrity_off == 0:
        return False
    integrity(message.data, message.integrity_off, password, len, digest)
    return equal_constant_time(digest, message.data + message.integrity_off + 4, 20)


# --- writing ---

cdef void put_header(uint8_t *out, uint8_t message_class, const StunMessage *request, uint32_t size) noexcept nogil:
    cdef uint16_t method = request.method
    cdef uint16_t type = (method & 0x0F) | ((method & 0x70) << 1) | ((method & 0xF80) << 2)
    type |= ((message_class & 1) << 4) | ((message_class & 2) << 7)
    store16(out, type)
    store16(out + 2, <uint16_t>(size - HEADER))
    store32(out + 4, COOKIE)
    memcpy(out + 8, request.transaction, 12)


cdef inline uint8_t *put_attribute(uint8_t *at, uint16_t type, uint16_t size) noexcept nogil:
    store16(at, type)
    store16(at + 2, size)
    return at + 4


cdef void put_fingerprint(uint8_t *out, uint32_t at) noexcept nogil:
    store32(put_attribute(out + at, ATTR_FINGERPRINT, 4), crc32(out, at) ^ <uint32_t>FINGERPRINT_XOR)


cdef uint32_t stun_write_success(
    uint8_t *out, uint32_t cap, const StunMessage *request,
    const uint8_t *ip, uint32_t ip_len, uint16_t port, const uint8_t *password, uint32_t password_len
) noexcept nogil:
    cdef uint32_t integrity_at = HEADER + 8 + ip_len
    cdef uint32_t size = integrity_at + INTEGRITY_SIZE + FINGERPRINT_SIZE
    cdef uint8_t *value
    cdef uint32_t i
    if size > cap or (ip_len != 4 and ip_len != 16):
        return 0
    put_header(out, STUN_SUCCESS, request, size)
    value = put_attribute(out + HEADER, ATTR_XOR_MAPPED_ADDRESS, <uint16_t>(4 + ip_len))
    value[0] = 0
    value[1] = 1 if ip_len == 4 else 2
    store16(value + 2, port ^ (COOKIE >> 16))
    for i in range(ip_len):
        value[4 + i] = ip[i] ^ out[4 + i]    # cookie, then transaction id
    value = put_attribute(out + integrity_at, ATTR_MESSAGE_INTEGRITY, 20)
    integrity(out, integrity_at, password, password_len, value)
    put_fingerprint(out, integrity_at + INTEGRITY_SIZE)
    return size


cdef inline const char *reason(uint32_t code) noexcept nogil:
    if code == STUN_UNAUTHORIZED:
        return b"Unauthorized"
    if code == STUN_ROLE_CONFLICT:
        return b"Role Conflict"
    return b"Bad Request"


cdef inline uint32_t text_length(const char *text) noexcept nogil:
    cdef uint32_t len = 0
    while text[len]:
        len += 1
    return len


cdef uint32_t stun_write_error(
    uint8_t *out, uint32_t cap, const StunMessage *request, uint32_t code
) noexcept nogil:
    cdef const char *text = reason(code)
    cdef uint32_t text_len = text_length(text)
    cdef uint32_t fingerprint_at = HEADER + 8 + ((text_len + 3) & ~<uint32_t>3)
    cdef uint8_t *value
    if fingerprint_at + FINGERPRINT_SIZE > cap:
        return 0
    memset(out, 0, fingerprint_at)
    put_header(out, STUN_ERROR, request, fingerprint_at + FINGERPRINT_SIZE)
    value = put_attribute(out + HEADER, ATTR_ERROR_CODE, <uint16_t>(4 + text_len))
    value[2] = <uint8_t>(code // 100)
    value[3] = <uint8_t>(code % 100)
    memcpy(value + 4, text, text_len)
    put_fingerprint(out, fingerprint_at)
    return fingerprint_at + FINGERPRINT_SIZE


# --- test doors ---

def parse(bytes data not None):
    """(status, fields): the fields are empty unless the status is 0."""
    cdef StunMessage message
    cdef uint8_t *copy = exact_copy(data)
    cdef int status
    try:
        status = stun_parse(&message, copy, <uint32_t>len(data))
        if status != STUN_OK:
            return status, {}
        username = None
        if message.username != NULL:
            username = (<const char *>message.username)[:message.username_len]
        return status, {
            "method": message.method, "class": message.message_class,
            "transaction": (<const char *>message.transaction)[:12], "username": username,
            "local_len": message.local_len, "integrity_off": message.integrity_off,
            "fingerprint": bool(message.has_fingerprint), "use_candidate": bool(message.use_candidate),
            "priority": message.priority if message.has_priority else None,
            "nomination": message.nomination if message.has_nomination else None,
            "controlling": bool(message.controlling), "controlled": bool(message.controlled),
            "tie_breaker": message.tie_breaker, "request_status": stun_request_status(&message),
        }
    finally:
        free(copy)


def verify(bytes data not None, bytes password not None):
    """Whether the message parses and its MESSAGE-INTEGRITY was made with this password."""
    cdef StunMessage message
    cdef uint8_t *copy = exact_copy(data)
    try:
        if stun_parse(&message, copy, <uint32_t>len(data)) != STUN_OK:
            return False
        return bool(stun_verify(&message, <const uint8_t *><const char *>password, <uint32_t>len(password)))
    finally:
        free(copy)


def write_success(
    bytes request not None, bytes ip not None, uint16_t port, bytes password not None,
    uint32_t cap=STUN_RESPONSE_MAX,
):
    """The success response to a request, or None if the request does not parse or `cap` is too small."""
    cdef StunMessage message
    cdef uint32_t size
    cdef uint8_t *copy = exact_copy(request)
    cdef uint8_t *out = exact_copy(bytes(cap))
    try:
        if stun_parse(&message, copy, <uint32_t>len(request)) != STUN_OK:
            return None
        size = stun_write_success(
            out, cap, &message, <const uint8_t *><const char *>ip, <uint32_t>len(ip), port,
            <const uint8_t *><const char *>password, <uint32_t>len(password),
        )
        return (<const char *>out)[:size] if size else None
    finally:
        free(out)
        free(copy)


def write_error(bytes request not None, uint32_t code, uint32_t cap=STUN_RESPONSE_MAX):
    """The error response to a request, or None if the request does not parse or `cap` is too small."""
    cdef StunMessage message
    cdef uint32_t size
    cdef uint8_t *copy = exact_copy(request)
    cdef uint8_t *out = exact_copy(bytes(cap))
    try:
        if stun_parse(&message, copy, <uint32_t>len(request)) != STUN_OK:
            return None
        size = stun_write_error(out, cap, &message, code)
        return (<const char *>out)[:size] if size else None
    finally:
        free(out)
        free(copy)
