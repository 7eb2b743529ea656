"""Which transport a datagram belongs to and where a transport's datagrams go (see the .pxd).

Three chained hash tables with a secret seed. A hit is always compared in full: a hash is never an identity.
"""

from libc.string cimport memcmp, memcpy

from sfu_core._events cimport EVENT_ICE_STATE, EVENT_ICE_TUPLE, event_path, event_value, handle_of
from sfu_core._records cimport TABLE_TRANSPORTS, TF_CONNECTED, TF_KEYED, TF_PATH, TF_SRTP, Ice, Tuple
from sfu_core._slab cimport (
    NONE, SLOT_FREE, give_slot, pen_return, pen_take, slot_commit, slot_open, slot_retire, take_slot,
)
from sfu_core._steering cimport flow_forget
from sfu_core._types cimport (
    ICE_COMPLETED, ICE_CONNECTED, ICE_DISCONNECTED, MAX_TUPLES, SSRC_MEDIA_OUT, TRANSPORT_WEBRTC, mix64, same_address,
)

cdef enum:
    MAX_STREAMS_IN = 256         # SSRCs that one transport may bring


# ---------------------------------------------------------------- tuples

cdef inline uint32_t path_bucket(const Core *core, const Path *path) noexcept nogil:
    cdef uint64_t words[3]
    cdef uint64_t value = core.seed ^ path.channel ^ (<uint64_t>path.tcp << 40)
    memcpy(words, path.remote.bytes, sizeof(words))
    value = mix64(value ^ words[0])
    value = mix64(value ^ words[1])
    value = mix64(value ^ words[2])
    return <uint32_t>value & core.tuple_mask


cdef inline bint same_path(const Path *a, const Path *b) noexcept nogil:
    return a.channel == b.channel and a.tcp == b.tcp and same_address(&a.remote, &b.remote)


cdef uint32_t tuple_find(const Core *core, const Path *path) noexcept nogil:
    cdef uint32_t index = core.tuple_buckets[path_bucket(core, path)]
    while index != NONE:
        if same_path(&core.tuples[index].path, path):
            return index
        index = core.tuples[index].next
    return NONE


cdef uint32_t tuple_add(Core *core, uint32_t transport, const Path *path) noexcept nogil:
    cdef Ice *ice = &core.transports[transport].ice
    cdef uint32_t bucket, index
    cdef Tuple *entry
    if ice.tuple_count == MAX_TUPLES:
        drop_oldest_tuple(core, ice)
    index = take_slot(&core.free_tuples)
    if index == NONE:
        return NONE
    entry = &core.tuples[index]
    slot_open(&entry.head)
    entry.transport = transport
    entry.path = path[0]
    entry.order = core.tuple_order
    core.tuple_order += 1
    bucket = path_bucket(core, path)
    entry.next = core.tuple_buckets[bucket]
    core.tuple_buckets[bucket] = index
    ice.tuples[ice.tuple_count] = index
    ice.tuple_count += 1
    slot_commit(&entry.head)
    return index


cdef void drop_oldest_tuple(Core *core, Ice *ice) noexcept nogil:
    cdef uint32_t oldest = NONE
    cdef uint32_t i
    for i in range(ice.tuple_count):
        if ice.tuples[i] != ice.selected:
            if oldest == NONE or core.tuples[ice.tuples[i]].order < core.tuples[oldest].order:
                oldest = ice.tuples[i]
    tuple_remove(core, oldest)


cdef void tuple_remove(Core *core, uint32_t tuple) noexcept nogil:
    cdef Tuple *entry = &core.tuples[tuple]
    cdef Ice *ice = &core.transports[entry.transport].ice
    cdef uint32_t *link = &core.tuple_buckets[path_bucket(core, &entry.path)]
    cdef uint32_t i
    slot_retire(&entry.head)
    while link[0] != tuple:
        link = &core.tuples[link[0]].next
    link[0] = entry.next
    for i in range(ice.tuple_count):
        if ice.tuples[i] == tuple:
            ice.tuple_count -= 1
            ice.tuples[i] = ice.tuples[ice.tuple_count]
            break
    if entry.path.tcp:
        core.connections[entry.path.channel].tuple = NONE
        core.unverified += 1
    flow_forget(core, &entry.path)
    if ice.selected == tuple:
        lose_selected(core, entry.transport)
    entry.head.state = SLOT_FREE
    give_slot(&core.free_tuples, tuple)


cdef void lose_selected(Core *core, uint32_t transport) noexcept nogil:
    """The newest remaining tuple takes over, else the transport is disconnected."""
    cdef Ice *ice = &core.transports[transport].ice
    cdef uint32_t newest = NONE
    cdef uint32_t i
    ice.selected = NONE
    for i in range(ice.tuple_count):
        if newest == NONE or core.tuples[ice.tuples[i]].order > core.tuples[newest].order:
            newest = ice.tuples[i]
    if newest != NONE:
        tuple_select(core, newest)
        return
    core.transports[transport].flags &= ~<uint32_t>TF_PATH
    set_ice_state(core, transport, ICE_DISCONNECTED)
    update_connected(core, transport)


cdef void tuple_select(Core *core, uint32_t tuple) noexcept nogil:
    cdef uint32_t transport = core.tuples[tuple].transport
    cdef uint64_t before
    if core.transports[transport].ice.selected == tuple:
        return
    before = pen_take(&core.counters.pen, TABLE_TRANSPORTS, transport)
    core.transports[transport].ice.selected = tuple
    core.transports[transport].path = core.tuples[tuple].path
    core.transports[transport].flags |= TF_PATH
    pen_return(&core.counters.pen, before)
    event_path(core, EVENT_ICE_TUPLE, transport, &core.tuples[tuple].path)


cdef void forget_tuples(Core *core, uint32_t transport) noexcept nogil:
    """All at once: consent expired, or the transport is closed."""
    cdef Ice *ice = &core.transports[transport].ice
    cdef uint32_t selected = ice.selected
    cdef uint32_t i = 0
    while i < ice.tuple_count:
        if ice.tuples[i] == selected:
            i += 1
        else:
            tuple_remove(core, ice.tuples[i])
    if selected != NONE:
        tuple_remove(core, selected)


# ---------------------------------------------------------------- connection state

cdef void set_ice_state(Core *core, uint32_t transport, uint32_t state) noexcept nogil:
    cdef Transport *t = &core.transports[transport]
    if t.ice.state != state:
        t.ice.state = state
        event_value(core, EVENT_ICE_STATE, handle_of(&t.head, transport), state, 0)


cdef bint update_connected(Core *core, uint32_t transport) noexcept nogil:
    cdef Transport *t = &core.transports[transport]
    cdef bint before = t.flags & TF_CONNECTED
    cdef bint now = t.flags & TF_PATH and (not t.flags & TF_SRTP or t.flags & TF_KEYED)
    if t.kind == TRANSPORT_WEBRTC:
        now = now and (t.ice.state == ICE_CONNECTED or t.ice.state == ICE_COMPLETED)
    if now:
        t.flags |= TF_CONNECTED
    else:
        t.flags &= ~<uint32_t>TF_CONNECTED
    return now and not before


# ---------------------------------------------------------------- user name fragments

cdef uint32_t ufrag_bucket(const Core *core, const uint8_t *ufrag, uint32_t length) noexcept nogil:
    cdef uint64_t value = core.seed
    cdef uint32_t i
    for i in range(length):
        value = (value ^ ufrag[i]) * <uint64_t>0x100000001B3
    return <uint32_t>mix64(value) & core.ufrag_mask


cdef inline const uint8_t *ufrag_of(const Core *core, uint32_t entry, uint32_t *length) noexcept nogil:
    cdef Ice *ice = &core.transports[entry >> 1].ice
    length[0] = ice.old_ufrag_length if entry & 1 else ice.ufrag_length
    return <const uint8_t *>ice.old_ufrag if entry & 1 else <const uint8_t *>ice.ufrag


cdef void ufrag_add(Core *core, uint32_t transport, uint32_t which) noexcept nogil:
    cdef uint32_t length
    cdef uint32_t entry = transport * 2 + which
    cdef const uint8_t *ufrag = ufrag_of(core, entry, &length)
    cdef uint32_t bucket = ufrag_bucket(core, ufrag, length)
    core.transports[transport].ice.next[which] = core.ufrag_buckets[bucket]
    core.ufrag_buckets[bucket] = entry


cdef void ufrag_remove(Core *core, uint32_t transport, uint32_t which) noexcept nogil:
    cdef uint32_t length
    cdef uint32_t entry = transport * 2 + which
    cdef const uint8_t *ufrag = ufrag_of(core, entry, &length)
    cdef uint32_t *link = &core.ufrag_buckets[ufrag_bucket(core, ufrag, length)]
    while link[0] != NONE and link[0] != entry:
        link = &core.transports[link[0] >> 1].ice.next[link[0] & 1]
    if link[0] == entry:
        link[0] = core.transports[transport].ice.next[which]


cdef uint32_t ufrag_find(const Core *core, const uint8_t *ufrag, uint32_t length) noexcept nogil:
    cdef uint32_t size
    cdef uint32_t entry = core.ufrag_buckets[ufrag_bucket(core, ufrag, length)]
    cdef const uint8_t *candidate
    while entry != NONE:
        candidate = ufrag_of(core, entry, &size)
        if size == length and memcmp(candidate, ufrag, length) == 0:
            return entry
        entry = core.transports[entry >> 1].ice.next[entry & 1]
    return NONE


# ---------------------------------------------------------------- SSRCs

cdef inline uint32_t ssrc_bucket(const Core *core, uint32_t transport, uint32_t ssrc, bint outgoing) noexcept nogil:
    return <uint32_t>mix64(
        core.seed ^ ssrc ^ (<uint64_t>transport << 32) ^ (<uint64_t>outgoing << 63)
    ) & core.ssrc_mask


cdef SsrcEntry *ssrc_find(const Core *core, uint32_t transport, uint32_t ssrc, bint outgoing) noexcept nogil:
    cdef uint32_t index = core.ssrc_buckets[ssrc_bucket(core, transport, ssrc, outgoing)]
    cdef SsrcEntry *entry
    while index != NONE:
        entry = &core.ssrcs[index]
        if entry.ssrc == ssrc and entry.transport == transport and (entry.role >= SSRC_MEDIA_OUT) == outgoing:
            return entry
        index = entry.next
    return NULL


cdef bint ssrc_add(Core *core, uint32_t transport, uint32_t ssrc, SsrcRole role, uint32_t stream) noexcept nogil:
    """False if it is taken, the table is full, or the transport brings too many."""
    cdef bint outgoing = role >= SSRC_MEDIA_OUT
    cdef uint32_t bucket, index
    if ssrc_find(core, transport, ssrc, outgoing) != NULL:
        return False
    if not outgoing and core.transports[transport].streams_in >= MAX_STREAMS_IN:
        return False
    index = take_slot(&core.free_ssrcs)
    if index == NONE:
        return False
    bucket = ssrc_bucket(core, transport, ssrc, outgoing)
    slot_open(&core.ssrcs[index].head)
    core.ssrcs[index].transport = transport
    core.ssrcs[index].ssrc = ssrc
    core.ssrcs[index].role = role
    core.ssrcs[index].stream = stream
    core.ssrcs[index].next = core.ssrc_buckets[bucket]
    core.ssrc_buckets[bucket] = index
    slot_commit(&core.ssrcs[index].head)
    if not outgoing:
        core.transports[transport].streams_in += 1
    return True


cdef void ssrc_remove(
    Core *core, uint32_t transport, uint32_t ssrc, bint outgoing, uint32_t stream
) noexcept nogil:
    """Nothing if the SSRC leads to another stream: it was taken when this one wanted it."""
    cdef uint32_t *link = &core.ssrc_buckets[ssrc_bucket(core, transport, ssrc, outgoing)]
    cdef SsrcEntry *entry
    cdef uint32_t index
    while link[0] != NONE:
        index = link[0]
        entry = &core.ssrcs[index]
        if entry.ssrc == ssrc and entry.transport == transport and (entry.role >= SSRC_MEDIA_OUT) == outgoing:
            if entry.stream != stream:
                return
            slot_retire(&entry.head)
            link[0] = entry.next
            entry.head.state = SLOT_FREE
            give_slot(&core.free_ssrcs, index)
            if not outgoing:
                core.transports[transport].streams_in -= 1
            return
        link = &entry.next
