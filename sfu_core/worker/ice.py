"""ICE-lite as it is announced: credentials, candidates and their priorities (RFC 8445 §5.1).

Pure functions; the media thread answers the checks.
"""

import random
import string
from collections.abc import Iterable, Iterator

from sfu_core.channel.messages import (
    IceCandidate,
    IceCandidateTcpType,
    IceCandidateType,
    IceParameters,
    TransportProtocol,
)
from sfu_core.worker.sockets import Listener

CREDENTIAL_LENGTH = 32
FIRST_PREFERENCE = 10_000  # local preference of the first listener; each further one has 100 less
PREFERRED = 1_000  # more for a protocol that is preferred
INTERNAL = 1_000  # less, of the whole priority, for the address behind an announced one

MIN_CONSENT, MAX_CONSENT = 10, 60  # seconds

_DIGITS = string.digits + string.ascii_lowercase
_random = random.SystemRandom()


def new_parameters(core: int | None = None) -> IceParameters:
    """Fresh credentials. The user name fragment begins with the number of the core, where several share the port."""
    number = "" if core is None else _DIGITS[core // 36] + _DIGITS[core % 36]
    fragment = number + _credential(CREDENTIAL_LENGTH - len(number))
    return IceParameters(username_fragment=fragment, password=_credential(CREDENTIAL_LENGTH), ice_lite=True)


def consent_timeout_ms(seconds: int) -> int:
    """How long a peer may be silent (RFC 7675); 0 stays 0, which is for ever."""
    return min(max(seconds, MIN_CONSENT), MAX_CONSENT) * 1000 if seconds else 0


def candidates(
    listeners: Iterable[Listener],
    protocols: Iterable[TransportProtocol] = tuple(TransportProtocol),
    preferred: Iterable[TransportProtocol] = (),
) -> list[IceCandidate]:
    """Host candidates of those listeners that speak one of `protocols`."""
    found: list[IceCandidate] = []
    for index, listener in enumerate(listeners):
        if listener.protocol in protocols:
            preference = FIRST_PREFERENCE - 100 * index + PREFERRED * (listener.protocol in preferred)
            found.extend(_of_listener(listener, priority_of(preference)))
    return found


def priority_of(local_preference: int) -> int:
    """Of a host candidate for component 1; type preference 64, as the reference has it."""
    return (64 << 24) + (local_preference << 8) + 255


def _of_listener(listener: Listener, priority: int) -> Iterator[IceCandidate]:
    yield _candidate(listener, listener.address, priority)
    if listener.announced and listener.expose_internal:
        yield _candidate(listener, listener.ip, priority - INTERNAL)


def _candidate(listener: Listener, address: str, priority: int) -> IceCandidate:
    tcp = listener.protocol is TransportProtocol.TCP
    return IceCandidate(
        foundation="tcpcandidate" if tcp else "udpcandidate",
        priority=priority,
        address=address,
        protocol=listener.protocol,
        port=listener.port,
        type=IceCandidateType.HOST,
        tcp_type=IceCandidateTcpType.PASSIVE if tcp else None,
    )


def _credential(length: int) -> str:
    return "".join(_random.choices(_DIGITS, k=length))
