"""The vocabulary is complete, named after its numbers, and every number has a width."""

from typing import Any

import msgspec
import pytest

from sfu_core.channel import messages as m

REQUESTS = list(m.REQUESTS.values())
NOTIFICATIONS = list(m.NOTIFICATIONS.values())


def test_every_number_has_its_message() -> None:
    assert sorted(m.REQUESTS) == list(range(68))
    assert sorted(m.NOTIFICATIONS) == list(range(33))


@pytest.mark.parametrize("kind", REQUESTS + NOTIFICATIONS, ids=lambda kind: kind.__name__)
def test_messages_are_named_after_their_number(kind: Any) -> None:
    assert kind.NAME.replace("_", "") == kind.__name__.upper()


def test_body_numbers_are_those_of_a_union() -> None:
    requests = {kind.__name__: kind.BODY for kind in REQUESTS if kind.BODY}
    # Both ways of creating a WebRtcTransport share a body.
    del requests["RouterCreateWebRtcTransportWithServer"]
    assert sorted(requests.values()) == list(range(1, 40))
    assert sorted(kind.BODY for kind in NOTIFICATIONS if kind.BODY) == list(range(1, 24))
    assert sorted(kind.BODY for kind in m.response_types()) == list(range(1, 34))


@pytest.mark.parametrize("kind", REQUESTS + NOTIFICATIONS, ids=lambda kind: kind.__name__)
def test_only_messages_with_a_body_have_fields(kind: Any) -> None:
    if not kind.BODY:
        assert kind.__struct_fields__ == ()


def test_all_replies_are_known_bodies() -> None:
    known = set(m.response_types())
    used: set[Any] = set()
    for kind in REQUESTS:
        if kind.RESPONSE is not None:
            used.update(getattr(kind.RESPONSE, "__args__", (kind.RESPONSE,)))
    assert used == known


def integers_without_width(kind: Any) -> list[str]:
    found: list[str] = []
    seen: set[Any] = set()

    def visit(node: Any, path: str) -> None:
        if isinstance(node, msgspec.inspect.Metadata) and node.extra and "wire" in node.extra:
            return
        if isinstance(node, msgspec.inspect.IntType | msgspec.inspect.FloatType):
            found.append(path)
        elif isinstance(node, msgspec.inspect.StructType) and node.cls not in seen:
            seen.add(node.cls)
            for field in node.fields:
                visit(field.type, f"{path}.{field.name}")
        elif isinstance(node, msgspec.inspect.UnionType):
            for option in node.types:
                visit(option, path)
        elif isinstance(node, msgspec.inspect.ListType):
            visit(node.item_type, path + "[]")

    visit(msgspec.inspect.type_info(kind), kind.__name__)
    return found


@pytest.mark.parametrize("kind", [*REQUESTS, *NOTIFICATIONS, *m.response_types()], ids=lambda kind: kind.__name__)
def test_every_number_has_a_width(kind: Any) -> None:
    assert integers_without_width(kind) == []


def test_the_check_for_widths_finds_a_missing_one() -> None:
    class Bad(m.Table):
        count: list[int]

    assert integers_without_width(Bad) == ["Bad.count[]"]


def test_keys_are_camel_case() -> None:
    message = m.WorkerCreateWebRtcServer(web_rtc_server_id="s")
    assert msgspec.to_builtins(message) == {"webRtcServerId": "s"}


def test_required_fields_are_required() -> None:
    with pytest.raises(TypeError, match="transport_id"):
        m.RouterCloseTransport()  # type: ignore[call-arg]


def test_extensions_have_numbers_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sfu_core.channel.messages.registry.EXTENSIONS", {})

    class Sample(m.Request[None]):
        METHOD = 200
        NAME = "SAMPLE"

    class News(m.Notification):
        EVENT = 201
        NAME = "NEWS"

    assert m.request_type(200) is None
    assert m.extend(Sample) is Sample
    m.extend(News)
    assert m.request_type(200) is Sample
    assert m.notification_type(200) is None
    assert m.notification_type(201) is News
    with pytest.raises(ValueError, match="200 is taken by Sample"):
        m.extend(Sample)


def test_extensions_below_200_are_refused() -> None:
    class Low(m.Request[None]):
        METHOD = 199
        NAME = "LOW"

    with pytest.raises(ValueError, match="number 199, below 200"):
        m.extend(Low)
