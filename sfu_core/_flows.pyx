"""Which core owns a remote address on a port that several cores share (see the .pxd)."""

import os
import secrets
import socket

from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memcpy, memset

from sfu_core._net cimport net_make_address
from sfu_core._slab cimport NONE, slab_map, slab_unmap
from sfu_core._types cimport mix64

from sfu_core.shared_memory import make_memory, memory_size

cdef enum:
    MAGIC = 0x574C4653           # "SFLW"
    HEADER_BYTES = 4096
    BUCKET = 8                   # entries; a tag is a byte of one word
    BUCKETS = FLOW_SLOTS // BUCKET


cdef struct Header:
    uint64_t magic
    uint64_t cores
    uint64_t seed


cdef struct Place:
    # Where an address may be: one of two buckets, behind a tag.
    uint64_t key[FLOW_WORDS]
    uint32_t bucket[2]
    uint64_t tag                 # 1 .. 255


cdef uint64_t tags_bytes(uint32_t cores) noexcept nogil:
    return <uint64_t>BUCKETS * cores * sizeof(uint64_t)


cdef uint64_t flows_bytes(uint32_t cores) noexcept nogil:
    return HEADER_BYTES + tags_bytes(cores) + <uint64_t>FLOW_SLOTS * cores * sizeof(flow_entry)


cdef bint flows_attach(FlowTable *f, void *memory, uint64_t bytes, uint32_t own) noexcept nogil:
    cdef Header header
    cdef uint32_t bucket
    if bytes < HEADER_BYTES:
        return False
    memcpy(&header, memory, sizeof(Header))
    if header.magic != MAGIC or not 0 < header.cores <= FLOW_CORES or own >= header.cores:
        return False
    if bytes < flows_bytes(<uint32_t>header.cores):
        return False
    f.seed = header.seed
    f.cores = <uint32_t>header.cores
    f.own = own
    f.tags = <flow_tags *>(<uint8_t *>memory + HEADER_BYTES)
    f.entries = <flow_entry *>(<uint8_t *>memory + HEADER_BYTES + tags_bytes(f.cores))
    for bucket in range(BUCKETS):
        flow_store(tags_of(f, bucket, own), 0)
    return True


cdef inline flow_tags *tags_of(const FlowTable *f, uint32_t bucket, uint32_t core) noexcept nogil:
    return <flow_tags *>(<uint8_t *>f.tags + (<uint64_t>bucket * f.cores + core) * sizeof(uint64_t))


cdef inline flow_entry *entry_of(const FlowTable *f, uint32_t core, uint32_t bucket, int place) noexcept nogil:
    return f.entries + (<uint64_t>core * FLOW_SLOTS + <uint64_t>bucket * BUCKET + <uint64_t>place)


cdef void find_place(const FlowTable *f, uint32_t listener, const Address *remote, Place *place) noexcept nogil:
    cdef uint64_t value = f.seed
    cdef int i
    memset(place.key, 0, sizeof(place.key))
    place.key[0] = <uint64_t>listener << 32 | remote.length
    memcpy(&place.key[1], remote.bytes, sizeof(remote.bytes))
    for i in range(FLOW_WORDS):
        value = mix64(value ^ place.key[i])
    place.bucket[0] = <uint32_t>value & (BUCKETS - 1)
    place.bucket[1] = <uint32_t>(value >> 32) & (BUCKETS - 1)
    place.tag = value >> 56
    if not place.tag:
        place.tag = 1


cdef inline uint64_t tag_at(uint64_t tags, int place) noexcept nogil:
    return tags >> (8 * place) & 0xFF


cdef inline uint64_t with_tag(uint64_t tags, int place, uint64_t tag) noexcept nogil:
    return tags & ~(<uint64_t>0xFF << (8 * place)) | tag << (8 * place)


cdef inline bint may_have(uint64_t tags, uint64_t tag) noexcept nogil:
    """Whether a byte of the word is `tag`; now and then True without."""
    cdef uint64_t differ = tags ^ (tag * <uint64_t>0x0101010101010101)
    return (differ - <uint64_t>0x0101010101010101) & ~differ & <uint64_t>0x8080808080808080 != 0


cdef bint find_in(
    const FlowTable *f, const Place *place, uint32_t core, int which, int *slot, uint64_t *checked_ns
) noexcept nogil:
    """The address in one bucket of one core."""
    cdef uint64_t tags = flow_load(tags_of(f, place.bucket[which], core))
    cdef int i
    if not may_have(tags, place.tag):
        return False
    for i in range(BUCKET):
        if tag_at(tags, i) == place.tag:
            if flow_matches(entry_of(f, core, place.bucket[which], i), place.key, checked_ns):
                slot[0] = i
                return True
    return False


cdef bint flows_put(FlowTable *f, uint32_t listener, const Address *remote, int64_t now_ns) noexcept nogil:
    cdef Place place
    cdef uint64_t checked = 0
    cdef uint64_t tags
    cdef int which, slot
    find_place(f, listener, remote, &place)
    for which in range(2):
        if find_in(f, &place, f.own, which, &slot, &checked):
            flow_write(entry_of(f, f.own, place.bucket[which], slot), place.key, <uint64_t>now_ns)
            return True
    which = 1 if room_in(f, place.bucket[1]) > room_in(f, place.bucket[0]) else 0
    tags = flow_load(tags_of(f, place.bucket[which], f.own))
    for slot in range(BUCKET):
        if not tag_at(tags, slot):
            flow_write(entry_of(f, f.own, place.bucket[which], slot), place.key, <uint64_t>now_ns)
            flow_store(tags_of(f, place.bucket[which], f.own), with_tag(tags, slot, place.tag))
            return True
    return False


cdef int room_in(const FlowTable *f, uint32_t bucket) noexcept nogil:
    cdef uint64_t tags = flow_load(tags_of(f, bucket, f.own))
    cdef int room = 0
    cdef int i
    for i in range(BUCKET):
        room += not tag_at(tags, i)
    return room


cdef void flows_remove(FlowTable *f, uint32_t listener, const Address *remote) noexcept nogil:
    cdef Place place
    cdef uint64_t none[FLOW_WORDS]
    cdef uint64_t checked = 0
    cdef flow_tags *tags
    cdef int which, slot
    find_place(f, listener, remote, &place)
    memset(none, 0, sizeof(none))
    for which in range(2):
        if find_in(f, &place, f.own, which, &slot, &checked):
            tags = tags_of(f, place.bucket[which], f.own)
            flow_store(tags, with_tag(flow_load(tags), slot, 0))
            flow_write(entry_of(f, f.own, place.bucket[which], slot), none, 0)


cdef uint32_t flows_owner(
    const FlowTable *f, uint32_t cores, uint32_t listener, const Address *remote, int64_t *checked_ns
) noexcept nogil:
    cdef Place place
    cdef uint64_t checked = 0
    cdef uint32_t owner = NONE
    cdef uint32_t core
    cdef int which, slot
    find_place(f, listener, remote, &place)
    for which in range(2):
        for core in range(min(cores, f.cores)):
            if core != f.own and find_in(f, &place, core, which, &slot, &checked):
                if owner == NONE or <int64_t>checked > checked_ns[0]:
                    owner = core
                    checked_ns[0] = <int64_t>checked
    return owner


def new_table(uint32_t cores):
    """A memfd with an empty table for so many cores; nobody can change its size any more."""
    cdef Header header
    cdef int memfd
    if not 0 < cores <= FLOW_CORES:
        raise TypeError(f"cores must be from 1 to {FLOW_CORES}")
    header.magic = MAGIC
    header.cores = cores
    header.seed = int.from_bytes(secrets.token_bytes(8), "little")
    memfd = make_memory("sfu-flows", flows_bytes(cores))
    try:
        os.pwrite(memfd, (<const char *>&header)[:sizeof(header)], 0)
    except BaseException:
        os.close(memfd)
        raise
    return memfd


# --- for tests and fuzzing ---

cdef class Flows:
    """One process's view of a table."""

    cdef FlowTable table
    cdef void *memory
    cdef uint64_t bytes

    def __init__(self, int memfd, uint32_t own):
        self.bytes = memory_size(memfd)
        self.memory = slab_map(memfd, self.bytes)
        if not flows_attach(&self.table, self.memory, self.bytes, own):
            raise TypeError("no table of flows")

    def __dealloc__(self):
        if self.memory != NULL:
            slab_unmap(self.memory, self.bytes)

    def put(self, uint32_t listener, str ip, uint16_t port, int64_t now_ns=0):
        cdef Address remote = address_from(ip, port)
        return flows_put(&self.table, listener, &remote, now_ns)

    def remove(self, uint32_t listener, str ip, uint16_t port):
        cdef Address remote = address_from(ip, port)
        flows_remove(&self.table, listener, &remote)

    def owner(self, uint32_t listener, str ip, uint16_t port):
        cdef Address remote = address_from(ip, port)
        cdef int64_t checked_ns = 0
        cdef uint32_t owner = flows_owner(&self.table, self.table.cores, listener, &remote, &checked_ns)
        return None if owner == NONE else (owner, checked_ns)


cdef Address address_from(str ip, uint16_t port):
    cdef Address address
    cdef bytes packed = socket.inet_pton(socket.AF_INET6 if ":" in ip else socket.AF_INET, ip)
    address.length = net_make_address(address.bytes, <const uint8_t *><const char *>packed, <uint32_t>len(packed), port)
    return address
