import pytest

from sfu_core.errors import UnsupportedError

from .room import Room

SURROUND = {"num_streams": 4, "coupled_streams": 2, "channel_mapping": "0,4,1,2,3,5", "useinbandfec": 1}
CODEC = {"kind": "audio", "mimeType": "audio/multiopus", "clockRate": 48000, "channels": 6, "parameters": SURROUND}


@pytest.fixture
def room(runner, worker):
    router = runner.run(worker.create_router(media_codecs=[CODEC]))
    yield Room(router)
    router.close()


def parameters(**changes):
    codec = {"mimeType": "audio/multiopus", "payloadType": 111, "clockRate": 48000, "channels": 6}
    codec["parameters"] = SURROUND | changes
    return {"mid": "A", "codecs": [codec], "encodings": [{"ssrc": 7}]}


async def test_producing_and_consuming(room):
    transport = await room.plain()
    producer = await transport.produce(kind="audio", rtp_parameters=parameters())
    capabilities = room.router.rtp_capabilities
    assert room.router.can_consume(producer_id=producer.id, rtp_capabilities=capabilities)
    consumer = await room.consume(transport, producer)
    (codec,) = consumer.rtp_parameters["codecs"]
    assert (codec["mimeType"], codec["channels"], codec["parameters"]) == ("audio/multiopus", 6, SURROUND)
    assert (await consumer.dump())["rtpParameters"]["codecs"][0]["parameters"] == SURROUND
    capabilities["codecs"][0]["parameters"]["num_streams"] = 5
    assert not room.router.can_consume(producer_id=producer.id, rtp_capabilities=capabilities)
    with pytest.raises(UnsupportedError):
        await transport.consume(producer_id=producer.id, rtp_capabilities=capabilities)


@pytest.mark.parametrize("changes", [{"num_streams": 2}, {"coupled_streams": 1}, {"num_streams": "4"}])
async def test_other_streams(room, changes):
    transport = await room.plain()
    with pytest.raises(UnsupportedError, match="multiopus"):
        await transport.produce(kind="audio", rtp_parameters=parameters(**changes))


async def test_other_channels(worker):
    with pytest.raises(UnsupportedError, match="multiopus"):
        await worker.create_router(media_codecs=[CODEC | {"channels": 5}])
