"""The history of a core: what arrived lately, in clear, in one ring of bytes; the newest overwrites the oldest.

A packet is written once, behind its rewritten header, and read by every consumer from there, for the first sending and
for repeats. A position counts bytes for ever, so one comparison tells whether a packet is still there. Tier 3.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from sfu_core._core cimport Core
from sfu_core._records cimport Record


cdef inline Record *record_at(const Core *core, uint64_t position) noexcept nogil:
    return <Record *>(core.history + (position & (core.history_size - 1)))


cdef inline Record *history_append(Core *core, uint32_t header_room, uint32_t payload_length) noexcept nogil:
    """Room for a record; never split. `payload_offset` is set; the header starts at `header_offset`."""
    cdef uint32_t head = (<uint32_t>sizeof(Record) + header_room + 15) & ~15
    cdef uint32_t size = (head + payload_length + 63) & ~63
    cdef uint64_t before_end = core.history_size - (core.history_head & (core.history_size - 1))
    cdef Record *record
    if size > before_end:
        core.history_head += before_end
    record = record_at(core, core.history_head)
    record.position = core.history_head
    record.next = 0
    record.size = size
    record.header_offset = <uint32_t>sizeof(Record)
    record.payload_offset = head
    core.history_head += size
    return record


cdef inline Record *history_get(const Core *core, uint64_t position) noexcept nogil:
    """The record written at `position`, or NULL when it has been overwritten."""
    if core.history_head - position > core.history_size:
        return NULL
    return record_at(core, position)


cdef inline uint8_t *record_header(Record *record) noexcept nogil:
    return <uint8_t *>record + record.header_offset


cdef inline uint8_t *record_payload(Record *record) noexcept nogil:
    return <uint8_t *>record + record.payload_offset
