"""aiortc as a participant of a call, without SDP.

mediasoup's parameters are ORTC dictionaries and aiortc is built from ORTC objects, so each side's dictionaries are
turned directly into the other's objects: an ICE and a DTLS transport for each direction, a sender or a
receiver for each stream. What a peer connection would set on these objects is set here (the ICE and DTLS roles,
the track and the SSRC of a receiver), which is why some names begin with an underscore.
"""

from __future__ import annotations

import asyncio
import fractions
import itertools
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import aioice.ice
import numpy as np
from aiortc import MediaStreamTrack, RTCCertificate
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, VideoStreamTrack
from aiortc.rtcdtlstransport import (
    SRTP_PROFILES,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
)
from aiortc.rtcicetransport import RTCIceCandidate, RTCIceGatherer, RTCIceParameters, RTCIceTransport
from aiortc.rtcrtpparameters import (
    RTCRtcpFeedback,
    RTCRtcpParameters,
    RTCRtpCodecParameters,
    RTCRtpDecodingParameters,
    RTCRtpHeaderExtensionParameters,
    RTCRtpReceiveParameters,
    RTCRtpRtxParameters,
    RTCRtpSendParameters,
)
from aiortc.rtcrtpreceiver import RemoteStreamTrack, RTCRtpReceiver
from aiortc.rtcrtpsender import RTCRtpSender
from aiortc.rtp import RtpPacket
from av import AudioFrame, VideoFrame

from .call import LOOPBACK

CODECS = {"audio/opus", "video/vp8", "video/h264"}
HEADER_EXTENSIONS = {
    "urn:ietf:params:rtp-hdrext:sdes:mid",
    "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
}
FEEDBACK = {("nack", ""), ("nack", "pli"), ("goog-remb", "")}

#: The suites aiortc can offer, by the names the server's settings use.
SRTP_SUITES = {
    "AEAD_AES_256_GCM": b"SRTP_AEAD_AES_256_GCM",
    "AEAD_AES_128_GCM": b"SRTP_AEAD_AES_128_GCM",
    "AES_CM_128_HMAC_SHA1_80": b"SRTP_AES128_CM_SHA1_80",
}

# aioice leaves loopback addresses out, and a test machine may have no other.
aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [LOOPBACK]


class AiortcParticipant:
    """One aiortc endpoint and the server's transports it is connected to.

    Args:
        router: of the server under test.
        server_dtls_role: the server's DTLS role; aiortc takes the other one.
        srtp_suites: the only suites to offer or accept, names of ``SRTP_SUITES``; all by default.
        transport: options of the transports, as for ``router.create_webrtc_transport``.
    """

    def __init__(
        self,
        router: Any,
        *,
        server_dtls_role: Literal["client", "server"] = "server",
        srtp_suites: Sequence[str] = tuple(SRTP_SUITES),
        **transport: Any,
    ) -> None:
        self.router = router
        self.send: Any = None
        self.recv: Any = None
        self._role = "client" if server_dtls_role == "server" else "server"
        self._suites = {SRTP_SUITES[name] for name in srtp_suites}
        self._transport_options = transport
        self._connections: dict[str, RTCDtlsTransport] = {}
        self._streams: list[Sender | Receiver] = []
        self._readers: list[asyncio.Task[None]] = []
        self._capabilities = usable_capabilities(router.rtp_capabilities)
        self._mids = itertools.count()

    async def __aenter__(self) -> AiortcParticipant:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Leaves the call."""
        for stream in self._streams:
            await stream.stop()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        for connection in self._connections.values():
            await connection.stop()
            await connection.transport.stop()
        for transport in (self.send, self.recv):
            if transport is not None:
                transport.close()

    async def publish(self, kind: Literal["audio", "video"]) -> AiortcPublication:
        """Sends a moving picture or a tone."""
        if self.send is None:
            self.send = await self._connect("send")
        sender = Sender(Picture() if kind == "video" else Tone(), self._connections[self.send.id])
        parameters = self._sending_parameters(kind, sender)
        producer = await self.send.produce(kind=kind, rtp_parameters=parameters)
        self._streams.append(sender)
        await sender.send(
            RTCRtpSendParameters(
                codecs=[_codec(codec) for codec in parameters["codecs"]],
                headerExtensions=[_header_extension(each) for each in parameters["headerExtensions"]],
                muxId=parameters["mid"],
                rtcp=RTCRtcpParameters(cname=parameters["rtcp"]["cname"], ssrc=sender._ssrc, mux=True),
            )
        )
        return AiortcPublication(producer, sender)

    async def subscribe(self, producer: Any) -> AiortcSubscription:
        """Consumes as applications do: paused on the server until the receiver is ready for it."""
        if self.recv is None:
            self.recv = await self._connect("recv")
        consumer = await self.recv.consume(
            producer_id=producer.id, rtp_capabilities=self._capabilities, paused=True
        )
        receiver = Receiver(consumer.kind, self._connections[self.recv.id])
        self._streams.append(receiver)
        await receiver.receive(_receiving_parameters(consumer.rtp_parameters))
        subscription = AiortcSubscription(consumer, receiver)
        self._readers.append(asyncio.ensure_future(subscription._count_frames()))
        await consumer.resume()
        return subscription

    def srtp_suite(self, transport: Any) -> bytes:
        """The suite that aiortc negotiated on one of this participant's transports, as OpenSSL calls it."""
        connection = self._connections[transport.id]._ssl
        assert connection is not None
        return connection.get_selected_srtp_profile()

    async def _connect(self, direction: str) -> Any:
        transport = await self.router.create_webrtc_transport(**self._transport_options)
        gatherer = RTCIceGatherer(iceServers=[])
        await gatherer.gather()
        ice = RTCIceTransport(gatherer)
        ice._connection.ice_controlling = True
        dtls = RTCDtlsTransport(ice, [RTCCertificate.generateCertificate()])
        dtls._set_role(self._role)
        dtls._srtp_profiles = [each for each in SRTP_PROFILES if each.openssl_profile in self._suites]
        fingerprints = [vars(each) for each in dtls.getLocalParameters().fingerprints]
        await transport.connect(dtls_parameters={"role": self._role, "fingerprints": fingerprints})
        for candidate in transport.ice_candidates:
            await ice.addRemoteCandidate(_ice_candidate(candidate))
        await ice.addRemoteCandidate(None)
        await ice.start(RTCIceParameters(**transport.ice_parameters))
        assert ice.state == "completed", f"ICE is {ice.state}"
        given = transport.dtls_parameters["fingerprints"]
        await dtls.start(RTCDtlsParameters([RTCDtlsFingerprint(**each) for each in given]))
        assert dtls.state == "connected", f"DTLS is {dtls.state}"
        self._connections[transport.id] = dtls
        return transport

    def _sending_parameters(self, kind: str, sender: Sender) -> dict[str, Any]:
        capabilities = [codec for codec in self._capabilities["codecs"] if codec["kind"] == kind]
        media = next(codec for codec in capabilities if not _is_rtx(codec))
        payload_type = media["preferredPayloadType"]
        rtx = [codec for codec in capabilities if codec.get("parameters", {}).get("apt") == payload_type]
        encoding: dict[str, Any] = {"ssrc": sender._ssrc}
        if rtx:
            encoding["rtx"] = {"ssrc": sender._rtx_ssrc}
        extensions = [each for each in self._capabilities["headerExtensions"] if each["kind"] == kind]
        return {
            "mid": str(next(self._mids)),
            "codecs": [_codec_parameters(codec) for codec in [media, *rtx]],
            "headerExtensions": [{"uri": each["uri"], "id": each["preferredId"]} for each in extensions],
            "encodings": [encoding],
            "rtcp": {"cname": "aiortc", "reducedSize": True},
        }


class Sender(RTCRtpSender):
    """A sender that counts how often it sent a packet again."""

    def __init__(self, track: MediaStreamTrack, transport: RTCDtlsTransport) -> None:
        super().__init__(track, transport)
        self.retransmissions = 0

    async def _retransmit(self, sequence_number: int) -> None:
        self.retransmissions += 1
        await super()._retransmit(sequence_number)


class Receiver(RTCRtpReceiver):
    """A receiver that counts packets by SSRC."""

    def __init__(self, kind: str, transport: RTCDtlsTransport) -> None:
        super().__init__(kind, transport)
        self.packets: Counter[int] = Counter()
        self._track = RemoteStreamTrack(kind)
        self._set_rtcp_ssrc(random.getrandbits(32))

    async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        self.packets[packet.ssrc] += 1
        await super()._handle_rtp_packet(packet, arrival_time_ms)


class AiortcPublication:
    """A producer of the server and the aiortc sender that feeds it."""

    def __init__(self, producer: Any, sender: Sender) -> None:
        self.producer = producer
        self.sender = sender


class AiortcSubscription:
    """A consumer of the server and what aiortc decodes of it."""

    def __init__(self, consumer: Any, receiver: Receiver) -> None:
        self.consumer = consumer
        self.receiver = receiver
        self.decoded = 0
        self.size = (0, 0)

    async def frames(self) -> int:
        """Frames decoded so far (video pictures, or audio frames of 20 ms)."""
        return self.decoded

    def repaired(self) -> int:
        """Packets that came on the RTX stream."""
        return self.receiver.packets[self.consumer.rtp_parameters["encodings"][0]["rtx"]["ssrc"]]

    async def _count_frames(self) -> None:
        try:
            while True:
                frame = await self.receiver.track.recv()
                self.decoded += 1
                if isinstance(frame, VideoFrame):
                    self.size = (frame.width, frame.height)
        except MediaStreamError:
            return


class Picture(VideoStreamTrack):
    """A brightness ramp that moves, 320 x 240 at 30 frames per second."""

    async def recv(self) -> VideoFrame:
        pts, time_base = await self.next_timestamp()
        ramp = np.arange(320)[None, :] + np.arange(240)[:, None] + pts // 3000 * 4
        grey = (ramp % 256).astype(np.uint8)
        frame = VideoFrame.from_ndarray(np.repeat(grey[:, :, None], 3, axis=2), format="rgb24")
        frame.pts, frame.time_base = pts, time_base
        return frame


class Tone(AudioStreamTrack):
    """440 Hz, mono, 48 kHz."""

    async def recv(self) -> AudioFrame:
        silence = await super().recv()  # keeps the pace: 20 ms at 8 kHz
        samples = 960
        assert silence.pts is not None
        start = silence.pts * 6
        angle = 2 * np.pi * 440 / 48000 * np.arange(start, start + samples)
        frame = AudioFrame.from_ndarray((8000 * np.sin(angle)).astype(np.int16)[None, :], layout="mono")
        frame.pts, frame.sample_rate, frame.time_base = start, 48000, fractions.Fraction(1, 48000)
        return frame


def usable_capabilities(router: dict[str, Any]) -> dict[str, Any]:
    """What aiortc can receive of a router's RTP capabilities, as RTP capabilities."""
    media = {
        codec["preferredPayloadType"]: codec
        for codec in router["codecs"]
        if codec["mimeType"].lower() in CODECS
    }
    rtx = [codec for codec in router["codecs"] if codec.get("parameters", {}).get("apt") in media]
    return {
        "codecs": [{**codec, "rtcpFeedback": _feedback(codec)} for codec in [*media.values(), *rtx]],
        "headerExtensions": [each for each in router["headerExtensions"] if each["uri"] in HEADER_EXTENSIONS],
    }


def _feedback(codec: dict[str, Any]) -> list[dict[str, Any]]:
    if codec["kind"] == "audio":
        return []
    return [
        each
        for each in codec.get("rtcpFeedback", [])
        if (each["type"], each.get("parameter") or "") in FEEDBACK
    ]


def _is_rtx(codec: dict[str, Any]) -> bool:
    return str(codec["mimeType"]).lower().endswith("/rtx")


def _codec_parameters(capability: dict[str, Any]) -> dict[str, Any]:
    parameters = {
        key: value for key, value in capability.items() if key not in ("kind", "preferredPayloadType")
    }
    return {**parameters, "payloadType": capability["preferredPayloadType"]}


def _codec(codec: dict[str, Any]) -> RTCRtpCodecParameters:
    feedback = [
        RTCRtcpFeedback(each["type"], each.get("parameter") or None) for each in codec["rtcpFeedback"]
    ]
    return RTCRtpCodecParameters(
        mimeType=codec["mimeType"],
        clockRate=codec["clockRate"],
        channels=codec.get("channels"),
        payloadType=codec["payloadType"],
        rtcpFeedback=feedback,
        parameters=codec.get("parameters", {}),
    )


def _header_extension(extension: dict[str, Any]) -> RTCRtpHeaderExtensionParameters:
    return RTCRtpHeaderExtensionParameters(id=extension["id"], uri=extension["uri"])


def _receiving_parameters(given: dict[str, Any]) -> RTCRtpReceiveParameters:
    encodings = [
        RTCRtpDecodingParameters(
            ssrc=each["ssrc"],
            payloadType=given["codecs"][0]["payloadType"],
            rtx=RTCRtpRtxParameters(each["rtx"]["ssrc"]) if each.get("rtx") else None,
        )
        for each in given["encodings"]
    ]
    return RTCRtpReceiveParameters(
        codecs=[_codec(codec) for codec in given["codecs"]],
        headerExtensions=[_header_extension(each) for each in given["headerExtensions"]],
        muxId=given["mid"],
        rtcp=RTCRtcpParameters(cname=given["rtcp"]["cname"], mux=True),
        encodings=encodings,
    )


def _ice_candidate(candidate: dict[str, Any]) -> RTCIceCandidate:
    return RTCIceCandidate(
        component=1,
        foundation=candidate["foundation"],
        ip=candidate["address"],
        port=candidate["port"],
        priority=candidate["priority"],
        protocol=candidate["protocol"],
        type=candidate["type"],
    )
