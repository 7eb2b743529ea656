"""ICE-lite, the controlled side (RFC 8445): answers checks, learns addresses, keeps consent (RFC 7675).

No state comes from a request whose MESSAGE-INTEGRITY has not been verified, and nothing is answered unless its user
name is one of ours.
"""

from libc.stdint cimport uint64_t

from sfu_core._events cimport timer_want
from sfu_core._net cimport net_ip, net_port
from sfu_core._output cimport count_drop, output_raw, output_slot
from sfu_core._paths cimport (
    forget_tuples, set_ice_state, tuple_add, tuple_find, tuple_remove, tuple_select, ufrag_find, ufrag_remove,
    update_connected,
)
from sfu_core._records cimport TABLE_TRANSPORTS, Ice, Transport
from sfu_core._slab cimport NONE, pen_return, pen_take
from sfu_core._steering cimport flow_elsewhere, flow_learn, steer_request
from sfu_core._stream cimport meter_add
from sfu_core._stun cimport (
    STUN_IGNORE, STUN_OK, STUN_ROLE_CONFLICT, STUN_UNAUTHORIZED, StunMessage, stun_parse, stun_request_status,
    stun_verify, stun_write_error, stun_write_success,
)
from sfu_core._types cimport (
    DROP_STUN_IGNORED, DROP_STUN_MALFORMED, DROP_STUN_UNAUTHORIZED, DROP_STUN_UNKNOWN_USER, DROP_TABLE_FULL,
    ICE_COMPLETED, ICE_CONNECTED, ICE_DISCONNECTED, ICE_NEW, SLOT_SIZE, STALE_MS,
)


cdef uint32_t ice_receive(
    Core *core, const Path *path, uint32_t group, const uint8_t *data, uint32_t length, bint handed
) noexcept nogil:
    cdef StunMessage message
    cdef uint32_t entry, transport
    cdef uint64_t before
    cdef int status
    if stun_parse(&message, data, length) != STUN_OK:
        count_drop(core, NONE, DROP_STUN_MALFORMED)
        return NONE
    status = stun_request_status(&message)
    if status == STUN_IGNORE:
        count_drop(core, NONE, DROP_STUN_IGNORED)
        return NONE
    entry = ufrag_find(core, message.username, message.local_len) if message.local_len else NONE
    if entry == NONE or core.transports[entry >> 1].group != group:
        if handed or not steer_request(core, path, &message, data, length):
            count_drop(core, NONE, DROP_STUN_UNKNOWN_USER)
        return NONE
    transport = entry >> 1
    meter_add(&core.transports[transport].received, length)
    if status and status != STUN_ROLE_CONFLICT:
        count_drop(core, transport, DROP_STUN_MALFORMED)
        answer_error(core, transport, path, &message, <uint32_t>status)
        return NONE
    if not verified(&core.transports[transport].ice, entry & 1, &message):
        count_drop(core, transport, DROP_STUN_UNAUTHORIZED)
        answer_error(core, transport, path, &message, STUN_UNAUTHORIZED)
        return NONE
    if status == STUN_ROLE_CONFLICT:
        answer_error(core, transport, path, &message, STUN_ROLE_CONFLICT)
        return NONE
    before = pen_take(&core.counters.pen, TABLE_TRANSPORTS, transport)
    transport = accept_request(core, transport, entry & 1, path, &message)
    pen_return(&core.counters.pen, before)
    return transport


cdef bint verified(const Ice *ice, uint32_t old, const StunMessage *message) noexcept nogil:
    if old:
        return stun_verify(message, ice.old_password, ice.old_password_length)
    return stun_verify(message, ice.password, ice.password_length)


cdef void answer_error(
    Core *core, uint32_t transport, const Path *path, const StunMessage *message, uint32_t code
) noexcept nogil:
    cdef uint8_t *slot = output_slot(core)
    cdef uint32_t length = stun_write_error(slot, SLOT_SIZE, message, code)
    if length:
        output_raw(core, transport, path, length)


cdef void answer_success(
    Core *core, uint32_t transport, uint32_t old, const Path *path, const StunMessage *message
) noexcept nogil:
    cdef Ice *ice = &core.transports[transport].ice
    cdef uint8_t *slot = output_slot(core)
    cdef uint32_t ip_length = 0
    cdef uint32_t length
    cdef const uint8_t *ip = net_ip(path.remote.bytes, path.remote.length, &ip_length)
    length = stun_write_success(
        slot, SLOT_SIZE, message, ip, ip_length, net_port(path.remote.bytes),
        <const uint8_t *>ice.old_password if old else <const uint8_t *>ice.password,
        ice.old_password_length if old else ice.password_length,
    )
    if length:
        output_raw(core, transport, path, length)


cdef uint32_t accept_request(
    Core *core, uint32_t transport, uint32_t old, const Path *path, const StunMessage *message
) noexcept nogil:
    cdef Transport *t = &core.transports[transport]
    cdef uint32_t tuple = tuple_find(core, path)
    if tuple != NONE and core.tuples[tuple].transport != transport:
        # An address serves one transport. It changes hands (a reload, a NAT) only when the former owner is silent.
        if core.now_ns - core.tuples[tuple].checked_ns < <int64_t>STALE_MS * 1000000:
            count_drop(core, transport, DROP_STUN_UNAUTHORIZED)
            return NONE
        tuple_remove(core, tuple)
        tuple = NONE
    if tuple == NONE:
        if flow_elsewhere(core, path):                          # the same, where that owner is on another core
            count_drop(core, transport, DROP_STUN_UNAUTHORIZED)
            return NONE
        tuple = tuple_add(core, transport, path)
        if tuple == NONE:
            count_drop(core, transport, DROP_TABLE_FULL)
            return NONE
        if path.tcp:
            core.connections[path.channel].tuple = tuple
            core.unverified -= 1
    core.tuples[tuple].checked_ns = core.now_ns
    flow_learn(core, path)
    answer_success(core, transport, old, path, message)
    if not old and t.ice.old_ufrag_length:
        ufrag_remove(core, transport, 1)                        # the restart is complete
        t.ice.old_ufrag_length = 0
        t.ice.old_password_length = 0
    nominate(core, transport, tuple, message)
    if t.ice.consent_timeout_ns:
        t.ice.consent_deadline_ns = core.now_ns + t.ice.consent_timeout_ns
        timer_want(core, transport, t.ice.consent_deadline_ns)
    return transport if update_connected(core, transport) else NONE


cdef void nominate(Core *core, uint32_t transport, uint32_t tuple, const StunMessage *message) noexcept nogil:
    cdef Ice *ice = &core.transports[transport].ice
    cdef bint chosen = message.use_candidate or message.has_nomination
    if message.has_nomination:
        # Renomination: only a higher value moves the selected tuple.
        if ice.has_nomination and message.nomination <= ice.nomination:
            return
        ice.has_nomination = 1
        ice.nomination = message.nomination
    if chosen:
        tuple_select(core, tuple)
        set_ice_state(core, transport, ICE_COMPLETED)
    elif ice.state == ICE_NEW or ice.state == ICE_DISCONNECTED:
        tuple_select(core, tuple)
        set_ice_state(core, transport, ICE_CONNECTED)


cdef void ice_data_on(Core *core, uint32_t tuple) noexcept nogil:
    if core.transports[core.tuples[tuple].transport].ice.selected != tuple:
        tuple_select(core, tuple)


cdef bint ice_tick(Core *core, uint32_t transport, int64_t *deadline) noexcept nogil:
    cdef Ice *ice = &core.transports[transport].ice
    if not ice.consent_deadline_ns:
        return False
    if core.now_ns < ice.consent_deadline_ns:
        if ice.consent_deadline_ns < deadline[0]:
            deadline[0] = ice.consent_deadline_ns
        return False
    ice.consent_deadline_ns = 0
    forget_tuples(core, transport)
    return True
