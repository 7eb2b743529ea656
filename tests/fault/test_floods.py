"""Datagrams that nobody asked for: counted and forgotten, while a call goes on beside them."""

from __future__ import annotations

import asyncio
import random
import socket

import pytest

from sfu.bench.joiner import binding_request

from . import flood
from .peer import Peer, address_of
from .processes import descriptors, used
from .scene import Scene, scene

MILLION = 1_000_000
TUPLES = 8  # that a transport remembers
JOINS = 40


async def heard_by(each: Scene) -> int:
    return (await each.worker.get_core_stats())["datagramsIn"]


@pytest.mark.parametrize("count", [MILLION, pytest.param(20 * MILLION, marks=pytest.mark.full)])
async def test_a_million_random_tuples(count: int) -> None:
    """On the shared port of a WebRtcServer: no tuple, no socket, no answer but to whom knows a user name."""
    async with scene() as each:
        dropped, heard = sum((await each.drops()).values()), await heard_by(each)
        before = descriptors(each.worker.pid)
        sent = await each.flood("mixed", address_of(each.transport), count)
        assert sent > 0.98 * count
        drops, heard = await each.drops(), await heard_by(each) - heard
        assert {"unknownTuple", "oversized", "stunUnknownUser", "stunUnauthorized", "stunMalformed"} <= drops.keys()
        assert sum(drops.values()) - dropped > 0.9 * heard > 0.5 * count
        opened = descriptors(each.worker.pid).items() - before.items()
        assert not opened, opened
        assert (await used(each.worker))["tuples"] == 1  # asks through a socket of its own


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("anything", "unknownTuple"),
        ("stun_strangers", "stunUnknownUser"),
        ("stun_guesses", "stunUnauthorized"),
        ("stun_broken", "stunMalformed"),
        ("dtls", "unknownTuple"),
        ("rtp", "unknownTuple"),
    ],
)
async def test_a_transport_opens_while_it_rains(kind: str, reason: str) -> None:
    """ICE and DTLS of a newcomer come through; what does not get in is lost like on any bad network, and repeated."""
    async with scene() as each:
        raining = asyncio.create_task(each.flood(kind, address_of(each.transport), 20_000))
        await asyncio.sleep(0.2)
        newcomer = Peer()
        try:
            await newcomer.connect(await each.open_transport())
        finally:
            newcomer.close()
        await raining
        assert (await each.drops())[reason] > 5000


async def test_guessed_passwords_are_counted_where_they_were_guessed() -> None:
    async with scene() as each:
        sent = await each.flood("stun_guesses", address_of(each.transport), 1000)
        async with asyncio.timeout(5):
            while (await each.transport.get_drops()).get("stunUnauthorized") != sent:
                await asyncio.sleep(0.05)


async def test_dtls_garbage_on_a_verified_tuple() -> None:
    """Before the handshake it may cost datagrams of the handshake, which repeats them; afterwards nothing."""
    rng = random.Random(1)
    async with scene() as each:
        transport = await each.open_transport()
        newcomer = Peer()
        try:
            await newcomer.check(transport)
            for _ in range(50):
                await spray(newcomer, [flood.dtls(rng) for _ in range(20)])
            await newcomer.connect(transport)
            for _ in range(50):
                await spray(newcomer, [flood.dtls(rng) for _ in range(100)])
            assert await newcomer.is_answered()
            assert transport.dtls_state == "connected"
        finally:
            newcomer.close()


async def test_anything_from_a_verified_tuple() -> None:
    """Whoever has proved the password may be mad all the same."""
    rng = random.Random(2)
    pool = [kind(rng, "x") for kind in flood.KINDS.values() for _ in range(500)]
    async with scene() as each:
        for start in range(0, len(pool), 50):
            await spray(each.peer, [data[:9000] for data in pool[start : start + 50]])
        drops = await each.transport.get_drops()
        assert {"unknownKind", "srtpAuth"} <= drops.keys()


async def test_replays_and_strange_streams() -> None:
    """Genuine SRTP, sent again; genuine SRTP of SSRCs that no producer claims, more than a transport may bring."""
    async with scene() as each:
        packet = each.peer.packet()
        for _ in range(20):
            await spray(each.peer, [packet] * 100)
        for start in range(0, 1000, 50):
            await spray(each.peer, [each.peer.packet(ssrc=70_000 + start + i) for i in range(50)])
        drops = await each.transport.get_drops()
        assert drops["srtpReplayed"] == 1999
        assert drops["unknownSsrc"] + drops.get("tableFull", 0) == 1000
        assert (await used(each.worker))["ssrcs"] < 300


async def test_one_client_from_a_thousand_addresses() -> None:
    """Each is proved by the password; the newest eight are remembered, and the first is back with its next check."""
    async with scene() as each:
        ice = each.transport.ice_parameters
        for number in range(1000):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.connect(address_of(each.transport))
                sock.send(binding_request(ice["usernameFragment"], ice["password"], number.to_bytes(12, "big")))
            if number % 50 == 0:
                await asyncio.sleep(0.002)
        await asyncio.sleep(0.2)
        assert (await used(each.worker))["tuples"] == TUPLES


async def test_a_storm_of_joins() -> None:
    """All at once: the call goes on, requests are answered, everybody gets in."""
    async with scene(max_lines=16 * JOINS) as each:
        transports = [await each.open_transport() for _ in range(JOINS)]
        peers = [Peer() for _ in transports]
        try:
            await asyncio.gather(*(peer.connect(transport) for peer, transport in zip(peers, transports, strict=True)))
            assert {transport.dtls_state for transport in transports} == {"connected"}
        finally:
            for peer in peers:
                peer.close()


async def test_hellos_without_end() -> None:
    """Ten peers that have proved their password begin handshakes and never finish one."""
    async with scene(max_lines=16 * JOINS) as each:
        peers = [Peer() for _ in range(10)]
        try:
            for peer in peers:
                await peer.check(await each.open_transport())
            hellos = [Peer().hello() for _ in range(20)]
            for _ in range(100):
                for peer in peers:
                    await spray(peer, hellos[:5])
            newcomer = Peer()
            peers.append(newcomer)
            await newcomer.connect(await each.open_transport())
        finally:
            for peer in peers:
                peer.close()


async def spray(peer: Peer, datagrams: list[bytes]) -> None:
    for data in datagrams:
        peer.send_raw(data)
    await asyncio.sleep(0.002)
