import asyncio

import pytest

from sfu_core.errors import NotFoundError, SfuError, UnsupportedError

from .room import (
    AUDIO_LEVEL,
    ORIENTATION,
    Events,
    audio_parameters,
    eventually,
    rtp,
    simulcast_parameters,
    udp_socket,
    video_parameters,
)


@pytest.fixture
def transport(runner, room):
    return runner.run(room.webrtc())


async def test_audio(room, transport):
    seen = []
    transport.observer.once("newproducer", seen.append)
    producer = await room.audio(transport, app_data={"foo": 1, "bar": "2"})
    assert seen == [producer]
    assert producer.kind == "audio" and producer.type == "simple" and not producer.paused and not producer.closed
    assert producer.score == [] and producer.app_data == {"foo": 1, "bar": "2"}
    assert producer.rtp_parameters["rtcp"] == {"cname": "FOOBAR", "reducedSize": True}
    consumable = producer.consumable_rtp_parameters
    assert consumable["codecs"][0]["payloadType"] == 100
    assert consumable["codecs"][0]["parameters"]["foo"] == 222.222
    dump = await transport.dump()
    assert dump["producerIds"] == [producer.id] and dump["consumerIds"] == []
    assert dump["rtpListener"] == {
        "ssrcTable": [{"key": 11111111, "value": producer.id}],
        "midTable": [{"key": "AUDIO", "value": producer.id}],
        "ridTable": [],
    }
    assert dump["recvRtpHeaderExtensions"] == {"mid": 10}


async def test_video(room, transport):
    producer = await room.video(transport, paused=True)
    assert producer.kind == "video" and producer.type == "simple" and producer.paused
    dump = await transport.dump()
    assert sorted(item["key"] for item in dump["rtpListener"]["ssrcTable"]) == [22222222, 22222223]
    codecs = producer.consumable_rtp_parameters["codecs"]
    assert [codec["mimeType"] for codec in codecs] == ["video/H264", "video/rtx"]
    assert codecs[0]["parameters"] == {"packetization-mode": 1, "profile-level-id": "4d0032"}


async def test_dump(room, transport):
    producer = await room.audio(transport)
    dump = await producer.dump()
    assert dump["id"] == producer.id and dump["kind"] == "audio" and dump["type"] == "simple"
    assert dump["paused"] is False and dump["traceEventTypes"] == [] and "rtpStreams" not in dump
    (codec,) = dump["rtpParameters"]["codecs"]
    assert codec["mimeType"] == "audio/opus" and codec["payloadType"] == 111
    assert codec["parameters"] == {"useinbandfec": 1, "usedtx": 1, "foo": 222.222, "bar": "333"}
    uris = [extension["uri"] for extension in dump["rtpParameters"]["headerExtensions"]]
    assert uris[1] == AUDIO_LEVEL
    (encoding,) = dump["rtpParameters"]["encodings"]
    assert encoding["ssrc"] == 11111111 and encoding["dtx"] is True and encoding["codecPayloadType"] == 111
    assert dump["rtpMapping"]["codecs"] == [{"payloadType": 111, "mappedPayloadType": 100}]
    (mapped,) = dump["rtpMapping"]["encodings"]
    assert mapped["ssrc"] == 11111111
    assert mapped["mappedSsrc"] == producer.consumable_rtp_parameters["encodings"][0]["ssrc"]
    assert await producer.get_stats() == []


@pytest.mark.parametrize(
    ("parameters", "error", "names"),
    [
        ({}, TypeError, "codecs"),
        (audio_parameters(codecs=[]), TypeError, "codecs"),
        (audio_parameters(codecs=[{"mimeType": "audio/opus"}]), TypeError, "clockRate"),
        (audio_parameters(headerExtensions=[{"uri": "urn:unknown", "id": 1}]), TypeError, "urn:unknown"),
        (audio_parameters(headerExtensions=[{"uri": AUDIO_LEVEL, "id": 0}]), TypeError, "id"),
        (audio_parameters(encodings=[{"ssrc": "1"}]), TypeError, "ssrc"),
        (audio_parameters(mid=None, encodings=[{}]), TypeError, ""),
        (audio_parameters(encodings=[{"ssrc": 1, "codecPayloadType": 99}]), TypeError, ""),
        (audio_parameters(rtcp="FOOBAR"), TypeError, "rtcp"),
        (video_parameters(codecs=video_parameters()["codecs"][1:]), TypeError, "apt"),
        (
            video_parameters(codecs=[*video_parameters()["codecs"][:1]] * 2),
            TypeError,
            "",
        ),
        (
            video_parameters(codecs=[video_parameters()["codecs"][0] | {"parameters": {"packetization-mode": 0}}]),
            UnsupportedError,
            "",
        ),
        (
            audio_parameters(codecs=[audio_parameters()["codecs"][0] | {"mimeType": "audio/ISAC", "clockRate": 32000}]),
            UnsupportedError,
            "ISAC",
        ),
    ],
)
async def test_wrong_parameters(transport, parameters, error, names):
    kind = "video" if parameters.get("mid") == "VIDEO" else "audio"
    with pytest.raises(error, match=names or None):
        await transport.produce(kind=kind, rtp_parameters=parameters)
    assert (await transport.dump())["producerIds"] == []


async def test_wrong_kind_and_app_data(transport):
    with pytest.raises(TypeError, match="kind"):
        await transport.produce(kind="chicken", rtp_parameters=audio_parameters())
    with pytest.raises(TypeError, match="app_data"):
        await transport.produce(kind="audio", rtp_parameters=audio_parameters(), app_data="NOT-AN-OBJECT")


async def test_mids_and_ssrcs_belong_to_one(room, transport):
    await room.audio(transport)
    with pytest.raises(SfuError):
        await room.audio(transport, ssrc=33333333)  # the same MID
    with pytest.raises(SfuError):
        await room.audio(transport, mid="OTHER")  # the same SSRC
    with pytest.raises(SfuError):
        await room.video(transport, ssrc=11111110)  # its RTX has that SSRC
    other = await room.webrtc()
    await room.audio(other)


async def test_without_an_ssrc(transport):
    parameters = audio_parameters(encodings=[])
    producer = await transport.produce(kind="audio", rtp_parameters=parameters)
    assert len((await producer.dump())["rtpParameters"]["encodings"]) == 1
    assert (await transport.dump())["rtpListener"]["ssrcTable"] == []


async def test_pausing(room, transport):
    producer = await room.audio(transport)
    events = Events(producer=producer)
    await producer.pause()
    await producer.pause()
    assert producer.paused and (await producer.dump())["paused"] is True
    await producer.resume()
    await producer.resume()
    assert not producer.paused and (await producer.dump())["paused"] is False
    assert events.log == ["producer observer pause", "producer observer resume"]


async def test_trace_events(room, transport):
    producer = await room.audio(transport)

    async def enabled(types):
        await producer.enable_trace_event(types)
        return sorted((await producer.dump())["traceEventTypes"])

    assert await enabled(["rtp", "pli"]) == ["pli", "rtp"]
    assert await enabled([]) == []
    assert await enabled(["nack", "FOO", "fir", "sr"]) == ["fir", "nack", "sr"]
    assert await enabled([]) == []
    for wrong in (123, "rtp", ["fir", 123.123]):
        with pytest.raises(TypeError, match="types"):
            await producer.enable_trace_event(wrong)


async def test_tracing(room):
    transport = await room.direct()
    producer = await room.audio(transport)
    await producer.enable_trace_event(["rtp"])
    seen, observed = [], []
    producer.on("trace", seen.append)
    producer.observer.on("trace", observed.append)
    producer.send(rtp(11111111, 77))
    await eventually(lambda: observed)
    (trace,) = seen
    assert observed == seen
    assert trace["type"] == "rtp" and trace["direction"] == "in" and isinstance(trace["timestamp"], int)
    packet = trace["info"]["rtpPacket"]
    assert trace["info"]["isRtx"] is False
    assert (packet["ssrc"], packet["sequenceNumber"], packet["payloadType"]) == (11111111, 77, 111)
    assert packet["size"] == 12 + 41 and packet["payloadSize"] == 41 and packet["marker"] is False


async def test_receiving(room):
    transport = await room.plain(comedia=True)
    producer = await room.audio(transport)
    events, scores = Events(producer=producer), []
    producer.on("score", scores.append)
    with udp_socket() as peer:
        for sequence in range(1, 51):
            peer.sendto(rtp(11111111, sequence), ("127.0.0.1", transport.tuple["localPort"]))
            await asyncio.sleep(0.001)
        await events.until("producer observer score")
        score = {"encodingIdx": 0, "ssrc": 11111111, "score": 10}
        assert scores[0] == [score] and producer.score == [score]

        async def all_in():
            (stats,) = await producer.get_stats()
            return stats if stats["packetCount"] == 50 and stats["bitrate"] > 0 else None

        stats = await eventually(all_in)
    assert stats["type"] == "inbound-rtp" and stats["ssrc"] == 11111111
    assert stats["kind"] == "audio" and stats["mimeType"] == "audio/opus"
    assert stats["byteCount"] == 50 * 53 and stats["score"] == 10
    for zero in (
        "packetsLost", "fractionLost", "packetsDiscarded", "packetsRetransmitted", "packetsRepaired",
        "nackCount", "nackPacketCount", "pliCount", "firCount",
    ):  # fmt: skip
        assert stats[zero] == 0, zero
    (stream,) = (await producer.dump())["rtpStreams"]
    assert stream["score"] == 10 and stream["params"]["ssrc"] == 11111111
    assert stream["params"]["mimeType"] == "audio/opus" and stream["params"]["clockRate"] == 48000
    assert stream["params"]["cname"] == "FOOBAR" and stream["params"]["useDtx"] is True


async def test_orientation(room):
    transport = await room.direct()
    extension = {"uri": ORIENTATION, "id": 13}
    producer = await transport.produce(kind="video", rtp_parameters=video_parameters(headerExtensions=[extension]))
    seen = []
    producer.on("videoorientationchange", seen.append)

    def send(sequence, value):
        header = bytearray(rtp(22222222, sequence, b"", payload_type=112))
        header[0] |= 0x10
        one_byte = bytes.fromhex("bede0001") + bytes([13 << 4, value, 0, 0])
        producer.send(bytes(header) + one_byte + b"\x67" + bytes(20))

    for sequence, value in enumerate((0b0000, 0b0000, 0b1001, 0b0110), 1):
        send(sequence, value)
    await eventually(lambda: len(seen) == 3)
    assert seen == [
        {"camera": False, "flip": False, "rotation": 0},
        {"camera": True, "flip": False, "rotation": 90},
        {"camera": False, "flip": True, "rotation": 180},
    ]


async def test_layers_are_for_later(transport):
    with pytest.raises(UnsupportedError, match="simulcast"):
        await transport.produce(kind="video", rtp_parameters=simulcast_parameters())
    layered = video_parameters(encodings=[{"ssrc": 5, "scalabilityMode": "L1T3"}])
    with pytest.raises(UnsupportedError, match="svc"):
        await transport.produce(kind="video", rtp_parameters=layered)
    opus = audio_parameters(encodings=[{"ssrc": 5}, {"ssrc": 6}])
    with pytest.raises(TypeError, match="opus"):
        await transport.produce(kind="audio", rtp_parameters=opus)
    assert (await transport.dump())["producerIds"] == []


async def test_closing(room, transport):
    producer = await room.audio(transport)
    events = Events(producer=producer)
    producer.close()
    producer.close()
    assert events.log == ["producer observer close"] and producer.closed
    assert (await transport.dump())["producerIds"] == []
    for call in (producer.dump, producer.get_stats, producer.pause, producer.resume, producer.enable_trace_event):
        with pytest.raises(NotFoundError):
            await call()
    await room.audio(transport)  # MID and SSRC are free again


async def test_the_transport_closes(room, transport):
    producer = await room.audio(transport)
    events = Events(producer=producer)
    transport.close()
    assert events.log == ["producer transportclose", "producer observer close"] and producer.closed
