"""`pipe_to_router`: a producer of one router as a producer of another."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, Unpack

from ..channel import messages as m
from ..channel.place import meeting_addresses, wildcard_for
from ..errors import NotFoundError, SfuError
from . import ortc
from .consumer import Consumer
from .convert.arguments import bool_argument
from .convert.network import transport_options
from .data_consumer import DataConsumer
from .data_producer import DataProducer
from .entity import new_id
from .listen import exactly_one, udp_listen_info
from .log import Logger
from .pipe_transport import PipeTransport
from .producer import Producer
from .types import SctpOptions, TransportListenInfo

if TYPE_CHECKING:
    from .router import Router

_LOOPBACK: TransportListenInfo = {"protocol": "udp", "ip": "127.0.0.1"}
_ENCRYPTION = ("enable_rtx", "enable_srtp")

_logger = Logger("Router")
_running: set[asyncio.Future[Any]] = set()  # the loop itself keeps only weak references to tasks


@dataclass(frozen=True)
class PipeToRouterResult:
    """The two halves: the consumer in the router that was asked, the producer in the other one."""

    pipe_consumer: Consumer | None = None
    pipe_producer: Producer | None = None
    pipe_data_consumer: DataConsumer | None = None
    pipe_data_producer: DataProducer | None = None


CreatePipe: TypeAlias = m.RouterCreatePipeTransport | m.RouterCreateMirrorTransport

Pair = dict[str, PipeTransport]
"""A PipeTransport in each of two routers (by router id), connected to each other."""

Pairs = dict[tuple[str, bool], "asyncio.Task[Pair]"]
"""A router's pairs by the id of the other router and whether they mirror, each from the moment it is being made."""


def checked_options(
    source: "Router", target: object, producer_ids: dict[str, str | None], options: dict[str, Any]
) -> dict[str, Any]:
    """The options of the PipeTransports; what is None depends on where the two are (`_end_options`)."""
    from .router import Router

    exactly_one(**producer_ids)
    if not isinstance(target, Router):
        raise TypeError("missing router (a Router)")
    if target is source:
        raise TypeError("router is this router itself")
    if options["listen_info"] is not None and options["listen_ip"] is not None:
        raise TypeError("listen_info and listen_ip cannot both be given")
    for name in _ENCRYPTION:
        if options[name] is not None:
            bool_argument(options[name], name)
    return {"enable_sctp": True} | options


def _end_options(source: "Router", target: "Router", options: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of either end: between hosts over their announced addresses, with SRTP and RTX; else in clear over
    loopback. What the caller has said stays."""
    places = source._channel.place, target._channel.place
    abroad = not places[0].shares_host_with(places[1])
    options = options | {name: abroad if options[name] is None else options[name] for name in _ENCRYPTION}
    if options["listen_info"] is not None or options["listen_ip"] is not None:
        return [options, options]
    infos = map(_announced, meeting_addresses(*places)) if abroad else (_LOOPBACK, _LOOPBACK)
    return [options | {"listen_info": info} for info in infos]


def _announced(address: str) -> TransportListenInfo:
    return {"protocol": "udp", "ip": wildcard_for(address), "announcedAddress": address}


def can_mirror(producer: Producer, source: "Router", target: "Router") -> bool:
    """Whether the workers can show the producer in `target` without a pipe: they have their cores in common, and
    both routers give its codecs the same numbers."""
    group = source._channel.place.mirror_group
    if not group or group != target._channel.place.mirror_group:
        return False
    parameters = ortc.get_pipe_consumer_rtp_parameters(producer._consumable_rtp_parameters)
    try:
        mapping = ortc.get_producer_rtp_parameters_mapping(parameters, target._context.rtp_capabilities)
    except (SfuError, TypeError):  # as producing over there is about to say
        return False
    return all(codec["payloadType"] == codec["mappedPayloadType"] for codec in mapping["codecs"])


async def shared_pair(
    source: "Router", target: "Router", options: dict[str, Any], mirrored: bool = False
) -> tuple[PipeTransport, PipeTransport]:
    """The ends of the pair in `source` and in `target`, made now unless there is one."""
    making = source._pipes.get((target.id, mirrored))
    if making is None:
        making = asyncio.ensure_future((_make_mirror if mirrored else _make_pair)(source, target, options))
        source._pipes[target.id, mirrored] = target._pipes[source.id, mirrored] = making
        making.add_done_callback(lambda done: _made(source, target, done))
    # Whoever waits may be cancelled; the pair is made for the others.
    pair = await asyncio.shield(making)
    return pair[source.id], pair[target.id]


def _made(source: "Router", target: "Router", making: "asyncio.Task[Pair]") -> None:
    """Forget a pair that could not be made, or as soon as one of its ends ends; the other ends with it."""

    def forget() -> None:
        for router in (source, target):
            for key in [key for key, pair in router._pipes.items() if pair is making]:
                del router._pipes[key]

    if making.cancelled() or making.exception() is not None:
        forget()
        return
    ends = list(making.result().values())
    for end, other in (ends, reversed(ends)):
        end._when_ended(forget)
        end._when_ended(other.close)
        if end.closed:
            forget()
            other.close()


async def _make_pair(source: "Router", target: "Router", options: dict[str, Any]) -> Pair:
    here, there = _end_options(source, target, options)
    creations = source.create_pipe_transport(**here), target.create_pipe_transport(**there)
    return await _joined(source, target, creations, _connect)


async def _make_mirror(source: "Router", target: "Router", options: dict[str, Any]) -> Pair:
    creations = [router._create_pipe(_mirror_request(**options)) for router in (source, target)]
    return await _joined(source, target, creations, PipeTransport._connect_mirror)


def _mirror_request(
    *,
    listen_info: TransportListenInfo | None,
    listen_ip: Any,
    enable_rtx: bool | None,
    enable_srtp: bool | None,
    **sctp: Unpack[SctpOptions],
) -> m.RouterCreateMirrorTransport:
    """What was asked for must be right, and shows in the answer; nothing else comes of it."""
    info = _LOOPBACK if listen_info is None and listen_ip is None else listen_info
    options = m.PipeTransportOptions(
        base=transport_options(sctp),
        listen_info=udp_listen_info(info, listen_ip, None),
        enable_rtx=bool(enable_rtx),
        enable_srtp=bool(enable_srtp),
    )
    return m.RouterCreateMirrorTransport(transport_id=new_id(), options=options)


async def _joined(
    source: "Router",
    target: "Router",
    creations: Iterable[Awaitable[PipeTransport]],
    connect: Callable[[PipeTransport, PipeTransport], Awaitable[None]],
) -> Pair:
    made = await asyncio.gather(*creations, return_exceptions=True)
    ends = [end for end in made if isinstance(end, PipeTransport)]
    try:
        for failure in made:
            if isinstance(failure, BaseException):
                raise failure
        await asyncio.gather(connect(ends[0], ends[1]), connect(ends[1], ends[0]))
    except BaseException:
        for end in ends:
            end.close()
        raise
    return {source.id: ends[0], target.id: ends[1]}


async def _connect(end: PipeTransport, other: PipeTransport) -> None:
    address = other.tuple
    await end.connect(ip=address["localAddress"], port=address["localPort"], srtp_parameters=other.srtp_parameters)


async def pipe_media(
    producer: Producer, local: PipeTransport, remote: PipeTransport, keep_id: bool
) -> PipeToRouterResult:
    """Both halves of `producer`; on failure neither."""
    consumer: Consumer | None = None
    piped: Producer | None = None
    try:
        consumer = await local.consume(producer_id=producer.id, app_data=producer.app_data)
        piped = await remote.produce(
            id=producer.id if keep_id else new_id(),
            kind=consumer.kind,
            rtp_parameters=consumer.rtp_parameters,
            paused=consumer.producer_paused,
            app_data=producer.app_data,
        )
        if producer.closed or consumer.closed:
            raise NotFoundError(f"Producer {producer.id} was closed while it was piped")
        _mirror(consumer, piped)
        while producer.paused != piped.paused and not piped.closed:
            await (piped.pause() if producer.paused else piped.resume())
    except BaseException:
        _close(consumer, piped)
        raise
    return PipeToRouterResult(pipe_consumer=consumer, pipe_producer=piped)


def _mirror(consumer: Consumer, piped: Producer) -> None:
    """What happens to the consumer happens to the producer that it feeds; the end also the other way."""
    consumer._when_ended(piped.close)
    piped._when_ended(consumer.close)
    consumer.observer.on("pause", lambda: _run(piped.pause()))
    consumer.observer.on("resume", lambda: _run(piped.resume()))


async def pipe_data(
    producer: DataProducer, local: PipeTransport, remote: PipeTransport, keep_id: bool
) -> PipeToRouterResult:
    """Both halves of `producer`; on failure neither. Only their end is mirrored."""
    consumer: DataConsumer | None = None
    piped: DataProducer | None = None
    try:
        consumer = await local.consume_data(data_producer_id=producer.id, app_data=producer.app_data)
        piped = await remote.produce_data(
            id=producer.id if keep_id else new_id(),
            sctp_stream_parameters=consumer.sctp_stream_parameters,
            label=consumer.label,
            protocol=consumer.protocol,
            app_data=producer.app_data,
        )
        if producer.closed or consumer.closed:
            raise NotFoundError(f"DataProducer {producer.id} was closed while it was piped")
        consumer._when_ended(piped.close)
        piped._when_ended(consumer.close)
    except BaseException:
        _close(consumer, piped)
        raise
    return PipeToRouterResult(pipe_data_consumer=consumer, pipe_data_producer=piped)


def _close(*halves: Consumer | Producer | DataConsumer | DataProducer | None) -> None:
    for half in halves:
        if half is not None:
            half.close()


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Mirror a change without waiting; a half that has ended meanwhile needs it no more."""
    task = asyncio.ensure_future(coroutine)
    _running.add(task)
    task.add_done_callback(_mirrored)


def _mirrored(task: "asyncio.Future[Any]") -> None:
    _running.discard(task)
    if not task.cancelled() and isinstance(error := task.exception(), Exception):
        _logger.warn("pipe: %s", error)
