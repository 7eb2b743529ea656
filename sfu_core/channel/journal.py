"""The creating requests of a worker's living objects: enough to build the same objects elsewhere.

Recorded beside a channel by who may have to rebuild (host process, remote server). An entry is kept
exactly as long as its object lives; an object's end takes its descendants along. What happened to an
object after its creation (pauses, connects) is not recorded here.
"""

from collections.abc import Iterator
from typing import Any

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

_SOURCES: dict[type[m.Request[Any]], str] = {
    m.TransportConsume: "producer_id",
    m.TransportConsumeData: "data_producer_id",
}
"""Requests whose object ends with another object that is not its parent."""


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


class Entry(msgspec.Struct, frozen=True):
    """A request that was accepted, and whom it was sent to."""

    request: m.Request[Any]
    handler_id: str


class Journal:
    """Entries in order of creation, so that a replay finds each parent before its children."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._dependents: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __contains__(self, object_id: str) -> bool:
        return object_id in self._entries

    def accepted(self, request: m.Request[Any], handler_id: str) -> None:
        """Takes note of an accepted request, if it creates or closes an object."""
        if (created := created_by(request)) is not None:
            self._add(created, Entry(request, handler_id))
        elif (closed := closed_by(request)) is not None:
            self.forget(closed)

    def notified(self, notification: m.Notification, handler_id: str) -> None:
        """Takes note of a notification: some tell that an object has gone."""
        if isinstance(notification, m.ConsumerProducerClose | m.DataConsumerDataProducerClose):
            self.forget(handler_id)

    def forget(self, object_id: str) -> None:
        """Drops an object and all that ends with it. Unknown ids are ignored."""
        doomed = [object_id]
        while doomed:
            current = doomed.pop()
            doomed.extend(self._dependents.pop(current, ()))
            entry = self._entries.pop(current, None)
            if entry is not None:
                self._detach(current, entry)

    def _detach(self, object_id: str, entry: Entry) -> None:
        for owner in _owners(entry):
            dependents = self._dependents.get(owner)
            if dependents is not None:
                dependents.discard(object_id)
                if not dependents:
                    del self._dependents[owner]

    def _add(self, object_id: str, entry: Entry) -> None:
        self._entries[object_id] = entry
        for owner in _owners(entry):
            self._dependents.setdefault(owner, set()).add(object_id)


def _owners(entry: Entry) -> list[str]:
    """Ids of the objects whose end is the end of this one; the worker itself is none."""
    owners = [entry.handler_id] if entry.handler_id else []
    source = _SOURCES.get(type(entry.request))
    if source is not None:
        owners.append(getattr(entry.request, source))
    if isinstance(entry.request, m.RouterCreateWebRtcTransportWithServer):
        listen = entry.request.options.listen
        if isinstance(listen, m.ListenServer):
            owners.append(listen.web_rtc_server_id)
    return owners
