"""A core is killed at work; everything that the application had on it is found in its slab, from outside."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from typing import Any

from sfu_core._slab_read import SlabObject
from waiting import until

from .call import Call
from .house import House, house, send_signal
from .peer import KEY, SALT, TCP, UDP, Peer, publish
from .tcp import TcpPeer

SUITE = "AES_CM_128_HMAC_SHA1_80"
FAN_OUT = 6
ROUNDS = 3


async def test_a_killed_core_under_load() -> None:
    for _ in range(ROUNDS):
        await one_death()


async def one_death() -> None:
    async with house(1) as each, Call(each.worker, fan_out=FAN_OUT, rate=2000, burst=4, size=1200, suite=SUITE) as call:
        await each.watched()
        peers = [Peer(), Peer(), TcpPeer()]
        server = await each.worker.create_webrtc_server(listen_infos=[UDP, TCP])
        router = call.router
        transports = [await router.create_webrtc_transport(webrtc_server=server) for _ in range(len(peers) + 1)]
        try:
            for peer, transport in zip(peers, transports, strict=False):
                await peer.connect(transport)
            producers = [await publish(transport) for transport in transports[: len(peers)]]
            consumers = [
                await transport.consume(producer_id=producer.id, rtp_capabilities=router.rtp_capabilities)
                for transport in transports[: len(peers)]
                for producer in producers
            ]
            await call.begin()
            for _ in range(30):
                for peer in peers:
                    peer.send()
                await asyncio.sleep(0.01)
            found = await remains(each)
            check_counts(found, peers, transports, producers, consumers)
            check_secrets(found, peers, transports)
            check_streams(found, peers, producers, consumers)
        finally:
            for peer in peers:
                peer.close()


async def remains(each: House) -> list[SlabObject]:
    """Kill the core; what is in its slab when its end is told."""
    member, found = each.member(0), []
    each.ends.append(lambda: found.extend(member.memory.objects()))  # type: ignore[union-attr]
    send_signal(member, signal.SIGKILL)
    await until(lambda: each.died, 2)
    return found


def live(found: list[SlabObject], table: str) -> list[dict[str, Any]]:
    return [each.fields for each in found if each.table == table and each.state == "live"]


def check_counts(found: list[SlabObject], peers: Any, transports: Any, producers: Any, consumers: Any) -> None:
    """Nothing is missing, nothing is left over; at most one record was being changed."""
    plain = 1 + FAN_OUT
    assert Counter(each.table for each in found) == {
        "sockets": plain + 2,
        "transports": plain + len(transports),
        "connections": 1,
        "tuples": len(peers),
        "producers": 1 + len(producers),
        "recvStreams": 1 + len(producers),
        "sendStreams": FAN_OUT + len(consumers),
        "ssrcs": 1 + len(producers) + 2 * FAN_OUT + len(consumers),  # the call is video, so it repeats by RTX
    }
    states = Counter(each.state for each in found)
    assert set(states) <= {"live", "torn"} and states["live"] > 1
    assert sum(each.why == "it was being changed" for each in found) <= 1


def check_secrets(found: list[SlabObject], peers: list[Peer], transports: list[Any]) -> None:
    """Names, passwords, addresses and keys, as the peers know them."""
    by_ufrag = {each["ice"]["ufrag"]: each for each in live(found, "transports") if each["kind"] == "webrtc"}
    torn = any(each.table == "transports" and each.state == "torn" for each in found)
    assert len(by_ufrag) >= len(transports) - torn
    for transport in transports:
        ice = transport.ice_parameters
        each = by_ufrag.get(ice["usernameFragment"])
        if each is None:
            continue
        assert each["ice"]["password"] == ice["password"]
        peer = peers[transports.index(transport)] if transport is not transports[-1] else None
        assert each["connected"] == (peer is not None)
        if peer is not None:
            secret = peer._tls.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (KEY + SALT))
            assert each["keysIn"]["key"] == secret[:KEY] and each["keysOut"]["key"] == secret[KEY : 2 * KEY]
            assert each["path"]["remote"] == ("127.0.0.1", peer.port)


def check_streams(found: list[SlabObject], peers: list[Peer], producers: list[Any], consumers: list[Any]) -> None:
    """SSRCs and numbers: what was accepted, and where a successor goes on."""
    published = [each for each in live(found, "recvStreams") if each["srtpHighest"] is not None]
    assert len(published) >= len(producers) - 1
    assert all(0 < each["srtpHighest"] <= peers[0]._seq for each in published)
    ssrcs = {consumer.rtp_parameters["encodings"][0]["ssrc"] for consumer in consumers}
    sends = live(found, "sendStreams")
    assert len(ssrcs - {each["ssrc"] for each in sends}) <= sum(each.state == "torn" for each in found)
    for each in sends:
        assert each["packets"] == 0 or each["packets"] < each["srtpResumesAt"]
    assert not {each["ssrc"] for each in sends} - {
        each["ssrc"] for each in live(found, "ssrcs") if "Out" in each["role"]
    }
