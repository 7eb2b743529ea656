"""Shorthands for what conformance tests put into a router, and how they watch it."""

import asyncio
import socket
import struct

CODECS = [
    {"kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2, "parameters": {"foo": "bar"}},
    {"kind": "video", "mimeType": "video/VP8", "clockRate": 90000},
    {
        "kind": "video",
        "mimeType": "video/H264",
        "clockRate": 90000,
        "parameters": {"level-asymmetry-allowed": 1, "packetization-mode": 1, "profile-level-id": "4d0032"},
    },
]
LOOPBACK = {"protocol": "udp", "ip": "127.0.0.1"}
FINGERPRINT = {
    "algorithm": "sha-256",
    "value": "82:5A:68:3D:36:C3:0A:DE:AF:E7:32:43:D2:88:83:57:AC:2D:65:E5:80:C4:B6:FB:AF:1A:A0:21:9F:6D:0C:AD",
}
MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
ORIENTATION = "urn:3gpp:video-orientation"


def audio_parameters(ssrc=11111111, mid="AUDIO", **more):
    parameters = {
        "mid": mid,
        "codecs": [
            {
                "mimeType": "audio/opus",
                "payloadType": 111,
                "clockRate": 48000,
                "channels": 2,
                "parameters": {"useinbandfec": 1, "usedtx": 1, "foo": 222.222, "bar": "333"},
            }
        ],
        "headerExtensions": [{"uri": MID, "id": 10}, {"uri": AUDIO_LEVEL, "id": 12}],
        "encodings": [{"ssrc": ssrc, "dtx": True}],
        "rtcp": {"cname": "FOOBAR"},
    }
    return parameters | more


def video_parameters(ssrc=22222222, mid="VIDEO", **more):
    parameters = {
        "mid": mid,
        "codecs": [
            {
                "mimeType": "video/h264",
                "payloadType": 112,
                "clockRate": 90000,
                "parameters": {"packetization-mode": 1, "profile-level-id": "4d0032"},
                "rtcpFeedback": [{"type": "nack"}, {"type": "nack", "parameter": "pli"}, {"type": "goog-remb"}],
            },
            {"mimeType": "video/rtx", "payloadType": 113, "clockRate": 90000, "parameters": {"apt": 112}},
        ],
        "headerExtensions": [{"uri": MID, "id": 10}, {"uri": ORIENTATION, "id": 13}],
        "encodings": [{"ssrc": ssrc, "rtx": {"ssrc": ssrc + 1}}],
        "rtcp": {"cname": "FOOBAR"},
    }
    return parameters | more


def simulcast_parameters(**more):
    encodings = [{"ssrc": 22222222 + 2 * n, "rtx": {"ssrc": 22222223 + 2 * n}} for n in range(3)]
    return video_parameters(encodings=encodings, **more)


def rtp(ssrc, sequence, payload=b"\x78" + bytes(40), payload_type=111, timestamp=None):
    """An RTP packet (RFC 3550 §5.1)."""
    stamp = sequence * 960 if timestamp is None else timestamp
    return struct.pack("!BBHII", 0x80, payload_type, sequence, stamp, ssrc) + payload


class Room:
    def __init__(self, router):
        self.router = router

    async def webrtc(self, **options):
        return await self.router.create_webrtc_transport(**{"listen_infos": [LOOPBACK]} | options)

    async def plain(self, **options):
        return await self.router.create_plain_transport(**{"listen_info": LOOPBACK} | options)

    async def pipe(self, **options):
        return await self.router.create_pipe_transport(**{"listen_info": LOOPBACK} | options)

    async def direct(self, **options):
        return await self.router.create_direct_transport(**options)

    async def audio(self, transport, ssrc=11111111, mid="AUDIO", **options):
        parameters = audio_parameters(ssrc, mid)
        return await transport.produce(kind="audio", rtp_parameters=parameters, **options)

    async def video(self, transport, ssrc=22222222, mid="VIDEO", **options):
        parameters = video_parameters(ssrc, mid)
        return await transport.produce(kind="video", rtp_parameters=parameters, **options)

    async def consume(self, transport, producer, **options):
        capabilities = self.router.rtp_capabilities
        return await transport.consume(producer_id=producer.id, rtp_capabilities=capabilities, **options)


class Events:
    """Writes down the events of objects and of their observers, in order."""

    def __init__(self, **objects):
        self.log = []
        for name, entity in objects.items():
            self._watch(name, entity)
            self._watch(f"{name} observer", entity.observer)

    def _watch(self, name, emitter):
        def emit(event, *args, of=emitter.emit, **kwargs):
            if event != "new_listener":  # pyee tells of listeners, too
                self.log.append(f"{name} {event}")
            return of(event, *args, **kwargs)

        emitter.emit = emit

    async def until(self, event, timeout=3.0):
        """Waits for an event that may have come already."""
        async with asyncio.timeout(timeout):
            while event not in self.log:
                await asyncio.sleep(0.005)


async def eventually(condition, timeout=3.0):
    """Waits until `condition()` is true, sync or async; its last value."""
    async with asyncio.timeout(timeout):
        while True:
            value = condition()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return value
            await asyncio.sleep(0.01)


def free_port(kind=socket.SOCK_DGRAM, ip="127.0.0.1"):
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind((ip, 0))
        return sock.getsockname()[1]


def udp_socket(ip="127.0.0.1"):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((ip, 0))
    sock.setblocking(False)
    return sock


def ids(items):
    return sorted(item.id for item in items)
