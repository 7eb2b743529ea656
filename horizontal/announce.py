"""Addresses under which a server's workers can be reached. Pure but for asking the system for its own address."""

from typing import Any, Final

import msgspec

from sfu_core.channel import messages as m
from sfu_core.channel.place import Place

_ANY: Final = frozenset(("0.0.0.0", "::"))
_LISTENING: Final = frozenset(
    (
        m.WorkerCreateWebRtcServer,
        m.RouterCreateWebRtcTransport,
        m.RouterCreatePlainTransport,
        m.RouterCreatePipeTransport,
    )
)


def announce(message: m.Request[Any], address: str) -> None:
    """Where `message` listens on all addresses and announces none, it announces `address`."""
    if address and type(message) in _LISTENING:
        for info in _listen_infos(message):
            if info.ip in _ANY and not info.announced_address:
                info.announced_address = address


def announced(place: Place, addresses: tuple[str, ...]) -> Place:
    """`place` as clients see it: who is behind another server has been given an address there."""
    if place.announced_addresses or not addresses:
        return place
    return msgspec.structs.replace(place, announced_addresses=addresses)


def _listen_infos(message: m.Request[Any]) -> list[m.ListenInfo]:
    options = getattr(message, "options", message)
    listen = getattr(options, "listen", options)
    single = [getattr(options, name, None) for name in ("listen_info", "rtcp_listen_info")]
    return [*getattr(listen, "listen_infos", ()), *(info for info in single if info is not None)]
