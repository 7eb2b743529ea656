"""RTP packets (RFC 3550), header extensions (RFC 8285) and the header written for consumers: tier 1.

Views and templates over bytes that the caller owns: nothing here allocates, reads a clock or keeps a pointer.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from sfu_core._bytes cimport load24, load32, store16, store24, store32, store64


cdef enum PacketKind:
    """What a datagram is by its first two bytes (RFC 7983, RFC 5761)."""
    PACKET_UNKNOWN = 0
    PACKET_STUN = 1
    PACKET_DTLS = 2
    PACKET_RTP = 3
    PACKET_RTCP = 4


cdef enum RtpStatus:
    """Result of a parse: 0, or why the packet is dropped."""
    RTP_OK = 0
    RTP_TOO_SHORT = 1        # no room for the fixed header
    RTP_BAD_VERSION = 2
    RTP_BAD_CSRC = 3         # the CSRC list ends outside the packet
    RTP_BAD_EXTENSION = 4    # the extension block ends outside the packet
    RTP_BAD_PADDING = 5      # padding of length 0, or longer than what follows the header
    RTP_TOO_LONG = 6         # more than a datagram can hold (65535 bytes)


cdef enum ExtKind:
    """Header extensions the router knows; also their ids in what the router sends."""
    EXT_NONE = 0
    EXT_MID = 1
    EXT_RID = 2
    EXT_RRID = 3
    EXT_ABS_SEND_TIME = 4
    EXT_TWCC = 5
    EXT_AUDIO_LEVEL = 6
    EXT_DEPENDENCY_DESCRIPTOR = 7
    EXT_VIDEO_ORIENTATION = 8
    EXT_TOFFSET = 9
    EXT_ABS_CAPTURE_TIME = 10
    EXT_PLAYOUT_DELAY = 11
    EXT_PACKET_ID = 12
    EXT_KINDS = 16           # size of tables indexed by kind


cdef enum RtpHeaderFlags:
    """Which placeholders `rtp_write_header` reserves, and what it keeps."""
    RTP_WANT_MID = 1
    RTP_WANT_ABS_SEND_TIME = 2
    RTP_WANT_TWCC = 4
    RTP_WANT_PACKET_ID = 8   # a packet id already there is kept (and recorded) without this
    RTP_KEEP_DD = 16         # copy the dependency descriptor (pipes)


cdef enum:
    RTP_FIXED_HEADER = 12
    RTP_PROFILE_ONE_BYTE = 0xBEDE
    RTP_PROFILE_TWO_BYTE = 0x1000   # low four bits: appbits, ignored
    RTP_MID_MAX = 8
    RTP_TEMPLATE_MAX = 256


cdef struct RtpPacket:
    uint8_t *data
    uint32_t len
    uint32_t timestamp
    uint32_t ssrc
    uint32_t header_len      # fixed header + CSRCs + extension block
    uint32_t ext_off         # first byte of the extension elements (after profile and length)
    uint32_t ext_len         # bytes of extension elements; 0 = none
    uint32_t payload_off     # = header_len
    uint32_t payload_len     # without padding (rtp_parse); all that follows the header (rtp_parse_header)
    uint16_t ext_profile     # 0 = no extension block
    uint16_t seq
    uint8_t padding_len
    uint8_t pt
    uint8_t marker
    uint8_t padded           # the P bit


# Where each wanted extension lies: `present` has bit `1 << kind`; offsets count from `RtpPacket.data`.
cdef struct ExtIndex:
    uint32_t present
    uint16_t offset[16]
    uint8_t length[16]


# Where a written header has its patchable values; offsets from its first byte, 0 = not there.
cdef struct RtpTemplate:
    uint16_t len             # header bytes
    uint16_t mid_off         # of the element (id byte), not the value
    uint16_t abs_send_time_off
    uint16_t twcc_off
    uint16_t abs_capture_off # of the 16-byte value
    uint16_t packet_id_off
    uint16_t two_byte        # extension form


# Parses a clear packet in place. 0, or the reason to drop it (`out` is then unspecified).
cdef int rtp_parse(RtpPacket *out, uint8_t *data, uint32_t len) noexcept nogil

# The same on a still encrypted SRTP packet: header and extensions only, padding not looked at.
cdef int rtp_parse_header(RtpPacket *out, uint8_t *data, uint32_t len) noexcept nogil

# The first element with this id, in either form (RFC 8285). A value may have length 0 in the two-byte form.
cdef bint rtp_extension(
    const RtpPacket *packet, uint8_t id, const uint8_t **value, uint32_t *len
) noexcept nogil

# One pass over all elements; `kinds` has 256 entries, id -> ExtKind. Returns `out.present`. Elements whose length is wrong for
# their kind count as absent (so fixed-size values can be read without a further check); of repeated ones the first counts.
cdef uint32_t rtp_extensions_scan(
    const RtpPacket *packet, const uint8_t *kinds, ExtIndex *out
) noexcept nogil

# The header for consumers (mediasoup's rewriting): fixed header with the packet's own pt, marker, seq, timestamp and
# ssrc, no CSRCs, no padding bit, and the extension block rebuilt with kinds as ids. `flags`: RtpHeaderFlags.
# Bytes written, or 0 if they exceed `cap` or RTP_TEMPLATE_MAX.
cdef uint32_t rtp_write_header(
    RtpTemplate *out, uint8_t *buf, uint32_t cap,
    const RtpPacket *packet, const ExtIndex *index, bint video, uint32_t flags
) noexcept nogil

# Writes a mid of 1..8 bytes into its placeholder, zero padding behind it. False if there is no place or it is too long.
cdef bint rtp_set_mid(
    uint8_t *header, const RtpTemplate *template, const uint8_t *mid, uint32_t len
) noexcept nogil


cdef inline PacketKind packet_kind(const uint8_t *data, uint32_t len) noexcept nogil:
    """RFC 7983 ranges on one port; RTCP when the second byte is 192..223 (RFC 5761). Lengths are the least possible."""
    cdef uint8_t first
    if len < 8:
        return PACKET_UNKNOWN
    first = data[0]
    if 128 <= first <= 191:
        if 192 <= data[1] <= 223:
            return PACKET_RTCP
        return PACKET_RTP if len >= 12 else PACKET_UNKNOWN
    if first <= 3:
        return PACKET_STUN if len >= 20 else PACKET_UNKNOWN
    if 20 <= first <= 63:
        return PACKET_DTLS if len >= 13 else PACKET_UNKNOWN
    return PACKET_UNKNOWN


cdef inline bint is_rtp(const uint8_t *data, uint32_t len) noexcept nogil:
    return packet_kind(data, len) == PACKET_RTP


cdef inline bint is_rtcp(const uint8_t *data, uint32_t len) noexcept nogil:
    return packet_kind(data, len) == PACKET_RTCP


cdef inline void rtp_patch(
    uint8_t *header, uint8_t pt, bint marker, uint16_t seq, uint32_t timestamp, uint32_t ssrc
) noexcept nogil:
    header[1] = <uint8_t>((0x80 if marker else 0) | (pt & 0x7F))
    store16(header + 2, seq)
    store32(header + 4, timestamp)
    store32(header + 8, ssrc)


cdef inline void rtp_set_abs_send_time(
    uint8_t *header, const RtpTemplate *template, uint32_t abs_send_time
) noexcept nogil:
    if template.abs_send_time_off:
        store24(header + template.abs_send_time_off, abs_send_time)


cdef inline void rtp_set_twcc(uint8_t *header, const RtpTemplate *template, uint16_t seq) noexcept nogil:
    if template.twcc_off:
        store16(header + template.twcc_off, seq)


cdef inline void rtp_set_packet_id(uint8_t *header, const RtpTemplate *template, uint32_t id) noexcept nogil:
    if template.packet_id_off:
        store32(header + template.packet_id_off, id)


cdef inline void rtp_set_capture_clock_offset(
    uint8_t *header, const RtpTemplate *template, int64_t offset
) noexcept nogil:
    """The clock offset of abs-capture-time, signed Q32.32 seconds; the capture time stays as the sender wrote it."""
    if template.abs_capture_off:
        store64(header + template.abs_capture_off + 8, <uint64_t>offset)


cdef inline uint32_t abs_send_time(int64_t ns) noexcept nogil:
    """24-bit fixed point 6.18 seconds, rounded down, of a time in nanoseconds (>= 0); wraps every 64 s."""
    cdef uint64_t seconds = <uint64_t>ns // 1000000000
    cdef uint64_t rest = <uint64_t>ns % 1000000000
    return <uint32_t>(((seconds & 63) << 18) | ((rest << 18) // 1000000000))


cdef inline uint32_t ext_abs_send_time(const RtpPacket *packet, const ExtIndex *index) noexcept nogil:
    """The received abs-send-time; only if `present` has it."""
    return load24(packet.data + index.offset[<int>EXT_ABS_SEND_TIME])
