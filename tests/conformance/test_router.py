import pytest

from sfu_core.errors import NotFoundError, SfuError, UnsupportedError

from .room import CODECS, Events, audio_parameters, eventually, ids

H264 = CODECS[2]


async def test_creating(worker):
    seen = []
    worker.observer.once("newrouter", seen.append)
    router = await worker.create_router(media_codecs=CODECS, app_data={"foo": 123})
    assert seen == [router]
    assert not router.closed and router.app_data == {"foo": 123}
    capabilities = router.rtp_capabilities
    assert [codec["mimeType"] for codec in capabilities["codecs"]] == [
        "audio/opus", "video/VP8", "video/rtx", "video/H264", "video/rtx",
    ]  # fmt: skip
    assert (await worker.dump())["routerIds"] == [router.id]
    assert await router.dump() == {
        "id": router.id,
        "transportIds": [],
        "rtpObserverIds": [],
        "mapProducerIdConsumerIds": [],
        "mapConsumerIdProducerId": [],
        "mapProducerIdObserverIds": [],
        "mapDataProducerIdDataConsumerIds": [],
        "mapDataConsumerIdDataProducerId": [],
    }
    router.close()
    assert router.closed and (await worker.dump())["routerIds"] == []


@pytest.mark.parametrize(
    ("options", "error", "argument"),
    [
        ({"media_codecs": {}}, TypeError, "media_codecs"),
        ({"media_codecs": [{"kind": "audio", "clockRate": 8000}]}, TypeError, "mimeType"),
        ({"media_codecs": [CODECS[0] | {"mimeType": "audio/chicken"}]}, UnsupportedError, "chicken"),
        ({"app_data": "NOT-AN-OBJECT"}, TypeError, "app_data"),
    ],
)
async def test_wrong_arguments(worker, options, error, argument):
    with pytest.raises(error, match=argument):
        await worker.create_router(**options)
    assert (await worker.dump())["routerIds"] == []


async def test_updating_codecs(router, room):
    producer = await room.audio(await room.plain())
    router.update_media_codecs([H264])
    assert [codec["mimeType"] for codec in router.rtp_capabilities["codecs"]] == ["video/H264", "video/rtx"]
    assert not producer.closed
    assert (await producer.dump())["id"] == producer.id


async def test_closing(worker, room, router):
    transport = await room.webrtc()
    producer = await room.audio(transport)
    consumer = await room.consume(await room.plain(), producer)
    events = Events(router=router, transport=transport, producer=producer, consumer=consumer)
    router.close()
    router.close()
    assert events.log == [
        "producer transportclose",
        "producer observer close",
        "transport routerclose",
        "transport observer close",
        "consumer transportclose",
        "consumer observer close",
        "router observer close",
    ]
    assert (await worker.dump())["routerIds"] == []
    with pytest.raises(NotFoundError):
        await router.dump()
    for call in (room.webrtc, room.plain, room.pipe, room.direct):
        with pytest.raises(NotFoundError):
            await call()


async def test_dump(room, router):
    transport = await room.plain()
    producer = await room.audio(transport)
    consumers = [await room.consume(transport, producer) for _ in range(2)]
    silent = await room.video(transport)
    dump = await router.dump()
    assert dump["transportIds"] == [transport.id]
    by_producer = {item["key"]: sorted(item["values"]) for item in dump["mapProducerIdConsumerIds"]}
    assert by_producer == {producer.id: ids(consumers), silent.id: []}
    by_consumer = {item["key"]: item["value"] for item in dump["mapConsumerIdProducerId"]}
    assert by_consumer == {consumer.id: producer.id for consumer in consumers}
    assert {item["key"]: item["values"] for item in dump["mapProducerIdObserverIds"]} == {
        producer.id: [], silent.id: [],
    }  # fmt: skip
    consumers[0].close()
    producer.close()
    dump = await router.dump()
    assert dump["mapProducerIdConsumerIds"] == [{"key": silent.id, "values": []}]
    assert dump["mapConsumerIdProducerId"] == []
    await eventually(lambda: consumers[1].closed)


async def test_can_consume(room, router):
    producer = await room.video(await room.plain())
    assert router.can_consume(producer_id=producer.id, rtp_capabilities=router.rtp_capabilities)
    assert not router.can_consume(producer_id="nobody", rtp_capabilities=router.rtp_capabilities)
    assert not router.can_consume(producer_id=producer.id, rtp_capabilities={"codecs": 1})
    audio_only = {"codecs": [c for c in router.rtp_capabilities["codecs"] if c["kind"] == "audio"]}
    assert not router.can_consume(producer_id=producer.id, rtp_capabilities=audio_only)


async def test_ids_are_unique_in_a_router(room):
    first, second = await room.plain(), await room.plain()
    producer = await room.audio(first, id="my-producer")
    with pytest.raises(SfuError):
        await second.produce(kind="audio", rtp_parameters=audio_parameters(7, "x"), id=producer.id)
