"""Which processors of the host somebody's cores run on, so that two applications do not fill the same ones.

A lease is a name that the kernel gives to one socket at a time (abstract, with user and processor in it), bound by the
process whose cores these are. Whatever ends that process gives it back, so there is nothing to clean up and nobody to
ask. Applications of one user and one network name space see each other. Knows no cores.
"""

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Final
from weakref import WeakSet, finalize

VARIABLE: Final = "SFU_LEASES"
"""Environment: a name, and applications with the same one divide the processors; "off", and this one takes what it
wants."""


class Leases:
    """Those that one manager holds. Belongs to one thread."""

    def __init__(self) -> None:
        self._held: dict[int, int] = {}  # processor: descriptor
        finalize(self, _close_all, self._held)
        _all.add(self)

    def take(self, cpus: Sequence[int], most: int) -> list[int]:
        """Hold up to `most` of these, those held already included; those that are ours now."""
        group = os.environ.get(VARIABLE, "")
        if group == "off":
            return list(cpus[:most])
        for cpu in cpus:
            if len(self._held) < most and cpu not in self._held:
                self._try(cpu, group)
        return [cpu for cpu in cpus if cpu in self._held]

    def give_back(self) -> None:
        """All of them. May be repeated."""
        _close_all(self._held)

    def _try(self, cpu: int, group: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, suppress(OSError):  # somebody has it
            sock.bind(f"\0sfu-core-cpu-{group}-{os.getuid()}-{cpu}")
            self._held[cpu] = sock.detach()


def _close_all(held: dict[int, int]) -> None:
    while held:
        os.close(held.popitem()[1])


_all: WeakSet[Leases] = WeakSet()


def _forget() -> None:
    for leases in _all:
        leases.give_back()


os.register_at_fork(after_in_child=_forget)  # a child that is forked starts no cores of ours, and may outlive us
