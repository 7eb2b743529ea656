"""What is in the API and not yet in the worker: it says so, and leaves nothing behind."""

import pytest

from sfu_core.errors import UnsupportedError


@pytest.fixture
def transport(runner, room):
    return runner.run(room.direct())


async def test_data(transport):
    with pytest.raises(UnsupportedError):
        await transport.produce_data(label="chat")
    assert (await transport.dump())["dataProducerIds"] == []


async def test_rtp_observers(room):
    with pytest.raises(UnsupportedError):
        await room.router.create_audio_level_observer()
    with pytest.raises(UnsupportedError):
        await room.router.create_active_speaker_observer()
    assert (await room.router.dump())["rtpObserverIds"] == []


async def test_wrong_arguments_are_found_first(room, transport):
    with pytest.raises(TypeError, match="threshold"):
        await room.router.create_audio_level_observer(threshold=1)
    with pytest.raises(TypeError, match="interval"):
        await room.router.create_active_speaker_observer(interval="500")
    with pytest.raises(TypeError, match="label"):
        await transport.produce_data(label=None)
