"""Names of producers on the members.

Applications may give producers any id, and the same one in every logical worker; the members are shared by all of
them. So a producer has a name of its own there: its id, "@", and a number that is never given twice. All other ids
are random and pass unchanged.
"""

from collections.abc import Iterator
from itertools import count

import msgspec

from sfu_core.channel import messages as m

_numbers: Iterator[int] = count(1)


def wire_id(producer_id: str) -> str:
    """A fresh name for a producer."""
    return f"{producer_id}@{next(_numbers)}"


def producer_id(wire_id: str) -> str:
    """The id behind a name."""
    return wire_id.rpartition("@")[0]


def read_transport_dump(dump: m.TransportDumpResponse) -> m.TransportDumpResponse:
    """A member's dump with the application's ids."""
    base, listener = dump.base, dump.base.rtp_listener
    base.producer_ids = [producer_id(each) for each in base.producer_ids]
    for each in listener.ssrc_table:
        each.value = producer_id(each.value)
    for item in (*listener.mid_table, *listener.rid_table):
        item.value = producer_id(item.value)
    return dump


def read_producer_dump(dump: m.ProducerDumpResponse) -> m.ProducerDumpResponse:
    """The same for a producer."""
    return msgspec.structs.replace(dump, id=producer_id(dump.id))


def read_consumer_dump(dump: m.ConsumerDumpResponse) -> m.ConsumerDumpResponse:
    """The same for a consumer."""
    dump.data.base.producer_id = producer_id(dump.data.base.producer_id)
    return dump
