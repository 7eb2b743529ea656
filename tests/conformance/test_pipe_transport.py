import asyncio

import pytest

from sfu_core.errors import NotFoundError, SfuError, UnsupportedError

from .room import CODECS, LOOPBACK, Events, Room, eventually, rtp

KEY_256 = "YTdjcDBqYzlraXB4cmhndXJ5d2w4a2I5c3Z5a2I1OXNsdmYxYnQ3aG9vYTg="


@pytest.fixture
def far(runner, worker):
    """Another room of the same worker."""
    router = runner.run(worker.create_router(media_codecs=CODECS))
    yield Room(router)
    router.close()


@pytest.fixture
def abroad(runner, mediasoup):
    """A room of another worker."""
    worker = runner.run(mediasoup.create_worker())
    yield Room(runner.run(worker.create_router(media_codecs=CODECS)))
    runner.run(worker.__aexit__(None, None, None))


async def pipe(here, there, producer, **options):
    return await here.router.pipe_to_router(producer_id=producer.id, router=there.router, **options)


async def test_creating(room):
    transport = await room.pipe(listen_info=LOOPBACK | {"announcedAddress": "9.9.9.1"}, app_data={"a": 1})
    assert transport.type == "pipe" and transport.app_data == {"a": 1}
    assert transport.tuple["localAddress"] == "9.9.9.1" and "remoteIp" not in transport.tuple
    assert transport.srtp_parameters is None
    dump = await transport.dump()
    assert dump["tuple"] == transport.tuple and dump["rtx"] is False and "srtpParameters" not in dump
    (stats,) = await transport.get_stats()
    assert stats["type"] == "pipe-transport" and stats["tuple"] == transport.tuple
    with pytest.raises(TypeError, match="listen_info"):
        await room.router.create_pipe_transport()
    with pytest.raises(TypeError, match="protocol"):
        await room.pipe(listen_info=LOOPBACK | {"protocol": "tcp"})


async def test_connecting(room):
    transport = await room.pipe()
    for wrong in ({}, {"ip": "127.0.0.1"}, {"port": 1}, {"ip": "x", "port": 1}, {"ip": "127.0.0.1", "port": "1"}):
        with pytest.raises(TypeError):
            await transport.connect(**wrong)
    unexpected = {"cryptoSuite": "AEAD_AES_256_GCM", "keyBase64": KEY_256}
    with pytest.raises(TypeError):
        await transport.connect(ip="127.0.0.1", port=9999, srtp_parameters=unexpected)
    await transport.connect(ip="127.0.0.1", port=9999)
    assert transport.tuple["remoteIp"] == "127.0.0.1" and transport.tuple["remotePort"] == 9999
    with pytest.raises(SfuError):
        await transport.connect(ip="127.0.0.1", port=9999)


async def test_srtp(room):
    transport = await room.pipe(enable_srtp=True)
    assert transport.srtp_parameters["cryptoSuite"] == "AEAD_AES_256_GCM"
    assert len(transport.srtp_parameters["keyBase64"]) == 60
    good = {"cryptoSuite": "AEAD_AES_256_GCM", "keyBase64": KEY_256}
    for wrong in (None, good | {"cryptoSuite": "AES_CM_128_HMAC_SHA1_80"}, good | {"keyBase64": "eA=="}):
        with pytest.raises(TypeError):
            await transport.connect(ip="127.0.0.2", port=9999, srtp_parameters=wrong)
    await transport.connect(ip="127.0.0.2", port=9999, srtp_parameters=good)


@pytest.mark.parametrize("rtx", [False, True])
async def test_its_consumers(room, rtx):
    producer = await room.video(await room.plain())
    transport = await room.pipe(enable_rtx=rtx)
    consumer = await transport.consume(producer_id=producer.id, app_data={"b": 2})
    assert consumer.type == "pipe" and consumer.kind == "video" and consumer.app_data == {"b": 2}
    assert not consumer.paused and not consumer.producer_paused
    assert consumer.score == {"score": 10, "producerScore": 10, "producerScores": []}
    parameters = consumer.rtp_parameters
    assert "mid" not in parameters
    assert len(parameters["codecs"]) == (2 if rtx else 1)
    assert {"type": "nack", "parameter": "pli"} in parameters["codecs"][0]["rtcpFeedback"]
    assert ({"type": "nack", "parameter": ""} in parameters["codecs"][0]["rtcpFeedback"]) is rtx
    uris = [extension["uri"] for extension in parameters["headerExtensions"]]
    assert not any("sdes:mid" in uri or "abs-send-time" in uri or "transport-wide-cc" in uri for uri in uris)
    dump = await consumer.dump()
    assert dump["type"] == "pipe" and len(dump["rtpStreams"]) == 1
    assert (await transport.dump())["rtx"] is rtx


async def test_piping(room, abroad):
    producer = await room.audio(await room.plain(), app_data={"who": "me"})
    result = await pipe(room, abroad, producer)
    consumer, piped = result.pipe_consumer, result.pipe_producer
    assert consumer.producer_id == piped.id == producer.id
    assert consumer.type == "pipe" and piped.type == "simple" and piped.kind == "audio"
    assert piped.app_data == {"who": "me"} and not piped.paused
    assert piped.rtp_parameters["encodings"][0]["ssrc"] == consumer.rtp_parameters["encodings"][0]["ssrc"]
    (here,) = (await room.router.dump())["mapConsumerIdProducerId"]
    assert here == {"key": consumer.id, "value": producer.id}
    assert (await abroad.router.dump())["mapProducerIdConsumerIds"] == [{"key": producer.id, "values": []}]


@pytest.mark.parametrize("options", [{}, {"enable_srtp": True}, {"enable_rtx": True}], ids=["clear", "srtp", "rtx"])
async def test_packets_go_through(room, abroad, options):
    sender, receiver = await room.direct(), await abroad.direct()
    producer = await room.audio(sender)
    piped = (await pipe(room, abroad, producer, **options)).pipe_producer
    consumer = await abroad.consume(receiver, piped)
    packets = []
    consumer.on("rtp", packets.append)
    for sequence in range(1, 21):
        producer.send(rtp(11111111, sequence, payload=bytes([0x78, sequence])))
        await asyncio.sleep(0.001)
    await eventually(lambda: len(packets) == 20)
    assert [packet[-1] for packet in packets] == list(range(1, 21))
    (stats,) = await piped.get_stats()
    assert stats["packetCount"] == 20 and stats["packetsLost"] == 0


async def test_within_one_worker(room, far):
    producer = await room.audio(await room.plain())
    with pytest.raises(SfuError):
        await pipe(room, far, producer)  # the same id twice in a worker
    result = await pipe(room, far, producer, keep_id=False)
    assert result.pipe_producer.id != producer.id
    assert not any(consumer.closed for consumer in [result.pipe_consumer])


@pytest.mark.parametrize(
    ("change", "argument"),
    [
        ({"producer_id": None}, "producer_id"),
        ({"data_producer_id": "x"}, "data_producer_id"),
        ({"router": None}, "router"),
        ({"listen_info": LOOPBACK, "listen_ip": "127.0.0.1"}, "listen_ip"),
    ],
)
async def test_piping_with_wrong_arguments(room, far, change, argument):
    producer = await room.audio(await room.plain())
    options = {"producer_id": producer.id, "router": far.router} | change
    with pytest.raises(TypeError, match=argument):
        await room.router.pipe_to_router(**options)
    with pytest.raises(TypeError, match="router"):
        await room.router.pipe_to_router(producer_id=producer.id, router=room.router)
    with pytest.raises(NotFoundError, match="producer_id"):
        await room.router.pipe_to_router(producer_id="nobody", router=far.router)


async def test_one_pair_of_transports(room, far):
    transport, far_transport = await room.plain(), await far.plain()
    there = [await room.audio(transport), await room.video(transport)]
    back = await far.audio(far_transport)
    await asyncio.gather(
        *(pipe(room, far, producer, keep_id=False) for producer in there),
        pipe(far, room, back, keep_id=False),
    )
    assert len((await room.router.dump())["transportIds"]) == 2
    assert len((await far.router.dump())["transportIds"]) == 2


async def test_a_paused_producer(room, far):
    producer = await room.audio(await room.plain(), paused=True)
    result = await pipe(room, far, producer, keep_id=False)
    assert result.pipe_consumer.producer_paused and result.pipe_producer.paused


async def test_pausing_and_resuming(room, far):
    producer = await room.audio(await room.plain())
    piped = (await pipe(room, far, producer, keep_id=False)).pipe_producer
    consumer = await far.consume(await far.plain(), piped)
    events = Events(consumer=consumer)
    await producer.pause()
    await events.until("consumer producerpause")
    assert piped.paused and consumer.producer_paused
    await producer.resume()
    await events.until("consumer producerresume")
    assert not piped.paused and not consumer.producer_paused


async def test_the_producer_closes(room, far):
    producer = await room.audio(await room.plain())
    result = await pipe(room, far, producer, keep_id=False)
    consumer = await far.consume(await far.plain(), result.pipe_producer)
    events = Events(consumer=consumer, piped=result.pipe_producer, pipeconsumer=result.pipe_consumer)
    producer.close()
    await events.until("consumer observer close")
    assert events.log == [
        "piped observer close",
        "pipeconsumer producerclose",
        "pipeconsumer observer close",
        "consumer producerclose",
        "consumer observer close",
    ]


async def test_one_end_closes(room, far):
    producer = await room.audio(await room.plain())
    result = await pipe(room, far, producer, keep_id=False)
    far.router.close()
    assert result.pipe_consumer.closed and not producer.closed
    assert len((await room.router.dump())["transportIds"]) == 1


async def test_sctp_is_for_later(room, far):
    """`pipe_to_router` asks for it whatever is piped, so only its use is refused."""
    transport = await room.pipe(enable_sctp=True)
    assert transport.sctp_parameters is None and transport.sctp_state is None
    with pytest.raises(UnsupportedError):
        await transport.produce_data(sctp_stream_parameters={"streamId": 1})


async def piped_between_cores(*workers):
    """How many producers workers that span several cores have brought from one to another."""
    counts = [(await worker.get_core_stats()).get("pipes", 0) for worker in workers]
    return sum(counts)


async def test_a_mesh_of_routers(request, mediasoup):
    """Every producer in every router: a worker for each core, a router for each worker (as EduMeet does it).

    Whatever carries it, each subscriber hears all; where workers share their cores, what nobody consumes is not piped.
    """
    workers = [await mediasoup.create_worker() for _ in range(3)]
    rooms = [Room(await worker.create_router(media_codecs=CODECS)) for worker in workers]
    producers = [await room.audio(await room.direct(), ssrc=index) for index, room in enumerate(rooms, 1)]
    for here, producer in zip(rooms, producers, strict=True):
        for there in rooms:
            if there is not here:
                await pipe(here, there, producer)
    shared = len({worker.channel.place.mirror_group for worker in workers} - {""}) == 1
    assert shared == ("vertical" in request.node.callspec.params["mediasoup"])
    assert await piped_between_cores(*workers) == 0
    heard = []
    for number, room in enumerate(rooms):
        transport = await room.direct()
        for index, producer in enumerate(producers):
            consumer = await room.consume(transport, producer)
            consumer.on("rtp", lambda packet, key=(number, index): heard.append((*key, packet[-1])))
    if shared:  # 9 consumers on 2 cores, 3 producers: each has one other core
        assert await piped_between_cores(*workers) <= 3
    for sequence in range(20):
        for index, producer in enumerate(producers, 1):
            producer.send(rtp(index, sequence, payload=bytes([0x78, sequence])))
        await asyncio.sleep(0.001)
    expected = [(number, index, sequence) for number in range(3) for index in range(3) for sequence in range(20)]
    await eventually(lambda: len(heard) >= len(expected))
    assert sorted(heard) == expected
    for worker in workers:
        await worker.__aexit__(None, None, None)
    assert all(producer.closed for producer in producers)
