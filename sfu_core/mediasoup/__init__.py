"""The mediasoup API over core processes on this machine.

    from sfu_core import mediasoup

    async with await mediasoup.create_worker() as worker:
        router = await worker.create_router(media_codecs=[...])

`Mediasoup(spawner)` is the same API over anything else that starts workers.
"""

from .. import errors
from ..channel.channel import Channel
from ..channel.settings import WorkerSettings
from ..version import VERSION as version
from . import extras, ortc, types
from .active_speaker_observer import ActiveSpeakerObserver
from .audio_level_observer import AudioLevelObserver
from .capabilities import get_supported_rtp_capabilities
from .consumer import Consumer
from .data_consumer import DataConsumer
from .data_producer import DataProducer
from .direct_transport import DirectTransport
from .emitter import Emitter
from .log import set_log_event_listeners
from .pipe import PipeToRouterResult
from .pipe_transport import PipeTransport
from .plain_transport import PlainTransport
from .producer import Producer
from .root import Mediasoup
from .router import Router
from .rtp_observer import RtpObserver
from .scalability import parse_scalability_mode
from .transport import Transport
from .webrtc_server import WebRtcServer
from .webrtc_transport import WebRtcTransport
from .worker import Worker

__all__ = [
    "ActiveSpeakerObserver",
    "AudioLevelObserver",
    "Consumer",
    "DataConsumer",
    "DataProducer",
    "DirectTransport",
    "Emitter",
    "Mediasoup",
    "PipeToRouterResult",
    "PipeTransport",
    "PlainTransport",
    "Producer",
    "Router",
    "RtpObserver",
    "Transport",
    "WebRtcServer",
    "WebRtcTransport",
    "Worker",
    "create_worker",
    "errors",
    "extras",
    "get_supported_rtp_capabilities",
    "observer",
    "ortc",
    "parse_scalability_mode",
    "set_log_event_listeners",
    "types",
    "version",
    "worker_bin",
]


class _LocalSpawner:
    """Processes on this machine; what starts them is loaded with the first one."""

    async def spawn(self, settings: WorkerSettings) -> Channel:
        from ..channel.process import ProcessSpawner

        return await ProcessSpawner().spawn(settings)


_local = Mediasoup(_LocalSpawner())

create_worker = _local.create_worker
observer = _local.observer
worker_bin = _local.worker_bin
