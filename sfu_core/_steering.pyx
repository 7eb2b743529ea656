"""Ports that several cores share: which core a datagram belongs to, and how it gets there (see the .pxd)."""

from libc.string cimport memcpy

from sfu_core._core cimport MAX_LEAVING, MAX_LISTENERS, Share
from sfu_core._flows cimport flows_owner, flows_put, flows_remove
from sfu_core._links cimport Ingress, link_ingress
from sfu_core._output cimport count_drop
from sfu_core._records cimport Connection, Socket
from sfu_core._slab cimport NONE, SLOT_LIVE
from sfu_core._types cimport DROP_LINK_FULL, DROP_TABLE_FULL, MAX_DATAGRAM, SLOT_SIZE, STALE_MS, Address

cdef enum:
    DIGITS = 36                  # 0-9 a-z; two of them begin a user name fragment


cdef inline uint32_t digit(uint8_t letter) noexcept nogil:
    if 48 <= letter <= 57:
        return letter - 48
    return letter - 87 if 97 <= letter <= 122 else <uint32_t>NONE


cdef uint32_t core_named(const uint8_t *ufrag, uint32_t length) noexcept nogil:
    if length < 2 or digit(ufrag[0]) == NONE or digit(ufrag[1]) == NONE:
        return NONE
    return digit(ufrag[0]) * DIGITS + digit(ufrag[1])


cdef inline Share *share_of(const Core *core, const Path *path) noexcept nogil:
    """Of a UDP path, or NULL: the port is all ours."""
    cdef uint32_t share = 0 if path.tcp else core.sockets[path.channel].share
    return <Share *>&core.shares[share - 1] if share and core.shares[share - 1].live else NULL


cdef inline uint32_t listener_of(const Core *core, const Path *path) noexcept nogil:
    return core.sockets[path.channel].listener


cdef inline uint32_t owner_elsewhere(
    const Core *core, const Share *share, const Path *path, int64_t *checked_ns
) noexcept nogil:
    """The other core that says that the address is its own, or NONE."""
    return flows_owner(&share.flows, core.neighbourhood, listener_of(core, path), &path.remote, checked_ns)


cdef void flow_learn(Core *core, const Path *path) noexcept nogil:
    cdef Share *share = share_of(core, path)
    if share != NULL and not flows_put(&share.flows, listener_of(core, path), &path.remote, core.now_ns):
        count_drop(core, NONE, DROP_TABLE_FULL)


cdef void flow_forget(Core *core, const Path *path) noexcept nogil:
    cdef Share *share = share_of(core, path)
    if share != NULL:
        flows_remove(&share.flows, listener_of(core, path), &path.remote)


cdef bint flow_elsewhere(const Core *core, const Path *path) noexcept nogil:
    cdef Share *share = share_of(core, path)
    cdef int64_t checked_ns = 0
    cdef uint32_t owner
    if share == NULL:
        return False
    owner = owner_elsewhere(core, share, path, &checked_ns)
    if owner == NONE or not core.neighbours[owner]:      # or its core is dead
        return False
    return core.now_ns - checked_ns < <int64_t>STALE_MS * 1000000


cdef bint steer_request(
    Core *core, const Path *path, const StunMessage *message, const uint8_t *data, uint32_t length
) noexcept nogil:
    cdef uint32_t place = core.sockets[core.connections[path.channel].socket if path.tcp else path.channel].share
    cdef Share *share
    cdef int64_t checked_ns = 0
    cdef uint32_t owner
    if not place:
        return False
    share = &core.shares[place - 1]
    owner = core_named(message.username, message.local_len)
    if not share.live or owner >= core.neighbourhood or owner == share.flows.own:
        return False
    if path.tcp:
        return steer_connection(core, &core.connections[path.channel], owner)
    # Anybody can write such a request: strangers' fill no more than half of a ring that carries calls.
    hand_over(
        core, share, owner, path, data, length, owner_elsewhere(core, share, path, &checked_ns) == owner,
    )
    return True


cdef bint steer_connection(Core *core, Connection *connection, uint32_t owner) noexcept nogil:
    """It leaves once, before anything has been proved on it; if too many are on their way, with a later request."""
    if connection.brought or connection.tuple != NONE or core.leaving >= MAX_LEAVING or not core.neighbours[owner]:
        return False
    connection.wanted = owner + 1
    return True


cdef bint steer_datagram(Core *core, const Path *path, const uint8_t *data, uint32_t length) noexcept nogil:
    cdef Share *share = share_of(core, path)
    cdef int64_t checked_ns = 0
    cdef uint32_t owner
    if share == NULL:
        return False
    owner = owner_elsewhere(core, share, path, &checked_ns)
    if owner == NONE:
        return False
    hand_over(core, share, owner, path, data, length, True)
    return True


cdef void hand_over(
    Core *core, Share *share, uint32_t owner, const Path *path, const uint8_t *data, uint32_t length, bint urgent
) noexcept nogil:
    cdef Ingress header
    cdef uint32_t link = core.neighbours[owner]
    if not link:
        count_drop(core, NONE, DROP_LINK_FULL)
        return
    header.share = share.number
    header.listener = listener_of(core, path)
    header.remote = path.remote
    if link_ingress(core, link - 1, &header, data, length, urgent):
        core.counters.handed_out += 1


cdef uint8_t *take_ingress(Core *core, uint8_t *record, uint32_t *length, Path *path) noexcept nogil:
    """All that the neighbour says is checked on a copy; so is the datagram itself, in the end, in a receive slot."""
    cdef Ingress header
    cdef Socket *own
    cdef uint8_t *slot
    if length[0] <= sizeof(Ingress) or length[0] - sizeof(Ingress) > MAX_DATAGRAM:
        return NULL
    memcpy(&header, record, sizeof(Ingress))
    path.channel = socket_named(core, &header)
    if path.channel == NONE:
        return NULL
    own = &core.sockets[path.channel]
    if own.head.state != SLOT_LIVE or own.protocol != 1 or header.remote.length != own.local.length:
        return NULL
    path.tcp = 0
    path.remote = header.remote
    length[0] -= <uint32_t>sizeof(Ingress)
    slot = core.rx.slots + <size_t>core.handed * SLOT_SIZE
    memcpy(slot, record + sizeof(Ingress), length[0])
    return slot


cdef uint32_t socket_named(const Core *core, const Ingress *header) noexcept nogil:
    cdef uint32_t i
    for i in range(core.share_count):
        if core.shares[i].live and core.shares[i].number == header.share:
            return core.shares[i].sockets[header.listener] if header.listener < MAX_LISTENERS else <uint32_t>NONE
    return NONE
