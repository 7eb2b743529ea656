"""Pids of workers on several hosts: one number that says which host, and which process there.

Pure. A logical pid has 32 bits, as many as mediasoup's messages have for one: the host's number (2 to 1023) above
22 bits for the process. No Linux gives a pid of more than 22 bits, so a logical pid is never that of a process here.
"""

from typing import Final

_BITS: Final = 22
_NUMBERS: Final = 1 << _BITS

HOSTS: Final = range(2, 1 << (32 - _BITS))
"""Numbers of hosts. What 1 would give is left to workers that are no process and on no host, as a vertical's."""


def join_pid(host: int, number: int) -> int:
    """The logical pid of the process `number` (its pid there) on the host of that number."""
    if host not in HOSTS or not 0 <= number < _NUMBERS:
        raise ValueError(f"no logical pid for {number} on host {host}")
    return host << _BITS | number


def split_pid(pid: int) -> tuple[int, int]:
    """Host and number of a logical pid. ValueError if it is the pid of a process."""
    host, number = pid >> _BITS, pid & (_NUMBERS - 1)
    if host not in HOSTS:
        raise ValueError(f"{pid} is no logical pid")
    return host, number


class Pids:
    """Those of one host.

    A worker keeps its own pid as number. Where that cannot be (it is itself a logical pid, of a worker on many cores
    or behind a cluster; or several workers share a process) it gets a free one, from the top.
    """

    def __init__(self, host: int) -> None:
        self.host = host
        self._own: dict[int, int] = {}  # logical pid: the worker's pid on its host

    def give(self, pid: int) -> int:
        """The logical pid of a worker, until `release`."""
        number = pid if 0 < pid < _NUMBERS else _NUMBERS - 1
        while (logical := join_pid(self.host, number)) in self._own:
            number = number - 1 if number != pid else _NUMBERS - 1
        self._own[logical] = pid
        return logical

    def release(self, logical: int) -> None:
        """The worker has ended."""
        self._own.pop(logical, None)

    def own(self, logical: int) -> int | None:
        """The pid that a living worker has on its host."""
        return self._own.get(logical)

    def logical(self, pid: int) -> int:
        """The logical pid of a process there, whether a worker of ours or not."""
        for logical, own in self._own.items():
            if own == pid:
                return logical
        return join_pid(self.host, pid) if 0 < pid < _NUMBERS else pid
