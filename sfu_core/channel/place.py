"""Where a channel's worker runs: what decides how two workers reach each other.

Two places with the same host id share a kernel: they may use loopback or shared memory. Otherwise they
use the announced addresses.
"""

from functools import cache
from hashlib import blake2b
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import msgspec

from sfu_core.channel.messages import EXTENSIONS, SHARING
from sfu_core.errors import SfuError

PROTOCOL_VERSION: Final = 1
"""Changes when a peer of the former version could no longer be understood."""

_MACHINE_ID = Path("/etc/machine-id")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


ANY: Final = ("0.0.0.0", "::")
"""What a place announces that is on several hosts: it puts in the address of the host that an object gets to."""


class Place(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A read-only description; `announced_addresses` are reachable from other hosts, best first."""

    host_id: str
    announced_addresses: tuple[str, ...] = ()
    protocol_version: int = PROTOCOL_VERSION
    extensions: frozenset[int] = frozenset()
    mirror_group: str = ""
    """Workers with the same one show each other's producers without pipes (RouterCreateMirrorTransport)."""

    def shares_host_with(self, other: "Place") -> bool:
        return self.host_id == other.host_id

    def address_like(self, wildcard: str | None) -> str:
        """The best address of that IP version that it announces; SfuError if there is none."""
        for address in self.announced_addresses:
            if _ip_version(address) and wildcard_for(address) == wildcard:
                return address
        raise SfuError(f"host {self.host_id} announces no address for other hosts")

    def has_address_like(self, wildcard: str) -> bool:
        """Whether there is one."""
        return any(_ip_version(each) and wildcard_for(each) == wildcard for each in self.announced_addresses)


def meeting_addresses(first: Place, second: Place) -> tuple[str, str]:
    """Where two places on different hosts reach each other: an announced address of each, of one IP version.

    The best of the first one's that the second has a match for. SfuError if there is none.
    """
    for mine in first.announced_addresses:
        for theirs in second.announced_addresses:
            if _ip_version(mine) and _ip_version(mine) == _ip_version(theirs):
                return mine, theirs
    for place in (first, second):
        if not place.announced_addresses:
            raise SfuError(f"host {place.host_id} announces no address for other hosts")
    raise SfuError(f"hosts {first.host_id} and {second.host_id} announce no addresses of the same IP version")


def wildcard_for(address: str) -> str:
    """What to listen on to be reached at `address`."""
    return "0.0.0.0" if _ip_version(address) == 4 else "::"


def is_wildcard(address: str | None) -> bool:
    """Whether it is one of `ANY`."""
    return address in ANY


def _ip_version(address: str) -> int | None:
    try:
        return ip_address(address).version
    except ValueError:  # a host name
        return None


def local_place(announced_addresses: tuple[str, ...] = ()) -> Place:
    """The place of a worker on this host that serves every extension of workers this version knows."""
    return Place(
        host_id=host_id(), announced_addresses=announced_addresses, extensions=frozenset(EXTENSIONS) - SHARING
    )


@cache
def host_id() -> str:
    """Names this machine and this boot, without giving either away (32 hex digits).

    Machine and boot alone are not enough: containers may share both and still not share a network, so
    the network and process name spaces count too.
    """
    parts = (_read(_MACHINE_ID), _read(_BOOT_ID), _namespace("net"), _namespace("pid"))
    return blake2b("\n".join(parts).encode(), digest_size=16, person=b"sfu-host-id").hexdigest()


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _namespace(kind: str) -> str:
    try:
        return Path(f"/proc/self/ns/{kind}").readlink().name
    except OSError:
        return ""
