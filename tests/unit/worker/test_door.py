"""The door: descriptors for whoever shows the right token, once, in time."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from sfu_core.worker import door as door_module
from sfu_core.worker.door import MAX_DEPOSIT, MAX_VISITORS, Door, deposit, fetch
from waiting import until

SECRET = b"s" * 32


def run(body: Callable[[Door], Any]) -> None:
    async def main() -> None:
        door = Door(asyncio.get_running_loop())
        try:
            await body(door)
        finally:
            door.close()

    before = set(os.listdir("/proc/self/fd"))
    asyncio.run(main())
    assert set(os.listdir("/proc/self/fd")) == before, "a descriptor was left open"


def eventfds(count: int) -> list[int]:
    return [os.eventfd(number + 1, os.EFD_NONBLOCK) for number in range(count)]


def test_descriptors_arrive_in_order_and_are_the_same_objects() -> None:
    async def body(door: Door) -> None:
        address, token = door.offer(eventfds(3))
        got = await fetch(asyncio.get_running_loop(), address, token)
        assert [os.eventfd_read(fd) for fd in got] == [1, 2, 3]
        assert not any(os.get_inheritable(fd) for fd in got)
        for fd in got:
            os.close(fd)

    run(body)


def test_a_token_is_good_once() -> None:
    async def body(door: Door) -> None:
        address, token = door.offer(eventfds(1))
        (fd,) = await fetch(asyncio.get_running_loop(), address, token)
        os.close(fd)
        with pytest.raises(ConnectionError):
            await fetch(asyncio.get_running_loop(), address, token)

    run(body)


@pytest.mark.parametrize("shown", [b"x" * 32, b"", b"short"])
def test_a_wrong_token_gets_nothing_and_does_not_spoil_the_right_one(shown: bytes) -> None:
    async def body(door: Door) -> None:
        address, token = door.offer(eventfds(1))
        if len(shown) == 32:
            with pytest.raises(ConnectionError):
                await fetch(asyncio.get_running_loop(), address, shown)
        else:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect("\0" + address)
                sock.sendall(shown)
        (fd,) = await fetch(asyncio.get_running_loop(), address, token)
        os.close(fd)

    run(body)


def test_a_visitor_that_is_gone_before_it_was_served_leaves_nothing() -> None:
    async def body(door: Door) -> None:
        address, token = door.offer(eventfds(2))
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect("\0" + address)
            sock.sendall(token)
        await asyncio.sleep(0.1)
        with pytest.raises(ConnectionError):
            await fetch(asyncio.get_running_loop(), address, token)

    run(body)


def test_an_offer_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "LIFETIME", 0.05)

    async def body(door: Door) -> None:
        address, token = door.offer(eventfds(2))
        await asyncio.sleep(0.2)
        with pytest.raises(ConnectionError):
            await fetch(asyncio.get_running_loop(), address, token)

    run(body)


def test_visitors_that_say_nothing_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "LIFETIME", 0.2)

    async def body(door: Door) -> None:
        address, token = door.offer(eventfds(1))
        silent = [socket.socket(socket.AF_UNIX) for _ in range(MAX_VISITORS)]
        for sock in silent:
            sock.connect("\0" + address)
        await asyncio.sleep(0.05)
        with pytest.raises((ConnectionError, OSError)):
            await fetch(asyncio.get_running_loop(), address, token)
        for sock in silent:
            sock.close()

    run(body)


def test_nobody_listens_before_the_first_offer_or_after_closing() -> None:
    async def body(door: Door) -> None:
        address, token = door.offer(eventfds(1))
        door.close()
        with pytest.raises(OSError):
            await fetch(asyncio.get_running_loop(), address, token)
        with pytest.raises(ConnectionError):
            door.offer(eventfds(1))

    run(body)


# Deposits


def test_a_deposit_brings_a_descriptor_and_bytes_as_often_as_wanted() -> None:
    async def body(door: Door) -> None:
        got: list[tuple[bytes, int]] = []
        door.expect(SECRET, lambda data, fd: got.append((data, fd)))
        for size in (0, 1, MAX_DEPOSIT):
            (fd,) = eventfds(1)
            await deposit(asyncio.get_running_loop(), door.address, SECRET, bytes(size), fd)
            os.close(fd)
        await until(lambda: len(got) == 3)
        assert sorted(len(data) for data, _ in got) == [0, 1, MAX_DEPOSIT]
        for _, fd in got:
            assert os.eventfd_read(fd) == 1 and not os.get_inheritable(fd)
            os.close(fd)

    run(body)


def test_who_leaves_too_much_or_nothing_or_shows_a_wrong_secret_is_sent_away() -> None:
    async def body(door: Door) -> None:
        loop, got = asyncio.get_running_loop(), []
        door.expect(SECRET, lambda data, fd: got.append(fd))
        (fd,) = eventfds(1)
        for secret, data in ((SECRET, bytes(MAX_DEPOSIT + 1)), (b"x" * 32, b"")):
            with contextlib.suppress(OSError):
                await deposit(loop, door.address, secret, data, fd)
        with socket.socket(socket.AF_UNIX) as silent:  # no descriptor
            silent.connect("\0" + door.address)
            silent.sendall(SECRET + b"!data")
        door.refuse(SECRET)
        with contextlib.suppress(OSError):
            await deposit(loop, door.address, SECRET, b"", fd)
        await until(lambda: not door._visits)
        os.close(fd)
        assert got == []

    run(body)


def test_closing_sends_away_who_is_leaving_something() -> None:
    async def body(door: Door) -> None:
        got: list[int] = []
        door.expect(SECRET, lambda data, fd: got.append(fd))
        (fd,) = eventfds(1)
        with socket.socket(socket.AF_UNIX) as slow:
            slow.connect("\0" + door.address)
            slow.sendall(SECRET)
            socket.send_fds(slow, [b"!"], [fd])
            await until(lambda: door._visits)
            await asyncio.sleep(0.01)
            door.close()
            await asyncio.sleep(0.01)
        os.close(fd)
        assert got == []

    run(body)
