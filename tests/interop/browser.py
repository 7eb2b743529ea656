"""Chromium as a participant of a call: mediasoup-client in a headless page, wired straight to a router.

Playwright exposes two Python functions in the page, and they are the whole signalling: one connects the
transport that the page made, the other produces on it. Everything else is a call from Python into
``window.participant`` (page/client.js).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal

from playwright.async_api import Browser, Page, Playwright, Request, Route, async_playwright

from .call import Stats, only, until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PAGE = Path(__file__).parent / "page"
BUNDLE = PAGE / "dist" / "client.js"
ORIGIN = "https://participant.test"

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    # Machines without any interface but lo would otherwise gather no candidates at all.
    "--allow-loopback-in-peer-connection",
]

#: Small enough for a publisher and two subscribers in software on two cores.
CAMERA = {"width": 320, "height": 240, "frameRate": 20}


class Chromium:
    """A running browser, shared by the tests of a session."""

    def __init__(self, playwright: Playwright, browser: Browser) -> None:
        self._playwright = playwright
        self._browser = browser

    @classmethod
    async def launch(cls) -> Chromium:
        playwright = await async_playwright().start()
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        return cls(playwright, browser)

    async def close(self) -> None:
        await self._browser.close()
        await self._playwright.stop()

    async def new_page(self) -> Page:
        """An empty page in a profile of its own."""
        return await self._browser.new_page(ignore_https_errors=True)

    async def participant(
        self, router: Any, *, server_dtls_role: Literal["auto", "client", "server"] = "auto", **transport: Any
    ) -> PageParticipant:
        """A page that takes part in the router's call.

        Args:
            router: of the server under test.
            server_dtls_role: told to the browser as the server's, which decides the browser's own.
            transport: options of the page's transports, as for ``router.create_webrtc_transport``.
        """
        participant = PageParticipant(await self.new_page(), router, server_dtls_role, transport)
        await participant._load()
        return participant


class PageParticipant:
    """A page with mediasoup-client, and the server's transports it is connected to."""

    def __init__(self, page: Page, router: Any, server_dtls_role: str, transport: dict[str, Any]) -> None:
        self.page = page
        self.router = router
        self.errors: list[str] = []
        self.send: Any = None
        self.recv: Any = None
        self._server_dtls_role = server_dtls_role
        self._transport_options = transport
        self._capabilities: dict[str, Any] = {}
        self._producers: dict[str, Any] = {}

    async def _load(self) -> None:
        page = self.page
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        await page.route(f"{ORIGIN}/**", _serve)
        await page.expose_function("signalConnect", self._on_connect)
        await page.expose_function("signalProduce", self._on_produce)
        await page.goto(f"{ORIGIN}/index.html")
        self._capabilities = await self._call("load", self.router.rtp_capabilities)

    async def close(self) -> None:
        """Leaves the call; fails if the page had an error meanwhile."""
        await self.page.close()
        for transport in (self.send, self.recv):
            if transport is not None:
                transport.close()
        assert not self.errors

    async def __aenter__(self) -> PageParticipant:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def publish(
        self, kind: Literal["audio", "video"], *, codec_options: dict[str, Any] | None = None
    ) -> Any:
        """Sends the fake microphone or camera; returns the server's Producer."""
        if self.send is None:
            self.send = await self._create_transport("send")
        options = {"constraints": CAMERA if kind == "video" else True, "codecOptions": codec_options or {}}
        return self._producers[await self._call("publish", self.send.id, kind, options)]

    async def subscribe(self, producer: Any, *, paused: bool = True) -> PageSubscription:
        """Consumes as applications do: paused on the server until the page is ready for it."""
        if self.recv is None:
            self.recv = await self._create_transport("recv")
        consumer = await self.recv.consume(
            producer_id=producer.id, rtp_capabilities=self._capabilities, paused=paused
        )
        parameters = {
            "id": consumer.id,
            "producerId": consumer.producer_id,
            "kind": consumer.kind,
            "rtpParameters": consumer.rtp_parameters,
        }
        await self._call("subscribe", self.recv.id, parameters)
        if paused:
            await consumer.resume()
        return PageSubscription(self, consumer)

    async def restart_ice(self, transport: Any) -> None:
        """New credentials on both sides of one of this participant's transports."""
        await self._call("restartIce", transport.id, await transport.restart_ice())

    async def transport_stats(self, transport: Any) -> Stats:
        """The page's own view of a transport, with the selected candidate pair's ends beside it."""
        stats = await self._call("transportStats", transport.id)
        found = only(stats, type="transport")
        by_id = {entry["id"]: entry for entry in stats}
        pair = by_id.get(found.get("selectedCandidatePairId"), {})
        for end in ("local", "remote"):
            found[f"{end}Candidate"] = by_id.get(pair.get(f"{end}CandidateId"), {})
        return found

    async def sender_stats(self, producer: Any) -> Stats:
        """The page's ``outbound-rtp`` of what it sends to ``producer``."""
        return only(await self._call("producerStats", producer.id), type="outbound-rtp")

    async def _call(self, method: str, *arguments: Any) -> Any:
        return await self.page.evaluate(
            "([method, ...given]) => window.participant[method](...given)", [method, *arguments]
        )

    async def _create_transport(self, direction: str) -> Any:
        transport = await self.router.create_webrtc_transport(**self._transport_options)
        options = {
            "id": transport.id,
            "iceParameters": transport.ice_parameters,
            "iceCandidates": transport.ice_candidates,
            "dtlsParameters": {**transport.dtls_parameters, "role": self._server_dtls_role},
        }
        await self._call("createTransport", direction, options)
        return transport

    async def _on_connect(self, transport_id: str, dtls_parameters: dict[str, Any]) -> None:
        transport = self.send if self.send is not None and self.send.id == transport_id else self.recv
        await transport.connect(dtls_parameters=dtls_parameters)

    async def _on_produce(self, transport_id: str, kind: str, rtp_parameters: dict[str, Any]) -> str:
        assert transport_id == self.send.id
        producer = await self.send.produce(kind=kind, rtp_parameters=rtp_parameters)
        self._producers[producer.id] = producer
        return str(producer.id)


class PageSubscription:
    """A consumer and what the page makes of it."""

    def __init__(self, participant: PageParticipant, consumer: Any) -> None:
        self.participant = participant
        self.consumer = consumer

    async def first_frame(self) -> None:
        """Returns when the page has shown (video) or begun to play (audio) something."""
        await self.participant._call("firstFrame", self.consumer.id)

    async def stats(self) -> Stats:
        """The page's ``inbound-rtp``; empty before the first packet."""
        stats = await self.participant._call("consumerStats", self.consumer.id)
        found = [entry for entry in stats if entry["type"] == "inbound-rtp"]
        return found[0] if found else {}

    async def frames(self) -> int:
        """Video frames decoded so far."""
        return int((await self.stats()).get("framesDecoded", 0))

    async def sounds(self) -> int:
        """Audio samples that were received and not made up."""
        stats = await self.stats()
        return int(stats.get("totalSamplesReceived", 0) - stats.get("concealedSamples", 0))

    async def more_frames(self, count: int, *, within: float = 20.0) -> int:
        """Waits for ``count`` more decoded frames; returns the new total."""
        wanted = await self.frames() + count
        try:
            return await until(self.frames, lambda frames: frames >= wanted, within=within)
        except AssertionError as error:
            error.add_note(await self._circumstances())
            raise

    async def _circumstances(self) -> str:
        participant, transport = self.participant, self.participant.recv
        facts = {
            "page": await self.stats(),
            "page's transport": await participant.transport_stats(transport),
            "consumer": await self.consumer.get_stats(),
            "server's transport": await transport.get_stats(),
        }
        return "\n".join(f"{name}: {fact}" for name, fact in facts.items())

    async def picture(self) -> dict[str, float]:
        """Width, height, and the standard deviation of the picture's pixels (0..255)."""
        picture: dict[str, float] = await self.participant._call("picture", self.consumer.id)
        return picture


async def _serve(route: Route, request: Request) -> None:
    name = request.url.removeprefix(f"{ORIGIN}/")
    paths = {"index.html": PAGE / "index.html", "client.js": BUNDLE}
    if name in paths:
        await route.fulfill(path=paths[name])
    else:
        await route.fulfill(status=404)
