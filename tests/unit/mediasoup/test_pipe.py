import asyncio

import msgspec
import pytest

from sfu_core.channel import messages as m
from sfu_core.channel.place import Place
from sfu_core.errors import NotFoundError, SfuError, UnsupportedError
from sfu_core.mediasoup import pipe

from .fakes import CODECS, LOOPBACK, FakeChannel, Room, record


@pytest.fixture
def far(runner):
    """A room of another worker."""
    return runner.run(Room.open(FakeChannel(runner.get_loop())))


def pipes_of(room):
    return [t for t in room.router._transports.values() if t.type == "pipe"]


async def test_media(room, far):
    producer = await room.video(await room.plain(), paused=True, app_data={"who": "me"})
    room.channel.answers[m.TransportConsume] = lambda r: m.TransportConsumeResponse(
        paused=False,
        producer_paused=True,
        score=m.ConsumerScores(score=10, producer_score=10, producer_scores=[]),
    )
    result = await room.router.pipe_to_router(producer_id=producer.id, router=far.router)
    consumer, piped = result.pipe_consumer, result.pipe_producer
    assert result.pipe_data_consumer is None and result.pipe_data_producer is None
    assert consumer.type == "pipe" and consumer.producer_id == producer.id
    assert piped.id == producer.id and piped.kind == "video" and piped.paused
    assert piped.app_data == consumer.app_data == {"who": "me"}
    sent = far.channel.last(m.TransportProduce).rtp_parameters
    assert [e.ssrc for e in sent.encodings] == [e["ssrc"] for e in consumer.rtp_parameters["encodings"]]
    (local,), (remote,) = pipes_of(room), pipes_of(far)
    assert local.tuple["remoteIp"] == remote.tuple["remoteIp"] == "127.0.0.1"
    options = room.channel.last(m.RouterCreatePipeTransport).options
    assert options.base.enable_sctp and not options.enable_rtx and not options.enable_srtp
    assert options.listen_info.ip == "127.0.0.1" and options.listen_info.port == 0
    assert far.router.can_consume(producer_id=producer.id, rtp_capabilities=far.router.rtp_capabilities)


async def test_data(room, far):
    transport = await room.plain(enable_sctp=True)
    producer = await transport.produce_data(sctp_stream_parameters={"streamId": 5}, label="l", protocol="p")
    result = await room.router.pipe_to_router(data_producer_id=producer.id, router=far.router)
    consumer, piped = result.pipe_data_consumer, result.pipe_data_producer
    assert piped.id == producer.id and (piped.label, piped.protocol) == ("l", "p")
    assert piped.sctp_stream_parameters == consumer.sctp_stream_parameters == {"streamId": 0, "ordered": True}
    piped.close()
    assert consumer.closed
    again = await room.router.pipe_to_router(data_producer_id=producer.id, router=far.router)
    room.channel.news(again.pipe_data_consumer, m.DataConsumerDataProducerClose())
    assert again.pipe_data_producer.closed


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({}, "producer_id, data_producer_id"),
        ({"producer_id": "x", "data_producer_id": "y"}, "producer_id and data_producer_id"),
        ({"producer_id": 1}, "producer_id"),
        ({"producer_id": "x", "router": None}, "router"),
        ({"producer_id": "x", "router": "self"}, "router"),
        ({"producer_id": "x", "listen_info": LOOPBACK, "listen_ip": "127.0.0.1"}, "listen_info and listen_ip"),
        ({"producer_id": "x", "keep_id": 1}, "keep_id"),
        ({"producer_id": "x", "enable_rtx": 1}, "enable_rtx"),
    ],
)
async def test_wrong_arguments(room, far, options, argument):
    options = {"router": far.router} | options
    if options["router"] == "self":
        options["router"] = room.router
    with pytest.raises(TypeError, match=argument):
        await room.router.pipe_to_router(**options)


async def test_unknown_producers(room, far):
    with pytest.raises(NotFoundError, match="producer_id"):
        await room.router.pipe_to_router(producer_id="x", router=far.router)
    with pytest.raises(NotFoundError, match="data_producer_id"):
        await room.router.pipe_to_router(data_producer_id="x", router=far.router)
    assert not pipes_of(room)


async def test_options(room, far):
    producer = await room.video(await room.plain())
    await room.router.pipe_to_router(
        producer_id=producer.id,
        router=far.router,
        keep_id=False,
        listen_ip={"ip": "127.0.0.5"},
        enable_rtx=True,
        enable_srtp=True,
        enable_sctp=False,
        max_send_message_size=7,
    )
    for side in (room, far):
        options = side.channel.last(m.RouterCreatePipeTransport).options
        assert options.enable_rtx and options.enable_srtp and not options.base.enable_sctp
        assert options.listen_info.ip == "127.0.0.5" and options.base.max_send_message_size == 7
        key = side.channel.last(m.PipeTransportConnect).srtp_parameters
        assert key.crypto_suite is m.SrtpCryptoSuite.AEAD_AES_256_GCM
    assert far.channel.last(m.TransportProduce).producer_id != producer.id


def settle(room, host_id, *addresses):
    """The room's worker is on that host, which announces these addresses."""
    room.channel.place = Place(host_id=host_id, announced_addresses=addresses)


@pytest.mark.parametrize(
    ("ours", "theirs", "met"),
    [
        (["10.0.0.1"], ["10.0.0.2"], ("0.0.0.0", "10.0.0.1", "10.0.0.2")),
        (["2001:db8::1", "10.0.0.1"], ["10.0.0.2"], ("0.0.0.0", "10.0.0.1", "10.0.0.2")),
        (["10.0.0.1", "2001:db8::1"], ["2001:db8::2", "10.0.0.2"], ("0.0.0.0", "10.0.0.1", "10.0.0.2")),
        (["2001:db8::1", "10.0.0.1"], ["10.0.0.2", "2001:db8::2"], ("::", "2001:db8::1", "2001:db8::2")),
        (["sfu.example", "10.0.0.1"], ["10.0.0.2"], ("0.0.0.0", "10.0.0.1", "10.0.0.2")),
    ],
)
async def test_between_hosts(room, far, ours, theirs, met):
    settle(room, "a", *ours)
    settle(far, "b", *theirs)
    producer = await room.audio(await room.plain())
    await room.router.pipe_to_router(producer_id=producer.id, router=far.router)
    for side, address in zip((room, far), met[1:], strict=True):
        options = side.channel.last(m.RouterCreatePipeTransport).options
        assert options.enable_rtx and options.enable_srtp
        assert (options.listen_info.ip, options.listen_info.announced_address) == (met[0], address)
        assert side.channel.last(m.PipeTransportConnect).srtp_parameters is not None


async def test_between_hosts_the_callers_word_counts(room, far):
    settle(room, "a")
    settle(far, "b")
    producer = await room.audio(await room.plain())
    given = {"listen_info": LOOPBACK | {"ip": "127.0.0.5"}, "enable_srtp": False, "enable_rtx": False}
    await room.router.pipe_to_router(producer_id=producer.id, router=far.router, **given)
    for side in (room, far):
        options = side.channel.last(m.RouterCreatePipeTransport).options
        assert not options.enable_rtx and not options.enable_srtp and options.listen_info.ip == "127.0.0.5"


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        ([], ["10.0.0.2"], "host a announces no address"),
        (["10.0.0.1"], [], "host b announces no address"),
        (["10.0.0.1"], ["2001:db8::2"], "IP version"),
    ],
)
async def test_hosts_that_cannot_meet(room, far, ours, theirs, message):
    settle(room, "a", *ours)
    settle(far, "b", *theirs)
    producer = await room.audio(await room.plain())
    with pytest.raises(SfuError, match=message):
        await room.router.pipe_to_router(producer_id=producer.id, router=far.router)
    assert pipes_of(room) == pipes_of(far) == [] and not room.router._pipes


async def test_one_pair_of_transports_for_all(room, far):
    transport, far_transport = await room.plain(), await far.plain()
    audio, video, back = await room.audio(transport), await room.video(transport), await far.audio(far_transport)
    await asyncio.gather(
        room.router.pipe_to_router(producer_id=audio.id, router=far.router),
        room.router.pipe_to_router(producer_id=video.id, router=far.router),
        far.router.pipe_to_router(producer_id=back.id, router=room.router),
    )
    assert len(pipes_of(room)) == len(pipes_of(far)) == 1


async def test_cancelling_one_call_does_not_hurt_the_others(room, far):
    transport = await room.plain()
    audio, video = await room.audio(transport), await room.video(transport)
    first = asyncio.ensure_future(room.router.pipe_to_router(producer_id=audio.id, router=far.router))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(room.router.pipe_to_router(producer_id=video.id, router=far.router))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).pipe_producer.id == video.id
    assert first.cancelled() and len(pipes_of(room)) == 1


async def test_closing_one_end_closes_the_other_and_forgets_both(room, far):
    producer = await room.audio(await room.plain())
    result = await room.router.pipe_to_router(producer_id=producer.id, router=far.router)
    (local,), (remote,) = pipes_of(room), pipes_of(far)
    log = []
    record(log, local=local, remote=remote, consumer=result.pipe_consumer, piped=result.pipe_producer)
    remote.close()
    assert local.closed and not room.router._pipes and not far.router._pipes
    assert log == [
        "consumer observer close",
        "piped transportclose",
        "piped observer close",
        "local observer close",
        "remote observer close",
    ]
    await room.router.pipe_to_router(producer_id=producer.id, router=far.router)
    assert pipes_of(room) != [local]


async def test_the_far_router_closes(room, far):
    producer = await room.audio(await room.plain())
    result = await room.router.pipe_to_router(producer_id=producer.id, router=far.router)
    far.router.close()
    assert result.pipe_consumer.closed and not pipes_of(room) and not room.router._pipes
    assert not producer.closed


async def test_what_is_mirrored(room, far):
    producer = await room.audio(await room.plain())
    result = await room.router.pipe_to_router(producer_id=producer.id, router=far.router)
    consumer, piped = result.pipe_consumer, result.pipe_producer
    room.channel.news(consumer, m.ConsumerProducerPause())
    await asyncio.sleep(0.01)
    assert piped.paused
    room.channel.news(consumer, m.ConsumerProducerResume())
    await asyncio.sleep(0.01)
    assert not piped.paused and not pipe._running
    far.channel.answers[m.ProducerPause] = SfuError("whatever")
    room.channel.news(consumer, m.ConsumerProducerPause())
    await asyncio.sleep(0.01)  # logged, nothing else
    room.channel.news(consumer, m.ConsumerProducerClose())
    assert piped.closed


async def test_closing_the_far_producer_closes_the_consumer(room, far):
    producer = await room.audio(await room.plain())
    result = await room.router.pipe_to_router(producer_id=producer.id, router=far.router)
    result.pipe_producer.close()
    assert result.pipe_consumer.closed and not producer.closed


async def test_pausing_meanwhile(room, far):
    producer = await room.audio(await room.plain())
    answer = far.channel.answers[m.TransportProduce]

    async def pause_meanwhile(request):
        await producer.pause()
        return answer(request)

    far.channel.answers[m.TransportProduce] = pause_meanwhile
    result = await room.router.pipe_to_router(producer_id=producer.id, router=far.router)
    assert result.pipe_producer.paused


@pytest.mark.parametrize("who", ["producer", "consumer"])
async def test_closing_meanwhile(room, far, who):
    producer = await room.audio(await room.plain())
    answer = far.channel.answers[m.TransportProduce]

    def close_meanwhile(request):
        if who == "producer":
            producer.close()
        for consumer in pipes_of(room)[0]._consumers.copy().values():
            room.channel.news(consumer, m.ConsumerProducerClose())
        return answer(request)

    far.channel.answers[m.TransportProduce] = close_meanwhile
    with pytest.raises(NotFoundError, match="closed while"):
        await room.router.pipe_to_router(producer_id=producer.id, router=far.router)
    assert not pipes_of(far)[0]._producers and not pipes_of(room)[0]._consumers


async def test_a_failing_half_takes_the_other_along(room, far):
    producer = await room.audio(await room.plain())
    far.channel.answers[m.TransportProduce] = SfuError("duplicate id")
    with pytest.raises(SfuError, match="duplicate id"):
        await room.router.pipe_to_router(producer_id=producer.id, router=far.router)
    assert not pipes_of(room)[0]._consumers


@pytest.mark.parametrize("kind", [m.RouterCreatePipeTransport, m.PipeTransportConnect])
async def test_a_pair_that_cannot_be_made(room, far, kind):
    producer = await room.audio(await room.plain())
    answer = far.channel.answers[kind]
    far.channel.answers[kind] = SfuError("no port")
    with pytest.raises(SfuError, match="no port"):
        await room.router.pipe_to_router(producer_id=producer.id, router=far.router)
    assert not pipes_of(room) and not pipes_of(far)
    assert not room.router._pipes and not far.router._pipes
    far.channel.answers[kind] = answer
    await room.router.pipe_to_router(producer_id=producer.id, router=far.router)


async def test_two_routers_of_one_worker(room, channel):
    other = await room.worker.create_router(media_codecs=CODECS)
    producer = await room.audio(await room.plain())
    result = await room.router.pipe_to_router(producer_id=producer.id, router=other, keep_id=False)
    assert result.pipe_producer.id != producer.id


# Between workers that have their cores in common


def group(*rooms):
    for room in rooms:
        room.channel.place = msgspec.structs.replace(room.channel.place, mirror_group="g")


async def test_workers_with_the_same_cores_need_no_pipe(room, far):
    """A pair without sockets, whose ends know of each other by their ids; the rest is as with a pipe."""
    group(room, far)
    producer = await room.audio(await room.plain())
    result = await room.router.pipe_to_router(producer_id=producer.id, router=far.router, enable_srtp=True)
    (local,), (remote,) = pipes_of(room), pipes_of(far)
    for side, other in ((room, remote), (far, local)):
        asked = [type(message) for message, _ in side.channel.requests]
        assert m.RouterCreatePipeTransport not in asked and m.PipeTransportConnect not in asked
        assert side.channel.last(m.MirrorTransportConnect).transport_id == other.id
        options = side.channel.last(m.RouterCreateMirrorTransport).options
        assert options.enable_srtp and not options.enable_rtx and options.listen_info.ip == "127.0.0.1"
    ssrcs = [encoding["ssrc"] for encoding in result.pipe_consumer.rtp_parameters["encodings"]]
    assert [each.ssrc for each in far.channel.last(m.TransportProduce).rtp_parameters.encodings] == ssrcs
    back = await far.audio(await far.plain())
    await far.router.pipe_to_router(producer_id=back.id, router=room.router)
    assert len(pipes_of(room)) == len(pipes_of(far)) == 1
    remote.close()
    assert local.closed and producer.closed is False and not room.router._pipes and not far.router._pipes


@pytest.mark.parametrize("difference", ["groups", "numbers", "codecs"])
async def test_who_cannot_mirror_pipes(room, far, difference):
    group(*([room, far] if difference != "groups" else [room]))
    producer = await room.audio(await room.plain())
    if difference == "numbers":
        far.router.update_media_codecs([CODECS[0] | {"preferredPayloadType": 127}])
    elif difference == "codecs":
        far.router.update_media_codecs([CODECS[1]])
        with pytest.raises(UnsupportedError):
            await room.router.pipe_to_router(producer_id=producer.id, router=far.router)
    if difference != "codecs":
        await room.router.pipe_to_router(producer_id=producer.id, router=far.router)
    asked = [type(message) for message, _ in room.channel.requests]
    assert m.RouterCreatePipeTransport in asked and m.RouterCreateMirrorTransport not in asked


async def test_some_are_mirrored_and_some_piped(room, far):
    """Each kind has a pair of its own, made once."""
    group(room, far)
    transport = await room.plain()
    audio, video = await room.audio(transport), await room.video(transport)
    (same,) = {codec["payloadType"] for codec in video.consumable_rtp_parameters["codecs"][:1]}
    far.router.update_media_codecs(
        [CODECS[0] | {"preferredPayloadType": 127}, CODECS[1] | {"preferredPayloadType": same}]
    )
    for producer in (audio, video):
        await room.router.pipe_to_router(producer_id=producer.id, router=far.router)
    kinds = [type(each) for each, _ in room.channel.requests if isinstance(each, pipe.CreatePipe)]
    assert kinds == [m.RouterCreatePipeTransport, m.RouterCreateMirrorTransport]
    assert len(room.router._pipes) == len(far.router._pipes) == 2


async def test_a_mirror_that_cannot_be_joined(room, far):
    group(room, far)
    far.channel.answers[m.MirrorTransportConnect] = SfuError("no")
    producer = await room.audio(await room.plain())
    with pytest.raises(SfuError, match="no"):
        await room.router.pipe_to_router(producer_id=producer.id, router=far.router)
    assert pipes_of(room) == pipes_of(far) == [] and not room.router._pipes
