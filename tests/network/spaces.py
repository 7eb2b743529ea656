"""Network name spaces: hosts of their own on one machine, as far as networks go. Needs root: `why_not()` says."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from typing import Any

_CLONE_NEWNET = 0x40000000


def why_not() -> str:
    """What this machine lacks for them; empty if nothing."""
    if os.geteuid() != 0:
        return "not root"
    if shutil.which("ip") is None:
        return "no ip (iproute2)"
    probe = subprocess.run(["unshare", "-n", "true"], capture_output=True)
    return "" if probe.returncode == 0 else "network name spaces are not allowed"


def run(*command: str) -> None:
    """A command that must succeed; what it says goes nowhere."""
    subprocess.run(command, check=True, capture_output=True)


def make(name: str) -> None:
    """One with nothing in it but loopback."""
    run("ip", "netns", "add", name)
    run("ip", "-n", name, "link", "set", "lo", "up")


def remove(name: str) -> None:
    """Also if there is none."""
    subprocess.run(["ip", "netns", "del", name], capture_output=True)


def command(name: str, *arguments: str) -> list[str]:
    """What runs a command in one."""
    return ["ip", "netns", "exec", name, *arguments]


def enter(name: str) -> None:
    """The calling thread, and what it starts from now on."""
    with open(f"/run/netns/{name}") as space:
        if ctypes.CDLL(None, use_errno=True).setns(space.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")


def inside(name: str, work: Any) -> Any:
    """The result of `work` in one, for instance a socket: name spaces belong to threads."""
    results: list[Any] = []

    def visit() -> None:
        try:
            enter(name)
            results.append(work())
        except OSError as error:
            results.append(error)

    thread = threading.Thread(target=visit)
    thread.start()
    thread.join()
    if isinstance(results[0], OSError):
        raise results[0]
    return results[0]
