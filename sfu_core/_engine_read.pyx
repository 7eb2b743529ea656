"""What the control thread reads of the media thread: events and statistics as Python objects.

Numbers are read from the slab while the media thread writes them: each is whole, two may be a packet apart.
"""

import socket

from libc.stdint cimport uint64_t

from sfu_core._events cimport (
    EVENT_CONNECTION, EVENT_CONSUMER_TRACE, EVENT_DATAGRAM, EVENT_ICE_TUPLE, EVENT_PRODUCER_TRACE, EVENT_RTCP, EVENT_RTCP_TUPLE, EVENT_RTP,
    EVENT_TUPLE, TRACE_FIR, TRACE_NACK, TRACE_PLI, TRACE_SR, Event, TraceInfo,
)
from sfu_core._net cimport net_ip, net_port
from sfu_core._records cimport TF_CONNECTED, TF_PATH, Counters, Path, RecvStream, SendStream, Transport
from sfu_core._stream cimport meter_rate, recv_bytes, recv_jitter, recv_lost, recv_packets
from sfu_core._types cimport DROP_COUNT

from sfu_core._types import DROPS


cdef tuple address_of(const Address *address):
    """(ip, port), or None."""
    cdef uint32_t length = 0
    cdef const uint8_t *ip
    if not address.length:
        return None
    ip = net_ip(address.bytes, address.length, &length)
    family = socket.AF_INET if length == 4 else socket.AF_INET6
    return socket.inet_ntop(family, (<const char *>ip)[:length]), net_port(address.bytes)


# ---------------------------------------------------------------- events

cdef tuple decode_event(uint32_t code, const uint8_t *data, uint32_t length):
    cdef const Event *event = <const Event *>data
    cdef const uint8_t *tail = data + sizeof(Event)
    cdef uint32_t tail_length = length - <uint32_t>sizeof(Event)
    if code == EVENT_CONNECTION:
        return (
            code, event.handle, event.a & 0xFFFFFFFF, event.a >> 32, event.b >> 32, event.b & 0xFFFFFFFF,
            (<const char *>tail)[:tail_length],
        )
    if code == EVENT_DATAGRAM or code == EVENT_RTP or code == EVENT_RTCP:
        return code, event.handle, (<const char *>tail)[:tail_length]
    if code == EVENT_ICE_TUPLE or code == EVENT_TUPLE or code == EVENT_RTCP_TUPLE:
        return (code, event.handle, event.a, *address_of(&event.local), *address_of(&event.remote))
    if code == EVENT_PRODUCER_TRACE or code == EVENT_CONSUMER_TRACE:
        return decode_trace(code, event, <const TraceInfo *>tail)
    return code, event.handle, event.a


cdef tuple decode_trace(uint32_t code, const Event *event, const TraceInfo *info):
    cdef tuple what
    if event.a == TRACE_PLI or event.a == TRACE_FIR:
        what = (info.ssrc,)
    elif event.a == TRACE_NACK:
        what = ()
    elif event.a == TRACE_SR:
        what = (
            info.ssrc, info.ntp >> 32, info.ntp & 0xFFFFFFFF, info.timestamp, info.size, info.payload_size,
        )
    else:
        mid = (<const char *>info.mid)[:info.mid_length].decode("latin-1")
        rid = (<const char *>info.rid)[:info.rid_length].decode("latin-1")
        what = (
            bool(info.is_rtx), info.pt, info.seq, info.timestamp, bool(info.marker), info.ssrc, bool(info.key_frame),
            info.size, info.payload_size, mid, rid, "", info.wide_seq,
        )
    return code, event.handle, event.a, info.unix_ms, info.direction, what


# ---------------------------------------------------------------- statistics

cdef dict drops_of(const uint64_t *drops):
    cdef int i
    return {DROPS[i]: drops[i] for i in range(<int>DROP_COUNT) if drops[i]}


cdef dict transport_stats(Core *core, uint32_t index, int64_t now_ns):
    cdef Transport *t = &core.transports[index]
    cdef Path path = t.path
    cdef bint known = t.flags & TF_PATH != 0
    return {
        "now_ms": now_ns // 1000000,
        "ice_state": t.ice.state,
        "connected": bool(t.flags & TF_CONNECTED),
        "local": address_of(
            &core.connections[path.channel].local if path.tcp else &core.sockets[path.channel].local
        ) if known else None,
        "remote": address_of(&path.remote) if known else None,
        "protocol": 2 if path.tcp else 1,
        "bytes_received": t.received.bytes,
        "recv_bitrate": meter_rate(&t.received, now_ns),
        "bytes_sent": t.sent.bytes,
        "send_bitrate": meter_rate(&t.sent, now_ns),
        "rtp_bytes_received": t.rtp_received.bytes,
        "rtp_recv_bitrate": meter_rate(&t.rtp_received, now_ns),
        "rtp_bytes_sent": t.rtp_sent.bytes,
        "rtp_send_bitrate": meter_rate(&t.rtp_sent, now_ns),
        "rtx_bytes_received": t.rtx_received.bytes,
        "rtx_recv_bitrate": meter_rate(&t.rtx_received, now_ns),
        "rtx_bytes_sent": t.rtx_sent.bytes,
        "rtx_send_bitrate": meter_rate(&t.rtx_sent, now_ns),
        "rtp_packet_loss_received": t.loss_in,
        "rtp_packet_loss_sent": t.loss_out,
        "available_incoming_bitrate": t.remb.estimate_bps,
        "drops": drops_of(t.drops),
    }


cdef dict recv_stream_stats(Core *core, uint32_t index, int64_t now_ns):
    cdef RecvStream *r = &core.recv[index]
    return {
        "now_ms": now_ns // 1000000,
        "started": bool(r.state.started),
        "ssrc": r.ssrc,
        "rtx_ssrc": r.rtx_ssrc,
        "packet_count": recv_packets(&r.state),
        "byte_count": recv_bytes(&r.state),
        "bitrate": meter_rate(&r.state.meter, now_ns),
        "packets_lost": recv_lost(&r.state),
        "fraction_lost": r.state.fraction_lost,
        "jitter": recv_jitter(&r.state),
        "packets_discarded": r.state.discarded,
        "packets_retransmitted": r.state.retransmitted,
        "packets_repaired": r.state.repaired,
        "nack_count": r.nack_count,
        "nack_packet_count": r.nack_packet_count,
        "pli_count": r.pli_count,
        "fir_count": r.fir_count,
        "rtx_packets_discarded": r.rtx_discarded,
        "round_trip_time": r.state.rtt_ns / 1e6,
        "score": r.state.score.value,
    }


cdef dict send_stream_stats(Core *core, uint32_t index, int64_t now_ns):
    cdef SendStream *s = &core.send[index]
    return {
        "now_ms": now_ns // 1000000,
        "ssrc": s.ssrc,
        "rtx_ssrc": s.rtx_ssrc,
        "packet_count": s.state.meter.packets,
        "byte_count": s.state.meter.bytes,
        "bitrate": meter_rate(&s.state.meter, now_ns),
        "packets_lost": s.state.lost,
        "fraction_lost": s.state.fraction_lost,
        "jitter": s.state.jitter,
        "packets_retransmitted": s.state.repeats,
        "packets_repaired": s.state.repaired,
        "nack_count": s.state.nacks,
        "nack_packet_count": s.state.nacked,
        "pli_count": s.pli_count,
        "fir_count": s.fir_count,
        "unrepeatable": s.unrepeatable,
        "round_trip_time": s.state.rtt_ns / 1e6,
        "score": s.state.score.value,
    }


cdef dict core_stats(Core *core):
    cdef Counters *c = core.counters
    return {
        "ticks": c.ticks,
        "wakes": c.wakes,
        "busyNs": c.busy_ns,
        "handedOut": c.handed_out,
        "handedIn": c.handed_in,
        "tcpHandedOut": c.tcp_handed_out,
        "tcpHandedIn": c.tcp_handed_in,
        "linkPackets": c.link_packets,
        "linkPublications": c.link_publications,
        "linkBells": c.link_bells,
        "datagramsIn": c.datagrams_in,
        "bytesIn": c.bytes_in,
        "datagramsOut": c.datagrams_out,
        "bytesOut": c.bytes_out,
        "sends": c.sends,
        "messages": c.messages,
        "gsoMessages": c.gso_messages,
        "gsoSegments": c.gso_segments,
        "gsoRefused": c.gso_refused,
        "wouldBlock": c.would_block,
        "sendErrors": c.send_errors,
        "protectCalls": c.protect_calls,
        "protectedPackets": c.protected_packets,
        "commands": c.commands,
        "events": c.events,
        "eventsLost": core.events_lost,
        "tcpConnections": c.tcp_connections,
        "tcpRefused": c.tcp_refused,
        **{f"drop.{name}": c.drops[i] for i, name in enumerate(DROPS) if c.drops[i]},
    }


cdef list transport_tuples(Core *core, uint32_t index):
    """(local ip, local port, remote ip, remote port, protocol) of each verified tuple."""
    cdef Transport *t = &core.transports[index]
    cdef list found = []
    cdef Path path
    cdef uint32_t i
    for i in range(t.ice.tuple_count):
        path = core.tuples[t.ice.tuples[i]].path
        local = address_of(&core.connections[path.channel].local if path.tcp else &core.sockets[path.channel].local)
        remote = address_of(&path.remote)
        if local and remote:
            found.append((*local, *remote, 2 if path.tcp else 1))
    return found
