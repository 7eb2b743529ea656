"""RTP packets, header extensions and the header written for consumers: see the .pxd for the contract.

Tier 1, any thread. Knows bytes only: no streams, no ids of objects, no time.
"""

from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from sfu_core._bytes cimport load16
from sfu_core._testdoor cimport exact_copy


# --- parsing (RFC 3550 section 5.1) ---

cdef int rtp_parse_header(RtpPacket *out, uint8_t *data, uint32_t len) noexcept nogil:
    cdef uint32_t at
    if len < RTP_FIXED_HEADER:
        return RTP_TOO_SHORT
    if len > 0xFFFF:
        return RTP_TOO_LONG
    if data[0] >> 6 != 2:
        return RTP_BAD_VERSION
    at = RTP_FIXED_HEADER + 4 * (data[0] & 0x0F)
    if at > len:
        return RTP_BAD_CSRC
    out.ext_off = 0
    out.ext_len = 0
    out.ext_profile = 0
    if data[0] & 0x10:
        if len - at < 4:
            return RTP_BAD_EXTENSION
        out.ext_profile = load16(data + at)
        out.ext_len = 4 * <uint32_t>load16(data + at + 2)
        at += 4
        if len - at < out.ext_len:
            return RTP_BAD_EXTENSION
        out.ext_off = at
        at += out.ext_len
    out.data = data
    out.len = len
    out.header_len = at
    out.payload_off = at
    out.payload_len = len - at
    out.padding_len = 0
    out.padded = (data[0] >> 5) & 1
    out.marker = data[1] >> 7
    out.pt = data[1] & 0x7F
    out.seq = load16(data + 2)
    out.timestamp = load32(data + 4)
    out.ssrc = load32(data + 8)
    return RTP_OK


cdef int rtp_parse(RtpPacket *out, uint8_t *data, uint32_t len) noexcept nogil:
    cdef int status = rtp_parse_header(out, data, len)
    if status != RTP_OK or not out.padded:
        return status
    if out.payload_len == 0:
        return RTP_BAD_PADDING
    out.padding_len = data[len - 1]
    if out.padding_len == 0 or out.padding_len > out.payload_len:
        return RTP_BAD_PADDING
    out.payload_len -= out.padding_len
    return RTP_OK


# --- header extensions (RFC 8285 sections 4.2 and 4.3) ---

cdef struct Element:
    uint32_t offset          # of the value, from the first byte of the packet
    uint32_t next            # where the search goes on
    uint8_t id
    uint8_t length


cdef inline bint is_two_byte(uint16_t profile) noexcept nogil:
    return profile & 0xFFF0 == RTP_PROFILE_TWO_BYTE


cdef inline bint next_element(const RtpPacket *packet, Element *element) noexcept nogil:
    """Moves to the element at or after `element.next`. False at the end and at the first byte that cannot be right."""
    cdef const uint8_t *data = packet.data
    cdef uint32_t end = packet.ext_off + packet.ext_len
    cdef uint32_t at = element.next
    if packet.ext_profile == RTP_PROFILE_ONE_BYTE:
        while at < end and data[at] == 0:
            at += 1
        if at >= end:
            return False
        element.id = data[at] >> 4
        if element.id == 0 or element.id == 15:
            return False     # both end the whole extension, as the RFC demands
        element.length = (data[at] & 0x0F) + 1
        at += 1
    elif is_two_byte(packet.ext_profile):
        while at < end and data[at] == 0:
            at += 1          # padding has no length byte
        if end < at + 2:
            return False
        element.id = data[at]
        element.length = data[at + 1]
        at += 2
    else:
        return False
    if element.length > end - at:
        return False
    element.offset = at
    element.next = at + element.length
    return True


cdef bint rtp_extension(
    const RtpPacket *packet, uint8_t id, const uint8_t **value, uint32_t *len
) noexcept nogil:
    cdef Element element
    element.next = packet.ext_off
    while next_element(packet, &element):
        if element.id == id:
            value[0] = packet.data + element.offset
            len[0] = element.length
            return True
    return False


cdef inline bint length_fits(uint8_t kind, uint8_t length) noexcept nogil:
    if kind == EXT_MID or kind == EXT_RID or kind == EXT_RRID:
        return length > 0
    if kind == EXT_AUDIO_LEVEL or kind == EXT_VIDEO_ORIENTATION:
        return length == 1
    if kind == EXT_TWCC:
        return length == 2
    if kind == EXT_ABS_SEND_TIME or kind == EXT_TOFFSET or kind == EXT_PLAYOUT_DELAY:
        return length == 3
    if kind == EXT_DEPENDENCY_DESCRIPTOR:
        return length >= 3
    if kind == EXT_PACKET_ID:
        return length == 4
    if kind == EXT_ABS_CAPTURE_TIME:
        return length == 8 or length == 16
    return False


cdef uint32_t rtp_extensions_scan(
    const RtpPacket *packet, const uint8_t *kinds, ExtIndex *out
) noexcept nogil:
    cdef Element element
    cdef uint8_t kind
    cdef uint32_t present = 0
    element.next = packet.ext_off
    while next_element(packet, &element):
        kind = kinds[element.id]
        if length_fits(kind, element.length) and not (present >> kind) & 1:
            present |= <uint32_t>1 << kind
            out.offset[kind] = <uint16_t>element.offset
            out.length[kind] = element.length
    out.present = present
    return present


# --- the header for consumers ---

cdef inline uint8_t *put_element(
    uint8_t *at, bint two_byte, uint8_t id, const uint8_t *value, uint32_t len
) noexcept nogil:
    """Writes one element, zeros for a NULL value. Returns where its value begins."""
    if two_byte:
        at[0] = id
        at[1] = <uint8_t>len
        at += 2
    else:
        at[0] = <uint8_t>((id << 4) | (len - 1))
        at += 1
    if value == NULL:
        memset(at, 0, len)
    else:
        memcpy(at, value, len)
    return at


cdef inline uint32_t forwarded_length(const ExtIndex *index, uint8_t kind) noexcept nogil:
    return 16 if kind == EXT_ABS_CAPTURE_TIME else index.length[kind]


cdef uint32_t forwarded(const ExtIndex *index, bint video, uint32_t flags) noexcept nogil:
    """Which received extensions go on to consumers (bit per kind). Elements of 0 bytes never come this far."""
    cdef uint32_t mask = (1 << EXT_ABS_CAPTURE_TIME) | (1 << EXT_PLAYOUT_DELAY) | (1 << EXT_PACKET_ID)
    if video:
        mask |= (1 << EXT_VIDEO_ORIENTATION) | (1 << EXT_TOFFSET)
    else:
        mask |= 1 << EXT_AUDIO_LEVEL
    if flags & RTP_KEEP_DD:
        mask |= 1 << EXT_DEPENDENCY_DESCRIPTOR
    return mask & index.present


cdef uint32_t block_length(
    const ExtIndex *index, uint32_t copied, uint32_t flags, uint32_t element_header
) noexcept nogil:
    """Bytes of the elements, not yet rounded up to words."""
    cdef uint32_t size = 0
    cdef uint8_t kind
    if flags & RTP_WANT_MID:
        size += element_header + RTP_MID_MAX
    if flags & RTP_WANT_ABS_SEND_TIME:
        size += element_header + 3
    if flags & RTP_WANT_TWCC:
        size += element_header + 2
    if flags & RTP_WANT_PACKET_ID and not (copied >> EXT_PACKET_ID) & 1:
        size += element_header + 4
    for kind in range(EXT_AUDIO_LEVEL, EXT_PACKET_ID + 1):
        if (copied >> kind) & 1:
            size += element_header + forwarded_length(index, kind)
    return size


cdef uint32_t put_placeholders(
    RtpTemplate *out, uint8_t *buf, uint32_t at, uint32_t flags, bint packet_id
) noexcept nogil:
    """Reserves what is filled in per consumer. The mid is all zero at first, which is padding: valid without a mid."""
    cdef bint two_byte = out.two_byte
    cdef uint32_t element_header = 2 if two_byte else 1
    if flags & RTP_WANT_MID:
        out.mid_off = <uint16_t>at
        memset(buf + at, 0, element_header + RTP_MID_MAX)
        at += element_header + RTP_MID_MAX
    if flags & RTP_WANT_ABS_SEND_TIME:
        out.abs_send_time_off = <uint16_t>(put_element(buf + at, two_byte, EXT_ABS_SEND_TIME, NULL, 3) - buf)
        at = out.abs_send_time_off + 3
    if flags & RTP_WANT_TWCC:
        out.twcc_off = <uint16_t>(put_element(buf + at, two_byte, EXT_TWCC, NULL, 2) - buf)
        at = out.twcc_off + 2
    if packet_id:
        out.packet_id_off = <uint16_t>(put_element(buf + at, two_byte, EXT_PACKET_ID, NULL, 4) - buf)
        at = out.packet_id_off + 4
    return at


cdef uint32_t put_copies(
    RtpTemplate *out, uint8_t *buf, uint32_t at,
    const RtpPacket *packet, const ExtIndex *index, uint32_t copied
) noexcept nogil:
    cdef uint8_t *value
    cdef uint8_t kind
    for kind in range(EXT_AUDIO_LEVEL, EXT_PACKET_ID + 1):
        if not (copied >> kind) & 1:
            continue
        if kind == EXT_ABS_CAPTURE_TIME:
            value = put_element(buf + at, out.two_byte, kind, NULL, 16)
            memcpy(value, packet.data + index.offset[kind], index.length[kind])
            out.abs_capture_off = <uint16_t>(value - buf)
        else:
            value = put_element(
                buf + at, out.two_byte, kind, packet.data + index.offset[kind], index.length[kind]
            )
            if kind == EXT_PACKET_ID:
                out.packet_id_off = <uint16_t>(value - buf)
        at = <uint32_t>(value - buf) + forwarded_length(index, kind)
    return at


cdef uint32_t rtp_write_header(
    RtpTemplate *out, uint8_t *buf, uint32_t cap,
    const RtpPacket *packet, const ExtIndex *index, bint video, uint32_t flags
) noexcept nogil:
    cdef uint32_t copied = forwarded(index, video, flags)
    cdef bint two_byte = (copied >> EXT_DEPENDENCY_DESCRIPTOR) & 1 and index.length[<int>EXT_DEPENDENCY_DESCRIPTOR] > 16
    cdef bint new_packet_id = (flags & RTP_WANT_PACKET_ID) != 0 and not (copied >> EXT_PACKET_ID) & 1
    cdef uint32_t block = (block_length(index, copied, flags, 2 if two_byte else 1) + 3) & ~<uint32_t>3
    cdef uint32_t size = RTP_FIXED_HEADER + (4 + block if block else 0)
    cdef uint32_t at = RTP_FIXED_HEADER + 4
    if size > cap or size > RTP_TEMPLATE_MAX:
        return 0
    memset(out, 0, sizeof(RtpTemplate))
    out.len = <uint16_t>size
    out.two_byte = two_byte
    buf[0] = 0x90 if block else 0x80
    rtp_patch(buf, packet.pt, packet.marker, packet.seq, packet.timestamp, packet.ssrc)
    if block:
        store16(buf + 12, RTP_PROFILE_TWO_BYTE if two_byte else RTP_PROFILE_ONE_BYTE)
        store16(buf + 14, <uint16_t>(block >> 2))
        at = put_placeholders(out, buf, at, flags, new_packet_id)
        at = put_copies(out, buf, at, packet, index, copied)
        memset(buf + at, 0, size - at)
    return size


cdef bint rtp_set_mid(
    uint8_t *header, const RtpTemplate *template, const uint8_t *mid, uint32_t len
) noexcept nogil:
    cdef uint8_t *value
    if template.mid_off == 0 or len == 0 or len > RTP_MID_MAX:
        return False
    value = put_element(header + template.mid_off, template.two_byte, EXT_MID, mid, len)
    memset(value + len, 0, RTP_MID_MAX - len)
    return True


# --- test doors ---

def kind_of(bytes data not None):
    """The PacketKind of a datagram."""
    cdef uint8_t *copy = exact_copy(data)
    try:
        return <int>packet_kind(copy, <uint32_t>len(data))
    finally:
        free(copy)


def send_time(int64_t ns):
    """The abs-send-time of a time in nanoseconds."""
    return abs_send_time(ns)


def parse(bytes data not None, bint header_only=False):
    """(status, fields): the fields are empty unless the status is 0."""
    cdef RtpPacket packet
    cdef int status
    cdef uint8_t *copy = exact_copy(data)
    try:
        if header_only:
            status = rtp_parse_header(&packet, copy, <uint32_t>len(data))
        else:
            status = rtp_parse(&packet, copy, <uint32_t>len(data))
    finally:
        free(copy)
    if status != RTP_OK:
        return status, {}
    return status, {
        "pt": packet.pt, "marker": packet.marker, "seq": packet.seq, "timestamp": packet.timestamp,
        "ssrc": packet.ssrc, "header_len": packet.header_len, "ext_profile": packet.ext_profile,
        "ext_off": packet.ext_off, "ext_len": packet.ext_len, "payload_off": packet.payload_off,
        "payload_len": packet.payload_len, "padding_len": packet.padding_len, "padded": packet.padded,
    }


def extension(bytes data not None, uint8_t id):
    """The value of the first element with this id, or None (also if the packet does not parse)."""
    cdef RtpPacket packet
    cdef const uint8_t *value
    cdef uint32_t length
    cdef uint8_t *copy = exact_copy(data)
    try:
        if rtp_parse(&packet, copy, <uint32_t>len(data)) != RTP_OK:
            return None
        if not rtp_extension(&packet, id, &value, &length):
            return None
        return (<const char *>value)[:length]
    finally:
        free(copy)


def scan(bytes data not None, bytes kinds not None):
    """{kind: value} of the wanted extensions, or None if the packet does not parse. `kinds`: 256 bytes, id -> kind."""
    cdef RtpPacket packet
    cdef ExtIndex index
    cdef uint8_t *copy
    if len(kinds) != 256:
        raise TypeError("kinds must have 256 bytes")
    copy = exact_copy(data)
    try:
        if rtp_parse(&packet, copy, <uint32_t>len(data)) != RTP_OK:
            return None
        rtp_extensions_scan(&packet, <const uint8_t *><const char *>kinds, &index)
        return {
            kind: (<const char *>copy + index.offset[kind])[:index.length[kind]]
            for kind in range(16) if (index.present >> kind) & 1
        }
    finally:
        free(copy)


def write_header(
    bytes data not None, bytes kinds not None, bint video, uint32_t flags, uint32_t cap=256,
    bytes mid=None, send_time=None, twcc=None, packet_id=None, capture_offset=None,
):
    """(header, template) written for a packet and patched with the values given; None if it does not parse or fit.

    ValueError if the mid has no place or is too long.
    """
    cdef RtpPacket packet
    cdef ExtIndex index
    cdef RtpTemplate template
    cdef uint32_t size
    cdef uint8_t *header
    cdef uint8_t *copy
    if len(kinds) != 256:
        raise TypeError("kinds must have 256 bytes")
    header = exact_copy(bytes(cap))
    copy = exact_copy(data)
    try:
        if rtp_parse(&packet, copy, <uint32_t>len(data)) != RTP_OK:
            return None
        rtp_extensions_scan(&packet, <const uint8_t *><const char *>kinds, &index)
        size = rtp_write_header(&template, header, cap, &packet, &index, video, flags)
        if size == 0:
            return None
        if mid is not None and not rtp_set_mid(
            header, &template, <const uint8_t *><const char *>mid, <uint32_t>len(mid)
        ):
            raise ValueError("mid")
        if send_time is not None:
            rtp_set_abs_send_time(header, &template, <uint32_t>send_time)
        if twcc is not None:
            rtp_set_twcc(header, &template, <uint16_t>twcc)
        if packet_id is not None:
            rtp_set_packet_id(header, &template, <uint32_t>packet_id)
        if capture_offset is not None:
            rtp_set_capture_clock_offset(header, &template, <int64_t>capture_offset)
        return (<const char *>header)[:size], template
    finally:
        free(copy)
        free(header)


def patch(bytes header not None, uint8_t pt, bint marker, uint16_t seq, uint32_t timestamp, uint32_t ssrc):
    """The header with its fixed fields replaced."""
    cdef uint8_t *copy
    if len(header) < RTP_FIXED_HEADER:
        raise TypeError("header must have at least 12 bytes")
    copy = exact_copy(header)
    try:
        rtp_patch(copy, pt, marker, seq, timestamp, ssrc)
        return (<const char *>copy)[:len(header)]
    finally:
        free(copy)
