"""What another process reads of a core's slab: the heartbeat, and every object that it holds (documented in the .pyi).

A record is copied before it is looked at, and nothing in it is believed before it was checked. It is read, not mapped:
then nobody can take the memory away under us, and pages that were never written stay unwritten. Which objects belong
together is taken from their own words (`transport`, `producer`, `recv`); the chains and hash buckets between them are
the media thread's and are made anew by whoever carries on.
"""

import os
from collections import namedtuple

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from sfu_core._engine_read cimport address_of
from sfu_core._memory cimport Capacities, memory_plan
from sfu_core._records cimport (
    MAX_PAYLOAD_TYPES, PF_PAUSED, PF_VIDEO, SF_NACK, SF_PAUSED, SF_PIPE, SF_VIDEO, SRTCP_SENDERS, TABLE_CONNECTIONS,
    TABLE_CORE, TABLE_HISTORY, TABLE_PRODUCERS, TABLE_RECV, TABLE_SEND, TABLE_SOCKETS, TABLE_SSRCS, TABLE_TRANSPORTS,
    TABLE_TUPLES, TF_COMEDIA, TF_CONNECTED, TF_KEYED, TF_LINK, TF_PATH, TF_RTCP_MUX, TF_RTCP_PATH, TF_SRTP, Connection,
    Counters, Ice, Path, Producer, RecvStream, SendStream, Socket, SsrcEntry, Transport, Tuple,
)
from sfu_core._slab cimport NONE, SLAB_MAGIC, SLAB_VERSION, SLOT_BUILDING, SLOT_FREE, SLOT_LIVE, Head, SlabHeader
from sfu_core._srtp cimport ReplayWindow, SrtpKeys
from sfu_core._types cimport (
    ICE_DISCONNECTED, MAX_RID, MAX_TUPLES, NO_ID, SSRC_MEDIA_IN, SSRC_MEDIA_OUT, SSRC_RTX_IN, SSRC_RTX_OUT,
    TRANSPORT_DIRECT, TRANSPORT_PIPE, TRANSPORT_PLAIN, TRANSPORT_WEBRTC, Address,
)

SlabObject = namedtuple("SlabObject", "table slot generation state why fields")
NAMES = {
    <int>TABLE_SOCKETS: "sockets", <int>TABLE_TRANSPORTS: "transports", <int>TABLE_CONNECTIONS: "connections",
    <int>TABLE_TUPLES: "tuples", <int>TABLE_PRODUCERS: "producers", <int>TABLE_RECV: "recvStreams",
    <int>TABLE_SEND: "sendStreams", <int>TABLE_SSRCS: "ssrcs",
}
TABLES = tuple(NAMES.values())
KINDS = {
    <int>TRANSPORT_WEBRTC: "webrtc", <int>TRANSPORT_PLAIN: "plain", <int>TRANSPORT_PIPE: "pipe",
    <int>TRANSPORT_DIRECT: "direct",
}
ROLES = {
    <int>SSRC_MEDIA_IN: "mediaIn", <int>SSRC_RTX_IN: "rtxIn", <int>SSRC_MEDIA_OUT: "mediaOut",
    <int>SSRC_RTX_OUT: "rtxOut",
}
CHANNELS = ("socket", "connection", "link")


class Torn(Exception):
    """A record that cannot be what it says."""


cdef class SlabReader:
    cdef int fd
    cdef SlabHeader header

    def __init__(self, int fd):
        self.fd = fd
        try:
            self.check_header()
        except OSError as error:
            self.close()
            raise ValueError("not a slab") from error
        except ValueError:
            self.close()
            raise

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    cdef int check_header(self) except -1:
        """It must be, to the byte, what this build would plan for these capacities."""
        cdef SlabHeader plan
        cdef Capacities capacities
        cdef uint64_t size = os.fstat(self.fd).st_size
        cdef bytes start = self.bytes_at(0, sizeof(SlabHeader))
        memcpy(&self.header, <const char *>start, sizeof(SlabHeader))
        if self.header.magic != SLAB_MAGIC:
            raise ValueError("not a slab")
        if self.header.version != SLAB_VERSION:
            raise ValueError(f"a slab of version {self.header.version:x}; this build reads {<uint32_t>SLAB_VERSION:x}")
        capacities.transports = self.header.tables[<int>TABLE_TRANSPORTS].capacity
        capacities.producers = self.header.tables[<int>TABLE_PRODUCERS].capacity
        capacities.recv_streams = self.header.tables[<int>TABLE_RECV].capacity
        capacities.send_streams = self.header.tables[<int>TABLE_SEND].capacity
        capacities.history_bytes = self.header.tables[<int>TABLE_HISTORY].stride
        if self.header.bytes != size or capacities.history_bytes > size:
            raise ValueError("a slab of another size")
        memory_plan(&plan, &capacities)
        if memcmp(&plan, &self.header, sizeof(SlabHeader)) != 0:
            raise ValueError("a slab of another layout")
        return 0

    cdef bytes bytes_at(self, uint64_t at, size_t length):
        if self.fd < 0:
            raise ValueError("the slab was closed")
        data = os.pread(self.fd, length, at)
        if len(data) != length:
            raise ValueError("not a slab")
        return data

    cdef bytes record(self, int kind, uint32_t index):
        return self.bytes_at(
            self.header.tables[kind].offset + self.header.tables[kind].stride * index, self.header.tables[kind].stride
        )

    cdef uint32_t capacity(self, int kind):
        return self.header.tables[kind].capacity

    @property
    def ticks(self):
        cdef bytes core = self.record(TABLE_CORE, 0)
        return (<const Counters *><const char *>core).ticks

    def objects(self):
        cdef bytes core = self.record(TABLE_CORE, 0)
        cdef uint64_t pen = (<const Counters *><const char *>core).pen
        cdef list found = []
        cdef dict states = {}                # (table, index) -> state, of what was read so far
        cdef int kind
        for kind in NAMES:
            for index in self.used(kind):
                each = read_record(kind, index, self.record(kind, index), pen, states)
                if each is not None:
                    states[kind, index] = each.state
                    found.append(each)
        return found

    cdef object used(self, int kind):
        """Indices of the records on pages that were ever written; the others are all zero."""
        cdef uint64_t start = self.header.tables[kind].offset
        cdef uint64_t stride = self.header.tables[kind].stride
        cdef uint64_t end = start + stride * self.header.tables[kind].capacity
        cdef uint64_t at = start
        cdef uint64_t first, last
        cdef list ranges = []
        while at < end:
            try:
                data = os.lseek(self.fd, at, os.SEEK_DATA)
            except OSError:                  # nothing behind it
                break
            if data >= end:
                break
            first = (data - start) // stride
            last = (min(os.lseek(self.fd, data, os.SEEK_HOLE), end) - start + stride - 1) // stride
            ranges.extend(range(first, last))
            at = start + stride * last
        return ranges


cdef object read_record(int kind, uint32_t index, bytes record, uint64_t pen, dict states):
    """A SlabObject, or None for a free slot."""
    cdef Head head = (<const Head *><const char *>record)[0]
    cdef str state = "live"
    cdef str why = ""
    cdef dict fields = {}
    if head.state == SLOT_FREE:
        return None
    if head.state == SLOT_BUILDING:
        state, why = "building", "its creation was not finished"
    elif head.state != SLOT_LIVE:
        state, why = "torn", "its state is none"
    elif not head.generation & 1:
        state, why = "closing", "its end was not finished"
    elif pen == (<uint64_t>kind << 32 | index):
        state, why = "torn", "it was being changed"
    else:
        try:
            fields, owners = FIELDS[kind](record)
            state, why = state_among(owners, states)
        except Torn as error:
            state, why = "torn", str(error)
        if state != "live":
            fields = {}
    return SlabObject(NAMES[kind], index, head.generation, state, why, fields)


cdef tuple state_among(list owners, dict states):
    """Of a record that is whole itself: no better than that of those it belongs to."""
    for owner in owners:
        state = states.get(owner)
        if state == "closing":
            return state, f"its {NAMES[owner[0]].removesuffix("s")} {owner[1]} was being closed"
        if state != "live":
            return "torn", f"its {NAMES[owner[0]].removesuffix("s")} {owner[1]} is not to be trusted"
    return "live", ""


# ---------------------------------------------------------------- pieces

cdef bint check(bint fine, str what) except False:
    if not fine:
        raise Torn(f"{what} cannot be")
    return True


cdef object optional(uint32_t index):
    return None if index == NONE else index


cdef object address(const Address *a):
    check(a.length in (0, 16, 28), "an address")
    return address_of(a)


cdef bytes text(const uint8_t *data, uint32_t length, uint32_t limit, str what):
    check(length <= limit, what)
    return (<const char *>data)[:length]


cdef dict path_of(const Path *path):
    check(path.tcp < 3, "a path")
    return {"kind": CHANNELS[path.tcp], "channel": path.channel, "remote": address(&path.remote)}


cdef dict keys_of(const SrtpKeys *keys):
    check(keys.key_length in (16, 32) and keys.salt_length in (12, 14), "SRTP keys")
    return {
        "suite": keys.suite,
        "key": (<const char *>keys.key)[:keys.key_length],
        "salt": (<const char *>keys.salt)[:keys.salt_length],
    }


cdef object highest(const ReplayWindow *window):
    return window.highest if window.started else None


cdef dict extensions_of(const uint8_t *kinds):
    return {i: kinds[i] for i in range(256) if kinds[i]}


# ---------------------------------------------------------------- records: their fields, and whom they belong to

def socket_fields(bytes record):
    cdef const Socket *s = <const Socket *><const char *>record
    check(s.protocol in (1, 2), "its protocol")
    return {
        "protocol": s.protocol, "group": s.group, "local": address(&s.local), "fd": s.fd,
        "share": s.share - 1 if s.share else None, "listener": s.listener,
    }, []


def transport_fields(bytes record):
    cdef const Transport *t = <const Transport *><const char *>record
    cdef list owners = []
    check(t.kind in KINDS, "its kind")
    check(t.flags & TF_KEYED == 0 or t.flags & TF_SRTP != 0, "keys without SRTP")
    fields = {
        "kind": KINDS[t.kind],
        "connected": bool(t.flags & TF_CONNECTED),
        "srtp": bool(t.flags & TF_SRTP),
        "comedia": bool(t.flags & TF_COMEDIA),
        "path": path_of(&t.path) if t.flags & TF_PATH else None,
        "rtcpPath": path_of(&t.rtcp_path) if t.flags & TF_RTCP_PATH else None,
        "group": t.group,
        "keysIn": keys_of(&t.keys_in) if t.flags & TF_KEYED else None,
        "keysOut": keys_of(&t.keys_out) if t.flags & TF_KEYED else None,
        "srtcpResumesAt": t.rtcp_reserved,
        "srtcpSenders": srtcp_senders(t),
        "wideSequence": t.twcc_seq,
        "feedback": t.feedback,
        "maxIncomingBitrate": t.max_incoming_bps,
        "extensions": extensions_of(t.extension_kinds),
        "linkTag": t.link_tag if t.flags & TF_LINK else None,
        "ice": ice_fields(&t.ice) if t.kind == TRANSPORT_WEBRTC else None,
    }
    for socket in (optional(t.socket), optional(t.rtcp_socket)):
        if socket is not None:
            owners.append((<int>TABLE_SOCKETS, socket))
    return fields, owners


cdef dict srtcp_senders(const Transport *t):
    cdef dict found = {}
    for i in range(<int>SRTCP_SENDERS):
        if t.srtcp[i].started:
            found[t.srtcp[i].ssrc] = highest(&t.srtcp[i].window)
    return found


cdef dict ice_fields(const Ice *ice):
    check(ice.tuple_count <= MAX_TUPLES and ice.state <= ICE_DISCONNECTED, "its ICE state")
    return {
        "state": ice.state,
        "ufrag": text(ice.ufrag, ice.ufrag_length, 32, "a user name").decode("latin-1"),
        "password": text(ice.password, ice.password_length, 32, "a password").decode("latin-1"),
        "oldUfrag": text(ice.old_ufrag, ice.old_ufrag_length, 32, "a user name").decode("latin-1"),
        "oldPassword": text(ice.old_password, ice.old_password_length, 32, "a password").decode("latin-1"),
        "selected": optional(ice.selected),
        "nomination": ice.nomination if ice.has_nomination else None,
        "consentTimeoutNs": ice.consent_timeout_ns,
    }


def connection_fields(bytes record):
    cdef const Connection *c = <const Connection *><const char *>record
    return (
        {"local": address(&c.local), "remote": address(&c.remote), "fd": c.fd, "tuple": optional(c.tuple)},
        [(<int>TABLE_SOCKETS, c.socket)],
    )


def tuple_fields(bytes record):
    cdef const Tuple *t = <const Tuple *><const char *>record
    check(t.path.tcp < 2, "a tuple of a ring")
    channel = <int>TABLE_CONNECTIONS if t.path.tcp else <int>TABLE_SOCKETS
    return (
        {"transport": t.transport, "path": path_of(&t.path), "order": t.order},
        [(<int>TABLE_TRANSPORTS, t.transport), (channel, t.path.channel)],
    )


def producer_fields(bytes record):
    cdef const Producer *p = <const Producer *><const char *>record
    check(p.payload_types <= MAX_PAYLOAD_TYPES, "its payload types")
    return {
        "transport": p.transport,
        "kind": "video" if p.flags & PF_VIDEO else "audio",
        "paused": bool(p.flags & PF_PAUSED),
        "mid": text(p.mid, p.mid_length, MAX_RID, "a MID").decode("latin-1"),
        "payloadTypes": {
            p.types[i].pt: {
                "mapped": p.types[i].mapped, "codec": p.types[i].codec, "clockRate": p.types[i].clock_rate,
                "repairs": None if p.types[i].repairs == NO_ID else p.types[i].repairs,
            }
            for i in range(p.payload_types)
        },
        "extensions": extensions_of(p.extension_kinds),
        "keyFrameDelayNs": p.key_frame_delay_ns,
    }, [(<int>TABLE_TRANSPORTS, p.transport)]


def recv_fields(bytes record):
    cdef const RecvStream *r = <const RecvStream *><const char *>record
    return {
        "producer": r.producer,
        "transport": r.transport,
        "ssrc": r.ssrc,
        "rtxSsrc": r.rtx_ssrc,
        "rid": text(r.rid, r.rid_length, MAX_RID, "a RID").decode("latin-1"),
        "codec": r.codec,
        "clockRate": r.clock_rate,
        "sequence": r.state.highest if r.state.started else None,
        "srtpHighest": highest(&r.replay),
        "rtxSrtpHighest": highest(&r.rtx_replay),
        "srtcpHighest": highest(&r.rtcp_replay),
        "rtxSrtcpHighest": highest(&r.rtx_rtcp_replay),
        "nack": r.nacks != NONE,
    }, [(<int>TABLE_TRANSPORTS, r.transport), (<int>TABLE_PRODUCERS, r.producer)]


def send_fields(bytes record):
    cdef const SendStream *s = <const SendStream *><const char *>record
    return {
        "transport": s.transport,
        "recv": s.recv,
        "ssrc": s.ssrc,
        "rtxSsrc": s.rtx_ssrc,
        "rtxPayloadType": s.rtx_pt,
        "payloadTypes": [pt for pt in range(128) if s.types[<int>pt >> 6] >> (<int>pt & 63) & 1],
        "kind": "video" if s.flags & SF_VIDEO else "audio",
        "paused": bool(s.flags & SF_PAUSED),
        "pipe": bool(s.flags & SF_PIPE),
        "nack": bool(s.flags & SF_NACK),
        "mid": text(s.mid, s.mid_length, 8, "a MID").decode("latin-1"),
        "cname": text(s.cname, s.cname_length, 255, "a CNAME").decode("utf-8", "replace"),
        "srtpResumesAt": s.munger.reserved_until or s.munger.out_highest + 1,
        "rtxSrtpResumesAt": s.rtx.reserved_until or s.rtx.next_ext,
        "timestamp": s.munger.last_ts if s.munger.sent else None,
        "octets": s.state.octets,
        "packets": s.state.meter.packets,
    }, [(<int>TABLE_TRANSPORTS, s.transport), (<int>TABLE_RECV, s.recv)]


def ssrc_fields(bytes record):
    cdef const SsrcEntry *e = <const SsrcEntry *><const char *>record
    check(e.role in ROLES, "its role")
    stream = <int>TABLE_SEND if e.role >= SSRC_MEDIA_OUT else <int>TABLE_RECV
    return (
        {"transport": e.transport, "ssrc": e.ssrc, "role": ROLES[e.role], "stream": e.stream},
        [(<int>TABLE_TRANSPORTS, e.transport), (stream, e.stream)],
    )


FIELDS = {
    <int>TABLE_SOCKETS: socket_fields, <int>TABLE_TRANSPORTS: transport_fields,
    <int>TABLE_CONNECTIONS: connection_fields, <int>TABLE_TUPLES: tuple_fields, <int>TABLE_PRODUCERS: producer_fields,
    <int>TABLE_RECV: recv_fields, <int>TABLE_SEND: send_fields, <int>TABLE_SSRCS: ssrc_fields,
}
