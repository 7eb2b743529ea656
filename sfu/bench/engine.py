"""What is measured: a thing that takes the publisher's packets and delivers them to every subscriber.

`Engine` is a worker of ours, driven through its public API; `Relay` is a bare copying loop, to test the
benchmark with.
"""

from __future__ import annotations

import os
from base64 import b64encode
from typing import Any, Protocol, Self

from sfu.bench.cpu import pin
from sfu.bench.load import Address, LoadProcess
from sfu.bench.traffic import CLOCK_RATE, PAYLOAD_TYPE, SSRC

HOST = "127.0.0.1"
KEY_BYTES = {
    "AEAD_AES_128_GCM": 28,
    "AEAD_AES_256_GCM": 44,
    "AES_CM_128_HMAC_SHA1_80": 30,
    "AES_CM_128_HMAC_SHA1_32": 30,
}

CODECS: list[dict[str, Any]] = [
    {"kind": "audio", "mimeType": "audio/opus", "clockRate": CLOCK_RATE["audio"], "channels": 2},
    {"kind": "video", "mimeType": "video/VP8", "clockRate": CLOCK_RATE["video"]},
]


class Forwarder(Protocol):
    """Forwards from one publisher to its subscribers in a process of its own."""

    @property
    def pid(self) -> int: ...

    async def open_room(self, kind: str, suite: str | None, subscribers: list[Address]) -> Address:
        """Makes a room and returns where its publisher sends to; `suite` encrypts what subscribers get."""

    async def close_room(self) -> None: ...

    async def close(self) -> None: ...


class Engine:
    """One core process; a room is a router with a plain transport in and one out for every subscriber."""

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self._router: Any = None

    @classmethod
    async def start(cls, cpus: set[int]) -> Self:
        from sfu_core import mediasoup

        worker = await mediasoup.create_worker()
        pin(worker.pid, cpus)
        return cls(worker)

    @property
    def pid(self) -> int:
        return int(self._worker.pid)

    async def open_room(self, kind: str, suite: str | None, subscribers: list[Address]) -> Address:
        self._router = await self._worker.create_router(media_codecs=CODECS)
        ingress = await self._plain_transport(comedia=True)
        producer = await ingress.produce(kind=kind, rtp_parameters=published(kind))
        for ip, port in subscribers:
            options = {"enable_srtp": True, "srtp_crypto_suite": suite} if suite else {}
            egress = await self._plain_transport(**options)
            await egress.connect(ip=ip, port=port, **({"srtp_parameters": random_key(suite)} if suite else {}))
            await egress.consume(producer_id=producer.id, rtp_capabilities=self._router.rtp_capabilities)
        return HOST, int(ingress.tuple["localPort"])

    async def close_room(self) -> None:
        self._router.close()

    async def close(self) -> None:
        self._worker.close()

    async def _plain_transport(self, **options: Any) -> Any:
        listen = {"protocol": "udp", "ip": HOST}
        return await self._router.create_plain_transport(listen_info=listen, rtcp_mux=True, **options)


class Relay:
    """The bare relay of `sfu._load` in a load process."""

    def __init__(self, process: LoadProcess, cpus: set[int]) -> None:
        self._process, self._cpus = process, cpus

    @classmethod
    async def start(cls, cpus: set[int]) -> Self:
        return cls(await LoadProcess.start(cpus), cpus)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def open_room(self, kind: str, suite: str | None, subscribers: list[Address]) -> Address:
        return await self._process.relay(subscribers)

    async def close_room(self) -> None:
        await self._process.close()
        self._process = await LoadProcess.start(self._cpus)

    async def close(self) -> None:
        await self._process.close()


def published(kind: str) -> dict[str, Any]:
    """RTP parameters of what the load sends."""
    codec = next(codec for codec in CODECS if codec["kind"] == kind)
    feedback = [{"type": "nack"}, {"type": "nack", "parameter": "pli"}] if kind == "video" else []
    channels = {"channels": codec["channels"]} if "channels" in codec else {}
    return {
        "mid": "0",
        "codecs": [
            {
                "mimeType": codec["mimeType"],
                "payloadType": PAYLOAD_TYPE[kind],
                "clockRate": codec["clockRate"],
                "rtcpFeedback": feedback,
                **channels,
            }
        ],
        "encodings": [{"ssrc": SSRC}],
        "rtcp": {"cname": "bench"},
    }


def random_key(suite: str) -> dict[str, str]:
    return {"cryptoSuite": suite, "keyBase64": b64encode(os.urandom(KEY_BYTES[suite])).decode()}
