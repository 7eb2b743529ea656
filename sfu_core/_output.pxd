"""The way out: a batch of packets is protected together, cut into runs and handed to the kernel. Tier 4."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from sfu_core._core cimport Core
from sfu_core._records cimport Connection, Path, Transport
from sfu_core._types cimport Drop


# Where to write the header of the next packet (or all of a control packet); SLOT_SIZE bytes.
cdef uint8_t *output_slot(Core *core) noexcept nogil
# The slot holds `header_length` bytes of RTP header; the payload is taken from where it is.
cdef void output_rtp(
    Core *core, uint32_t transport, uint32_t ssrc, uint64_t index,
    uint32_t header_length, const uint8_t *payload, uint32_t payload_length
) noexcept nogil
# The slot holds a compound RTCP packet in clear.
cdef void output_rtcp(Core *core, uint32_t transport, uint32_t length) noexcept nogil
# The slot holds a datagram that goes out as it is (STUN, DTLS). `transport` may be NONE.
cdef void output_raw(Core *core, uint32_t transport, const Path *path, uint32_t length) noexcept nogil
cdef void output_flush(Core *core) noexcept nogil

cdef void socket_writable(Core *core, uint32_t socket) noexcept nogil
cdef void connection_writable(Core *core, uint32_t connection) noexcept nogil
cdef void drop_backlog(Core *core, uint32_t socket) noexcept nogil

cdef inline uint64_t socket_tag(uint32_t index) noexcept nogil:
    return (<uint64_t>1 << 32) | index

cdef inline uint64_t connection_tag(uint32_t index) noexcept nogil:
    return (<uint64_t>2 << 32) | index

cdef inline void count_drop(Core *core, uint32_t transport, Drop reason) noexcept nogil:
    core.counters.drops[<int>reason] += 1
    if transport != <uint32_t>0xFFFFFFFF:
        core.transports[transport].drops[<int>reason] += 1
