"""Events find the object they are about, by table and handle."""

from sfu_core.worker.dispatch import _SLAB_OF, Dispatch, Event, Slab
from sfu_core.worker.events import EngineEvent


def test_every_event_has_a_table_but_freed_which_is_never_seen() -> None:
    assert set(EngineEvent) - set(_SLAB_OF) == {EngineEvent.FREED}


def test_one_handle_in_two_tables_is_two_objects() -> None:
    dispatch, seen = Dispatch(), []
    dispatch.add(Slab.TRANSPORT, 7, lambda event: seen.append(("transport", event)))
    dispatch.add(Slab.SEND_STREAM, 7, lambda event: seen.append(("send", event)))
    events: list[Event] = [(EngineEvent.ICE_STATE, 7, 1), (EngineEvent.SEND_SCORE, 7, 9)]
    for event in events:
        dispatch.deliver(event)
    assert seen == [("transport", events[0]), ("send", events[1])]


def test_nobody_is_no_error() -> None:
    dispatch, seen = Dispatch(), []
    dispatch.add(Slab.TRANSPORT, 7, seen.append)
    dispatch.remove(Slab.TRANSPORT, 7)
    dispatch.remove(Slab.TRANSPORT, 7)
    for event in [(EngineEvent.ICE_STATE, 7, 1), (EngineEvent.RTP, 8, b""), (999, 7)]:
        dispatch.deliver(event)
    assert seen == [] and len(dispatch) == 0
