"""Numbers and small structs that every tier of the engine shares: tier 0, no code that does anything."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp

cdef enum:
    SLOT_SIZE = 2048             # one datagram on its way in or out
    MAX_DATAGRAM = 1700          # longer ones are dropped: room for a rebuilt header and an SRTP trailer remains
    MAX_TUPLES = 8               # addresses that one WebRtcTransport may have verified
    MAX_RID = 32
    STALE_MS = 6000              # silence after which an address may change hands; peers check every 5 s (RFC 7675)
    NO_ID = 0xFF

cdef enum TransportKind:
    TRANSPORT_WEBRTC = 1
    TRANSPORT_PLAIN = 2
    TRANSPORT_PIPE = 3
    TRANSPORT_DIRECT = 4

cdef enum IceState:
    ICE_NEW = 0
    ICE_CONNECTED = 1
    ICE_COMPLETED = 2
    ICE_DISCONNECTED = 3

cdef enum Feedback:
    FEEDBACK_NONE = 0
    FEEDBACK_TWCC = 1
    FEEDBACK_REMB = 2

cdef enum SsrcRole:
    SSRC_MEDIA_IN = 1
    SSRC_RTX_IN = 2
    SSRC_MEDIA_OUT = 3
    SSRC_RTX_OUT = 4

cdef enum Drop:
    # Why a datagram or packet went no further; names in _types.pyx, in this order.
    DROP_UNKNOWN_KIND = 0        # neither STUN, DTLS, RTP nor RTCP
    DROP_OVERSIZED = 1
    DROP_UNKNOWN_TUPLE = 2       # from an address that has not been verified
    DROP_STUN_MALFORMED = 3
    DROP_STUN_UNKNOWN_USER = 4
    DROP_STUN_UNAUTHORIZED = 5
    DROP_STUN_IGNORED = 6        # indications and responses: this side never asks
    DROP_NOT_CONNECTED = 7       # media before the keys are known
    DROP_RTP_MALFORMED = 8
    DROP_RTCP_MALFORMED = 9
    DROP_SRTP_AUTH = 10
    DROP_SRTP_REPLAYED = 11
    DROP_SRTP_FAILED = 12
    DROP_UNKNOWN_SSRC = 13
    DROP_UNKNOWN_PAYLOAD_TYPE = 14
    DROP_TABLE_FULL = 15
    DROP_SEQUENCE = 16           # a jump that is not believed yet
    DROP_DUPLICATE = 17
    DROP_RTX_USELESS = 18        # empty, or repeats what is already here
    DROP_PAUSED = 19
    DROP_PADDING = 20            # padding only: counted, never forwarded
    DROP_QUEUE_FULL = 21         # a queue to the control thread
    DROP_SEND_BACKLOG = 22       # the socket would block and its backlog is full
    DROP_SEND_FAILED = 23        # the kernel refused (EMSGSIZE, ENETUNREACH ...)
    DROP_TCP_FRAME = 24          # a frame longer than any packet: the connection is closed
    DROP_LINK_FULL = 25          # the ring to a neighbour
    DROP_COUNT = 26

cdef struct Address:
    # A socket address as the kernel takes it; unused bytes are zero, so that two can be compared as bytes.
    uint32_t length              # 16 (IPv4), 28 (IPv6) or 0 (none)
    uint8_t bytes[28]

cdef inline bint same_address(const Address *a, const Address *b) noexcept nogil:
    return a.length == b.length and memcmp(a.bytes, b.bytes, a.length) == 0

cdef inline uint64_t mix64(uint64_t value) noexcept nogil:
    """A 64-bit finaliser (xor-shift-multiply): every input bit reaches every output bit."""
    value ^= value >> 33
    value *= <uint64_t>0xFF51AFD7ED558CCD
    value ^= value >> 33
    value *= <uint64_t>0xC4CEB9FE1A85EC53
    return value ^ (value >> 33)
