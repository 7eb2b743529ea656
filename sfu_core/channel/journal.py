"""A worker's living objects: what made each of them, and what has become of it since.

Kept beside a channel by who passes requests on (remote server). An entry is kept exactly as long as its object lives;
an object's end takes along what belongs to it. What is kept of an object is ready to be told to a peer, and bounded:
the last of each kind of change counts.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from sfu_core.channel import messages as m

_CREATES: dict[type[m.Request[Any]], str] = {
    m.WorkerCreateWebRtcServer: "web_rtc_server_id",
    m.WorkerCreateRouter: "router_id",
    m.RouterCreateWebRtcTransport: "transport_id",
    m.RouterCreateWebRtcTransportWithServer: "transport_id",
    m.RouterCreatePlainTransport: "transport_id",
    m.RouterCreatePipeTransport: "transport_id",
    m.RouterCreateDirectTransport: "transport_id",
    m.RouterCreateRingTransport: "transport_id",
    m.RouterCreateMirrorTransport: "transport_id",
    m.RouterCreateActiveSpeakerObserver: "rtp_observer_id",
    m.RouterCreateAudioLevelObserver: "rtp_observer_id",
    m.TransportProduce: "producer_id",
    m.TransportConsume: "consumer_id",
    m.TransportProduceData: "data_producer_id",
    m.TransportConsumeData: "data_consumer_id",
}
"""Requests that create an object, and the field that holds its id. The handler id is the parent's."""

_CLOSES: dict[type[m.Request[None]], str] = {
    m.WorkerWebRtcServerClose: "web_rtc_server_id",
    m.WorkerCloseRouter: "router_id",
    m.RouterCloseTransport: "transport_id",
    m.RouterCloseRtpObserver: "rtp_observer_id",
    m.TransportCloseProducer: "producer_id",
    m.TransportCloseConsumer: "consumer_id",
    m.TransportCloseDataProducer: "data_producer_id",
    m.TransportCloseDataConsumer: "data_consumer_id",
}

_UNDO: dict[str, type[m.Request[None]]] = {field: kind for kind, field in _CLOSES.items()}
"""What ends an object, by the field that holds its id in either request."""

_STATES: Final[tuple[tuple[type[m.Request[Any] | m.Notification], ...], ...]] = (
    (m.ProducerPause, m.ProducerResume),
    (m.ConsumerPause, m.ConsumerResume),
    (m.DataProducerPause, m.DataProducerResume),
    (m.DataConsumerPause, m.DataConsumerResume),
    (m.RtpObserverPause, m.RtpObserverResume),
    (m.ConsumerSetPreferredLayers,),
    (m.ConsumerSetPriority,),
    (m.DataConsumerSetSubchannels, m.DataConsumerAddSubchannel, m.DataConsumerRemoveSubchannel),
    (m.WebRtcTransportConnect, m.PlainTransportConnect, m.PipeTransportConnect, m.MirrorTransportConnect),
    (m.TransportRestartIce,),
    (m.WorkerDescribeRouter,),
    (m.TransportSctpStateChange,),
    (m.TransportSctpNegotiatedCapabilities,),
    (m.WebRtcTransportIceStateChange,),
    (m.WebRtcTransportIceSelectedTupleChange,),
    (m.WebRtcTransportDtlsStateChange,),
    (m.PlainTransportTuple,),
    (m.PlainTransportRtcpTuple,),
    (m.ProducerScore,),
    (m.ProducerVideoOrientationChange,),
    (m.ConsumerScore,),
    (m.ConsumerLayersChange,),
    (m.ConsumerProducerPause, m.ConsumerProducerResume),
    (m.DataConsumerDataProducerPause, m.DataConsumerDataProducerResume),
)
"""Requests and news after which an object is not as before; of those in one row the last one counts."""

_ROWS: Final = {kind: row for row, kinds in enumerate(_STATES) for kind in kinds}

_PASSING: Final = (m.RtpObserverAddProducer, m.RtpObserverRemoveProducer)
"""Requests that observers tell of, and nobody remembers."""

def created_by(request: m.Request[Any]) -> str | None:
    """The id of the object that a request asks for, or None."""
    field = _CREATES.get(type(request))
    return None if field is None else str(getattr(request, field))


def closed_by(request: m.Request[Any]) -> str | None:
    """The id of the object that a request ends, or None."""
    field = _CLOSES.get(type(request))
    return None if field is None else str(getattr(request, field))


def undoing(request: m.Request[Any]) -> m.Request[None] | None:
    """The request that ends what `request` creates, for the same handler; None if it creates nothing."""
    field = _CREATES.get(type(request))
    if field is None:
        return None
    kind = _UNDO[field]
    return kind(**{_CLOSES[kind]: getattr(request, field)})


def listen_server_of(request: m.Request[Any]) -> str | None:
    """The id of the WebRTC server whose sockets the transport shall use that a request asks for, or None."""
    listen = getattr(getattr(request, "options", None), "listen", None)
    return listen.web_rtc_server_id if isinstance(listen, m.ListenServer) else None


def is_shared(request: m.Request[Any]) -> bool:
    """Whether peers are told of the request: it makes, ends or changes what they have, too."""
    kind = type(request)
    return kind in _CREATES or kind in _CLOSES or kind in _ROWS or kind in _PASSING


def peer_done(request: m.Request[Any], answer: Any) -> m.PeerDone:
    """What peers are told of a request that was accepted."""
    encode = msgspec.msgpack.encode
    return m.PeerDone(
        method=request.METHOD,
        body=msgspec.Raw(encode(request)),
        answer=None if answer is None else msgspec.Raw(encode(answer)),
    )


Told = tuple[m.Notification, str]
"""A notification, and the object that it concerns."""


class Entry:
    """An object that lives. `serial` says when it came, `creator` by whom."""

    __slots__ = ("_changes", "_created", "creator", "id", "owners", "serial")

    def __init__(self, id: str, serial: int, owners: tuple[str, ...], created: Told | None, creator: int) -> None:
        self.id = id
        self.serial = serial
        self.owners = owners
        self.creator = creator
        self._created = created
        self._changes: dict[int, Told] = {}

    def told(self) -> Iterator[Told]:
        """What is to be told of it: how it came to be, then what has changed since, in that order."""
        if self._created is not None:
            yield self._created
        yield from self._changes.values()

    def keep(self, row: int, told: Told) -> None:
        self._changes.pop(row, None)
        self._changes[row] = told


class Journal:
    """Entries in order of creation: each object comes after those that it belongs to.

    A consumer does not belong to its producer: its end is told for each of them.
    """

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._owned: dict[str, dict[str, None]] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __contains__(self, object_id: str) -> bool:
        return object_id in self._entries

    def get(self, object_id: str) -> Entry | None:
        """Its entry, if it lives."""
        return self._entries.get(object_id)

    def created(
        self, request: m.Request[Any], handler_id: str, told: Told | None = None, creator: int = 0
    ) -> Entry | None:
        """The entry of what an accepted request has made; None if it makes nothing, or what it belongs to has ended.

        `told`: what is to be told of it.
        """
        id = created_by(request)
        owners = _owners(request, handler_id)
        if id is None or not all(owner in self._entries for owner in owners):
            return None
        self._last += 1
        entry = self._entries[id] = Entry(id, self._last, owners, told, creator)
        for owner in owners:
            self._owned.setdefault(owner, {})[id] = None
        return entry

    def changed(self, message: m.Request[Any] | m.Notification, object_id: str, told: Told) -> Entry | None:
        """The entry of the object that `message` has changed, if it lives; a state is kept there."""
        entry = self._entries.get(message.router_id if isinstance(message, m.WorkerDescribeRouter) else object_id)
        row = _ROWS.get(type(message))
        if entry is not None and row is not None:
            entry.keep(row, told)
        return entry

    def closed(self, request: m.Request[Any]) -> list[Entry]:
        """What an accepted request has ended; first the object that it names."""
        id = closed_by(request)
        return [] if id is None else self.forget(id)

    def forget(self, object_id: str) -> list[Entry]:
        """Drops an object and all that belongs to it, and returns their entries. Unknown ids are ignored."""
        forgotten = []
        doomed = [object_id]
        while doomed:
            current = doomed.pop()
            doomed.extend(self._owned.pop(current, ()))
            entry = self._entries.pop(current, None)
            if entry is not None:
                self._detach(entry)
                forgotten.append(entry)
        return forgotten

    def _detach(self, entry: Entry) -> None:
        for owner in entry.owners:
            owned = self._owned.get(owner)
            if owned is not None:
                owned.pop(entry.id, None)
                if not owned:
                    del self._owned[owner]


def _owners(request: m.Request[Any], handler_id: str) -> tuple[str, ...]:
    """Ids of the objects whose end is the end of what it makes; the worker itself is none."""
    return tuple(id for id in (handler_id, listen_server_of(request)) if id)
