"""Placement: tables of what is known, and where a transport then goes."""

import pytest

from sfu_core.channel import messages as m
from sfu_core.cores import granted, usable_cpus
from vertical.placement import Candidate, cost_of, fill_first, node_load, passed, spread


def cores(*described):
    """`30` is a core of that load; `30r` has the room; `30f` is full."""
    return [
        Candidate(load=float(text.rstrip("rf")), has_room="r" in text, full="f" in text, transports=index)
        for index, text in enumerate(described)
    ]


@pytest.mark.parametrize(
    ("known", "chosen"),
    [
        (["0"], 0),
        (["0", "0", "0"], 0),  # a new room on an idle host
        (["10", "30", "20"], 1),  # fill first: the most loaded one that has room
        (["10r", "30", "20"], 0),  # the room stays together
        (["10", "5r", "20r"], 2),  # on the fuller of its cores
        (["59.9r", "0"], 0),
        (["60r", "0"], 1),  # at the watermark: the next core
        (["60r", "0", "30"], 2),  # which is again the most loaded one
        (["60r", "0", "40"], 1),  # but not one where rooms would soon have to part
        (["50", "39.9", "20"], 1),  # nor does a new one begin there
        (["50", "45"], 1),  # all are so: the least loaded
        (["55fr", "10"], 1),  # it was past the mark a moment ago
        (["55f", "10r"], 1),
        (["60", "70"], 0),  # all are past it: the least loaded
        (["90r", "70", "80"], 1),
        (["70", "70r"], 1),  # and the room, if that costs nothing
        (["55f", "58f"], 0),
        (["100", "100", "99.5r"], 2),
    ],
)
def test_fill_first(known, chosen):
    assert fill_first(cores(*known)) == chosen


def test_another_watermark():
    assert fill_first(cores("30r", "0"), watermark=25) == 1


def test_a_room_fills_one_core_after_the_other():
    """The loads that placements predict are enough: no sample comes in between."""
    loads, rooms, sequence = [0.0, 0.0, 0.0], [0, 0, 0], []
    for _ in range(18):
        known = [Candidate(load=load, has_room=bool(room)) for load, room in zip(loads, rooms, strict=True)]
        chosen = fill_first(known)
        sequence.append(chosen)
        loads[chosen] += 10
        rooms[chosen] += 1
    assert sequence == [0] * 6 + [1] * 6 + [2] * 6


def test_spread():
    assert spread([Candidate(load=0, transports=2), Candidate(load=90, transports=1)]) == 1
    assert spread([Candidate(load=0), Candidate(load=0)]) == 0


def test_hysteresis():
    past, history = False, []
    for load in (50, 59, 60, 55, 51, 50, 59, 61, 49):
        past = passed(past, load, mark=60, band=10)
        history.append(past)
    assert history == [False, False, True, True, True, False, False, True, False]


def test_node_load():
    assert node_load([100, 80], 2) == 90
    assert node_load([100, 80], 4) == 45  # two cores have no process yet
    assert node_load([], 0) == 0


def test_costs():
    listen = m.ListenInfo(ip="127.0.0.1", expose_internal_ip=False, port_range=m.PortRange(), flags=m.SocketFlags())
    options = m.PipeTransportOptions(base=m.TransportOptions(), listen_info=listen, enable_rtx=False, enable_srtp=False)
    transport = cost_of(m.RouterCreatePipeTransport(transport_id="t", options=options))
    audio, video = (
        m.TransportConsume(
            consumer_id="c",
            producer_id="p",
            kind=kind,
            rtp_parameters=None,
            type=m.RtpType.SIMPLE,
            consumable_rtp_encodings=[],
        )
        for kind in m.MediaKind
    )
    assert 0 < cost_of(audio) < cost_of(video) < transport < 1
    audio.paused = True
    assert cost_of(audio) == 0
    assert cost_of(m.WorkerDump()) == 0


@pytest.mark.parametrize(
    ("cpu_max", "count"),
    [("max 100000\n", None), ("", None), ("200000 100000", 2), ("150000 100000", 2), ("1000 100000", 1), ("5 0", None)],
)
def test_processors_of_the_control_group(cpu_max, count):
    assert granted(cpu_max) == count


def test_there_is_a_processor():
    assert usable_cpus()
