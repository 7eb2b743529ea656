"""Names of producers on the members.

Applications may give producers any id, and the same one in every logical worker; the members are shared by all of
them. So a producer has a name of its own there: its id, "@", and a number that is never given twice. All other ids
are random and pass unchanged.
"""

from collections.abc import Iterator
from itertools import count
from typing import TypeVar

from sfu_core.channel import messages as m

R = TypeVar("R")

_numbers: Iterator[int] = count(1)


def wire_id(producer_id: str) -> str:
    """A fresh name for a producer."""
    return f"{producer_id}@{next(_numbers)}"


def producer_id(wire_id: str) -> str:
    """The id behind a name."""
    return wire_id.rpartition("@")[0]


def read(reply: R) -> R:
    """What a member answered, with the application's ids."""
    if isinstance(reply, m.ProducerDumpResponse):
        reply.id = producer_id(reply.id)
    elif isinstance(reply, m.ConsumerDumpResponse):
        reply.data.base.producer_id = producer_id(reply.data.base.producer_id)
    elif isinstance(reply, m.TransportDumpResponse):
        _read_transport_dump(reply.base)
    return reply


def _read_transport_dump(base: m.TransportBaseDump) -> None:
    listener = base.rtp_listener
    base.producer_ids = [producer_id(each) for each in base.producer_ids]
    for each in listener.ssrc_table:
        each.value = producer_id(each.value)
    for item in (*listener.mid_table, *listener.rid_table):
        item.value = producer_id(item.value)
