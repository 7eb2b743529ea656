"""An Engine without media: same door, remembers what it was told and refuses what the real one would.

Handles carry a generation; a child must be closed before its parent; `emit` queues an event as the media
thread would.
"""

import os
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

Event = tuple[Any, ...]

SLABS = ("socket", "transport", "producer", "recv", "send", "link", "share")


class FakeEngine:
    def __init__(self, **options: Any) -> None:
        self.options = options
        self.event_fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.slab_fd = os.open("/dev/null", os.O_RDONLY)
        self.calls: list[tuple[Any, ...]] = []
        self.live: dict[str, dict[int, dict[str, Any]]] = {slab: {} for slab in SLABS}
        self.datagrams: list[tuple[int, bytes]] = []
        self.transport_overrides: dict[str, Any] = {}
        self.running = threading.Event()
        self.closed = False
        self._events: deque[Event] = deque()
        self._made = 0
        self._stop = threading.Event()

    # --- for tests

    def emit(self, code: int, *rest: Any) -> None:
        self._events.append((int(code), *rest))
        os.eventfd_write(self.event_fd, 1)

    def handles(self, slab: str) -> list[int]:
        return list(self.live[slab])

    def is_empty(self) -> bool:
        return not any(self.live.values())

    def called(self, name: str) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.calls if call[0] == name]

    # --- the door

    def run(self) -> None:
        self.running.set()
        self._stop.wait()

    def stop(self) -> None:
        self._stop.set()

    def close(self) -> None:
        assert not self.running.is_set() or self._stop.is_set()
        assert not self.closed
        self.closed = True
        os.close(self.event_fd)
        os.close(self.slab_fd)

    def poll(self, limit: int = 512) -> list[Event]:
        try:
            os.eventfd_read(self.event_fd)
        except BlockingIOError:
            return []
        batch = [self._events.popleft() for _ in range(min(limit, len(self._events)))]
        if self._events:
            os.eventfd_write(self.event_fd, 1)
        return batch

    def add_socket(self, fd: int, protocol: int, group: int, share: int = 0, listener: int = 0) -> int:
        if share:
            self._get("share", share)
        return self._add("socket", fd=fd, protocol=protocol, group=group, share=share, listener=listener)

    def close_socket(self, socket: int) -> None:
        users = [t for t in self.live["transport"].values() if socket in t.get("sockets", ())]
        assert not users, "socket closed before its transport"
        os.close(self._remove("socket", socket)["fd"])

    def socket_stats(self, socket: int) -> dict[str, int]:
        self._get("socket", socket)
        return {}

    def add_webrtc_transport(self, group: int, ufrag: str, password: str, consent_timeout_ms: int) -> int:
        return self._add(
            "transport", kind="webrtc", group=group, ufrag=ufrag, password=password,
            consent=consent_timeout_ms, sockets=(),
        )  # fmt: skip

    def restart_ice(self, transport: int, ufrag: str, password: str) -> None:
        self._get("transport", transport).update(ufrag=ufrag, password=password)

    def add_plain_transport(self, socket: int, rtcp_socket: int, *, comedia: bool, srtp: bool, pipe: bool) -> int:
        self._get("socket", socket)
        sockets = (socket, rtcp_socket) if rtcp_socket else (socket,)
        return self._add("transport", kind="plain", sockets=sockets, comedia=comedia, srtp=srtp, pipe=pipe)

    def add_direct_transport(self) -> int:
        return self._add("transport", kind="direct", sockets=())

    def connect_plain(self, transport: int, ip: str, port: int, rtcp_port: int) -> None:
        self._get("transport", transport).update(remote=(ip, port, rtcp_port))

    def set_srtp(self, transport: int, suite: int, local_key: bytes, remote_key: bytes) -> None:
        self._get("transport", transport).update(keys=(suite, local_key, remote_key))

    def clear_srtp(self, transport: int) -> None:
        self._get("transport", transport).update(keys=None)

    def set_recv_extensions(self, transport: int, extensions: dict[int, int]) -> None:
        self._get("transport", transport).update(extensions=dict(extensions))

    def send_datagram(self, transport: int, data: bytes) -> bool:
        self._get("transport", transport)
        self.datagrams.append((transport, data))
        return True

    def send_rtcp(self, transport: int, data: bytes) -> None:
        self._get("transport", transport)
        self.calls.append(("send_rtcp", transport, data))

    def set_bitrates(self, transport: int, max_incoming_bps: int) -> None:
        self._get("transport", transport).update(max_incoming=max_incoming_bps)

    def close_transport(self, transport: int) -> None:
        for slab in ("producer", "send"):
            assert not [c for c in self.live[slab].values() if c["transport"] == transport], slab
        self._remove("transport", transport)

    def transport_stats(self, transport: int) -> dict[str, Any]:
        self._get("transport", transport)
        numbers = (
            "bytes_received", "recv_bitrate", "bytes_sent", "send_bitrate", "rtp_bytes_received",
            "rtp_recv_bitrate", "rtp_bytes_sent", "rtp_send_bitrate", "rtx_bytes_received",
            "rtx_recv_bitrate", "rtx_bytes_sent", "rtx_send_bitrate", "available_incoming_bitrate",
        )  # fmt: skip
        base: dict[str, Any] = {name: number for number, name in enumerate(numbers, 1)}
        base |= {
            "now_ms": 5000,
            "ice_state": 0,
            "connected": False,
            "local": None,
            "remote": None,
            "protocol": 1,
        }
        base |= {"rtp_packet_loss_received": 0.0, "rtp_packet_loss_sent": 0.0, "drops": {}}
        return base | self.transport_overrides

    def transport_tuples(self, transport: int) -> list[tuple[str, int, str, int, int]]:
        self._get("transport", transport)
        return []

    def add_link(self, memfd: int, capacity: int, side: int, bell_in: int, bell_out: int) -> int:
        return self._add("link", memfd=memfd, capacity=capacity, side=side, bells=(bell_in, bell_out))

    def close_link(self, link: int) -> None:
        assert not [t for t in self.live["transport"].values() if t.get("link") == link], "still in use"
        for bell in self.live["link"].get(link, {}).get("bells", ()):
            os.close(bell)
        self._remove("link", link)

    def link_stats(self, link: int) -> dict[str, int]:
        self._get("link", link)
        return {"packets": 0, "dropped": 0, "bells": 0, "broken": 0}

    def add_link_transport(self) -> int:
        return self._add("transport", kind="link")

    def connect_link(self, transport: int, link: int, tag: int) -> None:
        self._get("link", link)
        self._get("transport", transport).update(link=link, tag=tag)

    def add_share(self, memfd: int, number: int, own: int) -> int:
        return self._add("share", number=number, own=own)

    def close_share(self, share: int) -> None:
        assert not [s for s in self.live["socket"].values() if s["share"] == share], "still in use"
        self._remove("share", share)

    def set_neighbour(self, core: int, link: int) -> None:
        if link:
            self._get("link", link)
        self.calls.append(("set_neighbour", core, link))

    def add_connection(self, socket: int, fd: int, data: bytes) -> None:
        self._get("socket", socket)
        self.calls.append(("add_connection", socket, fd, data))

    def connection_left(self) -> None:
        self.calls.append(("connection_left",))

    def add_producer(
        self, transport: int, kind: int, codecs: Sequence[Any], encodings: Sequence[Any], **options: Any
    ) -> tuple[int, list[int]]:
        self._get("transport", transport)
        producer = self._add(
            "producer",
            transport=transport,
            kind=kind,
            codecs=list(codecs),
            encodings=list(encodings),
            **options,
        )
        streams = [self._add("recv", producer=producer, stats={}) for _ in encodings]
        self.live["producer"][producer]["streams"] = streams
        return producer, streams

    def pause_producer(self, producer: int, paused: bool) -> None:
        self._get("producer", producer).update(paused=paused)
        self.calls.append(("pause_producer", producer, paused))

    def inject_rtp(self, producer: int, data: bytes) -> None:
        self._get("producer", producer)
        self.calls.append(("inject_rtp", producer, data))

    def trace_producer(self, producer: int, mask: int) -> None:
        self._get("producer", producer).update(trace=mask)

    def close_producer(self, producer: int) -> None:
        for stream in self._get("producer", producer)["streams"]:
            assert not [s for s in self.live["send"].values() if s["recv"] == stream], "has send streams"
            self._remove("recv", stream)
        self._remove("producer", producer)

    def recv_stream_stats(self, stream: int) -> dict[str, Any]:
        return _recv_stats() | self._get("recv", stream)["stats"]

    def add_send_stream(self, transport: int, recv_stream: int, **options: Any) -> int:
        self._get("transport", transport)
        self._get("recv", recv_stream)
        return self._add("send", transport=transport, recv=recv_stream, stats={}, **options)

    def pause_send_stream(self, stream: int, paused: bool) -> None:
        self._get("send", stream).update(paused=paused)
        self.calls.append(("pause_send_stream", stream, paused))

    def request_key_frame(self, stream: int) -> None:
        self._get("send", stream)
        self.calls.append(("request_key_frame", stream))

    def trace_send_stream(self, stream: int, mask: int) -> None:
        self._get("send", stream).update(trace=mask)

    def close_send_stream(self, stream: int) -> None:
        self._remove("send", stream)

    def send_stream_stats(self, stream: int) -> dict[str, Any]:
        entry = self._get("send", stream)
        recv = _recv_stats()
        for name in ("started", "packets_discarded", "rtx_packets_discarded"):
            del recv[name]
        return recv | {"ssrc": entry["ssrc"], "rtx_ssrc": entry["rtx_ssrc"]} | entry["stats"]

    def core_stats(self) -> dict[str, int]:
        return {}

    # --- slabs

    def _add(self, slab: str, **entry: Any) -> int:
        self._made += 1
        handle = self._made << 32 | len(self.live[slab])
        self.live[slab][handle] = entry
        return handle

    def _get(self, slab: str, handle: int) -> dict[str, Any]:
        if handle not in self.live[slab]:
            raise LookupError(f"{slab} {handle:#x}")
        return self.live[slab][handle]

    def _remove(self, slab: str, handle: int) -> dict[str, Any]:
        entry = self._get(slab, handle)
        del self.live[slab][handle]
        return entry


def _recv_stats() -> dict[str, Any]:
    numbers = (
        "packet_count", "byte_count", "bitrate", "packets_lost", "fraction_lost", "jitter", "packets_discarded",
        "packets_retransmitted", "packets_repaired", "nack_count", "nack_packet_count", "pli_count", "fir_count",
        "rtx_packets_discarded",
    )  # fmt: skip
    base: dict[str, Any] = {name: number for number, name in enumerate(numbers, 1)}
    base |= {"now_ms": 5000, "started": False, "ssrc": 0, "rtx_ssrc": 0, "round_trip_time": 0.0, "score": 10}
    return base
