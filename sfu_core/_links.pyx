"""Rings to neighbours: clear RTP and RTCP between the cores of one host (see the .pxd).

The writer never waits: a full ring is a counted drop, and the stream starts again with a key frame. A dead neighbour is
a ring that stays full until the control thread closes the link.
"""

from libc.string cimport memcpy

from sfu_core._core cimport Link
from sfu_core._flows cimport FLOW_CORES
from sfu_core._net cimport net_ring_bell, net_unwatch, net_watch
from sfu_core._records cimport Transport
from sfu_core._ring cimport ring_awake, ring_commit, ring_may_sleep, ring_publish, ring_reserve, ring_used
from sfu_core._stream cimport meter_add
from sfu_core._types cimport DROP_LINK_FULL


cdef uint8_t *link_reserve(Core *core, uint32_t transport, uint32_t length) noexcept nogil:
    cdef Transport *t = &core.transports[transport]
    cdef Link *link = &core.links[t.path.channel]
    cdef uint8_t *place = NULL
    if link.live:
        place = <uint8_t *>ring_reserve(&link.outgoing, LINK_TAG + length)
    if place == NULL:
        link.dropped += 1
        core.counters.drops[<int>DROP_LINK_FULL] += 1
        t.drops[<int>DROP_LINK_FULL] += 1
        return NULL
    memcpy(place, &t.link_tag, LINK_TAG)
    return place + LINK_TAG


cdef void link_commit(Core *core, uint32_t transport, uint32_t kind, uint32_t length) noexcept nogil:
    cdef Link *link = &core.links[core.transports[transport].path.channel]
    ring_commit(&link.outgoing, kind, LINK_TAG + length)
    link.dirty = 1
    link.packets += 1
    core.counters.link_packets += 1
    meter_add(&core.transports[transport].sent, length)
    core.links_dirty = 1


cdef bint link_ingress(
    Core *core, uint32_t link, const Ingress *from_where, const uint8_t *data, uint32_t length, bint urgent
) noexcept nogil:
    cdef Link *to = &core.links[link]
    cdef uint8_t *place = NULL
    if to.live and (urgent or ring_used(&to.outgoing) <= to.outgoing.capacity // 2):
        place = <uint8_t *>ring_reserve(&to.outgoing, <uint32_t>sizeof(Ingress) + length)
    if place == NULL:
        to.dropped += 1
        core.counters.drops[<int>DROP_LINK_FULL] += 1
        return False
    memcpy(place, from_where, sizeof(Ingress))
    memcpy(place + sizeof(Ingress), data, length)
    ring_commit(&to.outgoing, LINK_INGRESS, <uint32_t>sizeof(Ingress) + length)
    to.dirty = 1
    core.links_dirty = 1
    return True


cdef void links_publish(Core *core) noexcept nogil:
    cdef Link *link
    cdef uint32_t i
    if not core.links_dirty:
        return
    core.links_dirty = 0
    for i in range(core.link_count):
        link = &core.links[i]
        if link.dirty and link.live:
            link.dirty = 0
            core.counters.link_publications += 1
            if ring_publish(&link.outgoing):
                link.bells += 1
                core.counters.link_bells += 1
                net_ring_bell(link.bell_out)


cdef bint links_may_sleep(Core *core) noexcept nogil:
    cdef uint32_t i
    for i in range(core.link_count):
        if core.links[i].live and not core.links[i].incoming.broken and not ring_may_sleep(&core.links[i].incoming):
            return False
    return True


cdef void links_awake(Core *core) noexcept nogil:
    cdef uint32_t i
    for i in range(core.link_count):
        if core.links[i].live:
            ring_awake(&core.links[i].incoming)


cdef void link_open(Core *core, uint32_t link) noexcept nogil:
    core.links[link].live = 1
    if link >= core.link_count:
        core.link_count = link + 1
    net_watch(core.epoll_fd, core.links[link].bell_in, link_event_tag(link), True, False)


cdef void link_close(Core *core, uint32_t link) noexcept nogil:
    cdef uint32_t i
    net_unwatch(core.epoll_fd, core.links[link].bell_in)
    core.links[link].live = 0
    for i in range(FLOW_CORES):
        if core.neighbours[i] == link + 1:
            core.neighbours[i] = 0
