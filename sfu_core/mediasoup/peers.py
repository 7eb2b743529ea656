"""Objects that several clients have: what each of them does is told to the others by the server (PEER_DONE).

It is told to the object that was asked, which then does as if it had been asked here. What a server tells is not
trusted: what cannot be true is logged, and changes nothing.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from ..channel import messages as m
from ..channel.channel import Channel
from ..channel.codec import ProtocolError
from ..channel.journal import created_by
from .log import Logger
from .types import RtpCapabilities

_logger = Logger("Channel")


def are_there(channel: Channel) -> bool:
    """Whether the worker is shared with other clients."""
    return channel.place.extensions >= m.SHARING


def describe(channel: Channel, router_id: str, capabilities: RtpCapabilities) -> None:
    """Tell peers what they need to use a router."""
    if are_there(channel):
        channel.post(m.WorkerDescribeRouter(router_id=router_id, rtp_capabilities=dict(capabilities)))


def did(news: m.PeerDone, done: Callable[[m.Request[Any], Any], None]) -> None:
    """Call `done` with the request of a peer and its answer."""
    try:
        done(*_read(news))
    except Exception as error:  # as many ways to be wrong as there are messages
        _logger.warn("what a peer is said to have done cannot be (method %s): %r", news.method, error)


def _read(news: m.PeerDone) -> tuple[m.Request[Any], Any]:
    kind = m.request_type(news.method)
    if kind is None:
        raise ProtocolError(f"unknown method {news.method}")
    request = msgspec.convert(news.body, kind)
    answer = None if kind.RESPONSE is None else msgspec.convert(news.answer, kind.RESPONSE)
    made, named = created_by(request), getattr(getattr(answer, "base", answer), "id", None)
    if made is not None and named is not None and made != named:
        raise ProtocolError(f"{kind.NAME} for {made} has made {named}")
    return request, answer
