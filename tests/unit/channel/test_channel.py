"""A channel and a channel server on the two ends of a socket pair."""

import asyncio
import logging
import socket
from collections.abc import Awaitable
from typing import Any

import pytest

from sfu_core.channel import messages as m
from sfu_core.channel.codec import ProtocolError
from sfu_core.channel.place import Place
from sfu_core.channel.server import Answer, ChannelServer
from sfu_core.errors import NotFoundError, SfuError, UnsupportedError, WorkerClosedError

from .pair import CODEC, LAYERS, Worker, connected, raw, turns


async def test_a_request_is_answered() -> None:
    async with connected() as (channel, worker):
        worker.answer = lambda request: m.ConsumerSetPreferredLayersResponse(preferred_layers=LAYERS)
        request = m.ConsumerSetPreferredLayers(preferred_layers=LAYERS)
        reply = await channel.request(request, "consumer")
        assert reply.preferred_layers == LAYERS
        assert worker.requests == [(request, "consumer")]


async def test_replies_leave_in_order_of_completion() -> None:
    async with connected() as (channel, worker):
        gate = asyncio.Event()

        async def later() -> Answer:
            await gate.wait()
            return None

        worker.answer = lambda r: later() if isinstance(r, m.ConsumerPause) else None
        done: list[str] = []

        async def ask(request: m.Request[None]) -> None:
            await channel.request(request, "c")
            done.append(request.NAME)

        slow = asyncio.create_task(ask(m.ConsumerPause()))
        await ask(m.ConsumerResume())
        assert not slow.done()
        gate.set()
        await slow
        assert done == ["CONSUMER_RESUME", "CONSUMER_PAUSE"]


@pytest.mark.parametrize(
    ("raised", "kind", "text"),
    [
        (TypeError("bad"), TypeError, "bad"),
        (NotFoundError("none"), NotFoundError, "none"),
        (UnsupportedError("later"), UnsupportedError, "later"),
        (SfuError("no"), SfuError, "no"),
        (ZeroDivisionError("oops"), SfuError, "oops"),
    ],
)
@pytest.mark.parametrize("deferred", [False, True])
async def test_a_refusal_keeps_its_class_and_text(
    raised: Exception, kind: type[Exception], text: str, deferred: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected() as (channel, worker):

        def refuse(request: m.Request[Any]) -> Answer | Awaitable[Answer]:
            if deferred:
                return refuse_later()
            raise raised

        async def refuse_later() -> Answer:
            raise raised

        worker.answer = refuse
        with pytest.raises(kind) as caught:
            await channel.request(m.WorkerDump())
        assert type(caught.value) is kind and str(caught.value) == text
    unexpected = isinstance(raised, ZeroDivisionError)
    assert bool([record for record in caplog.records if record.name.endswith("server")]) == unexpected


async def test_a_body_out_of_range_is_a_type_error_that_names_the_field() -> None:
    async with connected() as (channel, worker):
        with pytest.raises(TypeError, match=r"CONSUMER_SET_PRIORITY.*priority"):
            await channel.request(m.ConsumerSetPriority(priority=1000), "c")
        assert worker.requests == []
        await channel.request(m.ConsumerPause(), "c")


async def test_a_notification_written_after_a_reply_finds_its_listener() -> None:
    """Even if the listener is added by who awaits the asking task, through gather and wait_for."""

    async with connected() as (channel, worker):

        def answer(request: m.Request[Any]) -> Answer:
            worker.server._loop.call_soon(worker.server.notify, m.ConsumerProducerPause(), "c")
            return None

        worker.answer = answer
        for ask in (
            lambda: channel.request(m.ConsumerPause(), "c"),
            lambda: asyncio.gather(channel.request(m.ConsumerPause(), "c")),
            lambda: asyncio.wait_for(channel.request(m.ConsumerPause(), "c"), 5),
            lambda: asyncio.create_task(channel.request(m.ConsumerPause(), "c")),
        ):
            heard = asyncio.Event()
            await ask()
            channel.subscribe("c", lambda notification, heard=heard: heard.set())  # type: ignore[misc]
            await asyncio.wait_for(heard.wait(), 5)
            channel.unsubscribe("c")


async def test_notifications_arrive_in_order_and_only_at_their_target() -> None:
    async with connected() as (channel, worker):
        heard: list[m.Notification] = []
        channel.subscribe("p", heard.append)
        sent = [m.ProducerVideoOrientationChange(camera=False, flip=False, rotation=number) for number in range(200)]
        for notification in sent:
            worker.server.notify(notification, "p")
            worker.server.notify(notification, "another")
        await asyncio.sleep(0.05)
        assert heard == sent


async def test_after_unsubscribe_nothing_is_delivered() -> None:
    async with connected() as (channel, worker):
        heard: list[m.Notification] = []
        channel.subscribe("c", heard.append)
        worker.server.notify(m.ConsumerProducerPause(), "c")
        await asyncio.sleep(0)
        channel.unsubscribe("c")
        channel.unsubscribe("c")
        await asyncio.sleep(0.02)
        assert heard == []


async def test_an_object_has_one_listener() -> None:
    async with connected() as (channel, _):
        channel.subscribe("c", print)
        with pytest.raises(ValueError, match="c already has a listener"):
            channel.subscribe("c", print)


async def test_a_failing_listener_does_not_stop_the_others() -> None:
    failures: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: failures.append(context))
    async with connected() as (channel, worker):
        heard = asyncio.Event()
        channel.subscribe("a", lambda notification: 1 / 0)  # type: ignore[arg-type,return-value]
        channel.subscribe("b", lambda notification: heard.set())
        worker.server.notify(m.ConsumerProducerPause(), "a")
        worker.server.notify(m.ConsumerProducerPause(), "b")
        await asyncio.wait_for(heard.wait(), 5)
    assert [type(context["exception"]) for context in failures] == [ZeroDivisionError]


async def test_the_worker_hears_notifications_between_requests_in_order() -> None:
    async with connected() as (channel, worker):
        channel.notify(m.ProducerSend(data=b"\x80one"), "p")
        await channel.request(m.ProducerPause(), "p")
        assert worker.notifications == [(m.ProducerSend(data=b"\x80one"), "p")]


async def test_logs_reach_the_listeners() -> None:
    async with connected() as (channel, worker):
        lines: list[str] = []
        channel.on_log(lines.append)
        worker.server.log("Wcareful")
        worker.server.log("E" + "x" * 2**24)
        await asyncio.sleep(0.1)
        assert lines[0] == "Wcareful"
        assert lines[1][:2] == "Ex" and len(lines[1]) == 2**20


async def test_closing_tells_the_worker_and_rejects_what_is_pending() -> None:
    ends: list[Exception | None] = []
    async with connected() as (channel, worker):
        worker.answer = lambda request: asyncio.sleep(3600)
        asking = asyncio.create_task(channel.request(m.WorkerDump()))
        await asyncio.sleep(0.02)
        channel.on_end(ends.append)
        channel.close()
        assert channel.closed
        with pytest.raises(WorkerClosedError):
            await asking
        with pytest.raises(WorkerClosedError):
            await channel.request(m.WorkerDump())
        channel.notify(m.WorkerClose())
        channel.post(m.WorkerDump())
        channel.close()
        assert await channel.ended() is None
        await turns()
        assert ends == [None]
        assert worker.notifications == [(m.WorkerClose(), "")]
        late: list[Exception | None] = []
        channel.on_end(late.append)
        await turns()
        assert late == [None]


async def test_a_worker_that_leaves_is_reported_once() -> None:
    async with connected() as (channel, worker):
        ends: list[Exception | None] = []
        channel.on_end(ends.append)
        worker.answer = lambda request: worker.server.close()
        with pytest.raises(WorkerClosedError, match="the worker is gone"):
            await channel.request(m.WorkerDump())
        reason = await channel.ended()
        assert isinstance(reason, ConnectionError)
        channel.close()
        await turns()
        assert ends == [reason]


async def test_a_cancelled_request_leaves_the_channel_usable() -> None:
    async with connected() as (channel, worker):
        worker.answer = lambda request: asyncio.sleep(0.05, None)
        asking = asyncio.create_task(channel.request(m.ConsumerPause(), "c"))
        await asyncio.sleep(0.01)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await channel.request(m.ConsumerResume(), "c")


async def test_post_is_sent_at_once_and_a_refusal_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with connected() as (channel, worker):

        def answer(request: m.Request[Any]) -> Answer:
            raise NotFoundError("no such producer")

        worker.answer = answer
        channel.post(m.TransportCloseProducer(producer_id="p"), "t")
        with pytest.raises(NotFoundError):
            await channel.request(m.TransportDump(), "t")
        assert [request.NAME for request, _ in worker.requests] == [
            "TRANSPORT_CLOSE_PRODUCER",
            "TRANSPORT_DUMP",
        ]
    assert "TRANSPORT_CLOSE_PRODUCER to t: no such producer" in caplog.text


async def test_request_ids_wrap_and_pass_over_pending_ones() -> None:
    async with raw() as (channel, _):
        channel._last_id = 2**32 - 2
        channel._pending[1] = (m.WorkerDump, asyncio.get_running_loop().create_future())
        channel._pending[1][1].cancel()
        assert [channel._next_id() for _ in range(3)] == [2**32 - 1, 2, 3]


async def test_extensions_go_only_where_they_are_announced() -> None:
    class Sample(m.Request[None]):
        METHOD = 250
        NAME = "SAMPLE"

    async with connected(Place(host_id="h")) as (channel, _):
        with pytest.raises(UnsupportedError, match="SAMPLE"):
            await channel.request(Sample())
    async with connected(Place(host_id="h", extensions=frozenset({250}))) as (channel, _):
        with pytest.raises(TypeError, match="unknown method 250"):  # it was sent
            await channel.request(Sample())


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (b"\x00\x00\x00\x00", "frame of 0 bytes"),
        (b"\xff\xff\xff\xff", "frame of 4294967295 bytes"),
        (b"\x03\x00\x00\x00abc", "malformed frame"),
        (CODEC.reply(77, None), "reply to request 77, which is not pending"),
        (CODEC.request(1, m.WorkerDump(), ""), "a worker sends no requests"),
    ],
)
async def test_what_a_worker_must_not_send_ends_the_channel(sent: bytes, text: str) -> None:
    async with raw() as (channel, peer):
        asking = asyncio.create_task(channel.request(m.WorkerDump()))
        await asyncio.sleep(0)
        peer.send(sent)
        reason = await asyncio.wait_for(channel.ended(), 5)
        assert isinstance(reason, ProtocolError) and text in str(reason)
        with pytest.raises(WorkerClosedError):
            await asking


async def test_what_a_client_must_not_send_ends_serving() -> None:
    for sent in (CODEC.log("D"), CODEC.reply(1, None), b"\x01\x00\x00\x00\xc1"):
        ours, theirs = socket.socketpair()
        with ours:
            ours.send(sent)
            reason = await asyncio.wait_for(Worker().server.serve(theirs), 5)
            assert isinstance(reason, ProtocolError)


async def test_serving_that_is_ended_before_it_begins() -> None:
    reason = ConnectionResetError("the application has ended")
    for end, expected in ((ChannelServer.close, None), (lambda server: server.abort(reason), reason)):
        ours, theirs = socket.socketpair()
        server = ChannelServer(lambda message, handler_id: None, lambda message, handler_id: None)
        end(server)
        assert await asyncio.wait_for(server.serve(theirs), 5) is expected
        assert ours.recv(1) == b""
        ours.close()


async def test_a_failing_notification_handler_does_not_stop_the_worker() -> None:
    async with connected() as (channel, worker):
        worker.server._on_notification = lambda notification, handler_id: 1 / 0  # type: ignore
        channel.notify(m.ProducerSend(data=b""), "p")
        await channel.request(m.ProducerPause(), "p")


async def test_a_reply_without_its_body_fails_that_request_only() -> None:
    async with connected() as (channel, _):
        with pytest.raises(ProtocolError, match="the reply to WORKER_DUMP"):
            await channel.request(m.WorkerDump())
        await channel.request(m.ConsumerPause(), "c")
