"""The hall: one stage, and an audience that sees it. Pages, their WebSockets and requests are the conference's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import WSCloseCode, web

from examples.conference.server import Json, Peer, RequestError, Room

MAX_GUESTS = 10_000  # pages in the hall


class Guest(Peer):
    """A page: the one on stage, or somebody in the audience."""

    room: Hall

    def __init__(self, hall: Hall, token: str, on_stage: bool) -> None:
        super().__init__(hall, token)
        self.on_stage = on_stage

    async def _produce(self, data: Json) -> Json:
        if not self.on_stage:
            raise RequestError("only the stage is seen")
        answer = await super()._produce(data)
        self.room.show(self._producers[answer["id"]])
        return answer


class Film:
    """What is shown without a page: on stage like one, as far as the audience can tell."""

    id = "film"
    name = "film"
    on_stage = True

    def __init__(self, producers: list[Any]) -> None:
        self._producers = producers

    def describe(self) -> Json:
        return {
            "id": self.id,
            "name": self.name,
            "producers": [{"id": each.id, "kind": each.kind} for each in self._producers],
        }

    def notify(self, method: str, **data: Any) -> None:
        """It does not listen."""


class Hall(Room):
    """Everybody in the audience sees the stage; the stage sees how many they are."""

    def __init__(self, router: Any, webrtc_server: Any) -> None:
        super().__init__("hall", router, webrtc_server)
        self.shown: dict[str, Any] = {}  # the producers of the moment, by id
        self.on_show: list[Callable[[Any], None]] = []  # called with each new one
        self._film: Film | None = None

    def others(self, peer: Any) -> list[Any]:
        """Those that ``peer`` can see: the audience sees the stage, the stage the audience."""
        film = [self._film] if self._film is not None else []
        seen = [other for other in [*super().others(peer), *film] if other.on_stage != peer.on_stage]
        return seen

    def show(self, producer: Any) -> None:
        """Something new is on stage."""
        self.shown[producer.id] = producer
        producer.observer.once("close", lambda: self.shown.pop(producer.id))
        for listener in self.on_show:
            listener(producer)

    def show_film(self, producers: list[Any]) -> None:
        """The same, without a page."""
        film = self._film = Film(producers)
        for each in producers:
            self.show(each)
        for guest in self.others(film):
            guest.notify("peerJoined", peer=film.describe())

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """The WebSocket of a page: ``/ws?token=SECRET``, with ``&stage`` for the one that sends."""
        token, on_stage = request.query.get("token", ""), "stage" in request.query
        if len(token) < 16:
            raise web.HTTPBadRequest(text="token is required")
        if len(self.peers) >= MAX_GUESTS:
            raise web.HTTPServiceUnavailable(text="the hall is full")
        if on_stage:
            self._clear_stage()
        guest = Guest(self, token, on_stage)
        self.add(guest)
        try:
            return await guest.serve(request)
        finally:
            self.remove(guest)

    async def close(self) -> None:
        """Sends everybody away."""
        for guest in list(self.peers.values()):
            await guest.socket.close(code=WSCloseCode.GOING_AWAY, message=b"server shutdown")

    def _clear_stage(self) -> None:
        """There is room for one; the newest stays."""
        for guest in list(self.peers.values()):
            if guest.on_stage:
                guest.disconnect("replaced")
                self.remove(guest)
