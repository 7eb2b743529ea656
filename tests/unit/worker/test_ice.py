"""ICE as announced: credentials, candidates, the reference's priorities."""

import pytest

from sfu_core.channel.messages import IceCandidate, TransportProtocol
from sfu_core.worker import ice
from sfu_core.worker.sockets import Listener

UDP, TCP = TransportProtocol.UDP, TransportProtocol.TCP


def listener(protocol: TransportProtocol = UDP, announced: str | None = None, expose: bool = False) -> Listener:
    return Listener(1, protocol, "127.0.0.1", 5000, announced, expose, 0, 0)


def test_credentials_are_32_lower_case_alphanumerics_and_differ() -> None:
    all_credentials = set()
    for _ in range(50):
        parameters = ice.new_parameters()
        assert parameters.ice_lite
        for text in (parameters.username_fragment, parameters.password):
            assert len(text) == 32
            assert text.isascii() and text.isalnum() and text == text.lower()
            all_credentials.add(text)
    assert len(all_credentials) == 100


def test_priorities_fall_with_the_place_in_the_list() -> None:
    found = ice.candidates([listener(), listener(TCP)])
    assert [c.priority for c in found] == [1076302079, 1076276479]
    assert [c.foundation for c in found] == ["udpcandidate", "tcpcandidate"]
    assert [c.tcp_type for c in found] == [None, 0]


def test_a_preferred_protocol_gains_1000_of_local_preference() -> None:
    first, second = ice.candidates([listener(), listener(TCP)], preferred=[TCP])
    assert second.priority == ice.priority_of(10_000 - 100 + 1000) > first.priority


def test_a_protocol_left_out_still_counts_in_the_order() -> None:
    (only,) = ice.candidates([listener(), listener(TCP)], protocols=[TCP])
    assert (only.protocol, only.priority) == (TCP, 1076276479)


def test_announced_address_hides_the_bound_one_unless_exposed() -> None:
    def addresses(found: list[IceCandidate]) -> list[tuple[str, int]]:
        return [(c.address, c.priority) for c in found]

    hidden = ice.candidates([listener(announced="sfu.example")])
    both = ice.candidates([listener(announced="sfu.example", expose=True)])
    assert addresses(hidden) == [("sfu.example", 1076302079)]
    assert addresses(both) == [("sfu.example", 1076302079), ("127.0.0.1", 1076301079)]
    assert len(ice.candidates([listener(expose=True)])) == 1


@pytest.mark.parametrize(
    ("seconds", "ms"), [(0, 0), (1, 10_000), (9, 10_000), (30, 30_000), (60, 60_000), (255, 60_000)]
)
def test_consent_timeout_is_clamped(seconds: int, ms: int) -> None:
    assert ice.consent_timeout_ms(seconds) == ms
