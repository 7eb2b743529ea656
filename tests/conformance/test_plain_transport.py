import pytest

from sfu_core.errors import SfuError, UnsupportedError

from .room import LOOPBACK, Events, free_port, rtp, udp_socket

KEYS = {  # base64 of master key and salt
    "AES_CM_128_HMAC_SHA1_80": "ZnQ3eWJraDg0d3ZoYzM5cXN1Y2pnaHU5NWxrZTVv",
    "AES_CM_128_HMAC_SHA1_32": "ZnQ3eWJraDg0d3ZoYzM5cXN1Y2pnaHU5NWxrZTVv",
    "AEAD_AES_128_GCM": "YTdjcDdic3E1Y2hvYzVhZDg3cjN4ZWFnMTI0YQ==",
    "AEAD_AES_256_GCM": "YTdjcDBqYzlraXB4cmhndXJ5d2w4a2I5c3Z5a2I1OXNsdmYxYnQ3aG9vYTg=",
}


async def test_creating(room):
    seen = []
    room.router.observer.once("newtransport", seen.append)
    port = free_port()
    transport = await room.plain(
        listen_info=LOOPBACK | {"port": port, "announcedAddress": "4.4.4.4"}, app_data={"foo": "bar"}
    )
    assert seen == [transport]
    assert transport.type == "plain" and transport.app_data == {"foo": "bar"}
    assert transport.tuple == {
        "localAddress": "4.4.4.4",
        "localIp": "4.4.4.4",
        "localPort": port,
        "remotePort": 0,
        "protocol": "udp",
    }
    assert transport.rtcp_tuple is transport.srtp_parameters is transport.sctp_parameters is None
    dump = await transport.dump()
    assert dump["id"] == transport.id and dump["tuple"] == transport.tuple
    assert dump["rtcpMux"] is True and dump["comedia"] is False
    assert not dump.keys() & {"rtcpTuple", "srtpParameters", "sctpParameters"}
    (stats,) = await transport.get_stats()
    assert stats["type"] == "plain-rtp-transport" and stats["transportId"] == transport.id
    assert stats["tuple"] == transport.tuple and stats["rtcpMux"] is True and stats["comedia"] is False


async def test_rtcp_on_a_port_of_its_own(room):
    low = free_port()
    transport = await room.plain(listen_info=LOOPBACK | {"portRange": {"min": low, "max": low + 30}}, rtcp_mux=False)
    ports = {transport.tuple["localPort"], transport.rtcp_tuple["localPort"]}
    assert len(ports) == 2 and all(low <= port <= low + 30 for port in ports)
    (stats,) = await transport.get_stats()
    assert stats["rtcpTuple"] == transport.rtcp_tuple and stats["rtcpMux"] is False


async def test_rtcp_after_a_fixed_port(room):
    port = free_port()
    transport = await room.plain(listen_info=LOOPBACK | {"port": port}, rtcp_mux=False)
    assert (transport.tuple["localPort"], transport.rtcp_tuple["localPort"]) == (port, port + 1)


async def test_rtcp_where_it_is_told_to(room):
    rtcp = {"protocol": "udp", "ip": "127.0.0.2", "port": free_port(ip="127.0.0.2")}
    transport = await room.plain(rtcp_listen_info=rtcp)
    assert transport.rtcp_tuple["localAddress"] == "127.0.0.2"
    assert transport.rtcp_tuple["localPort"] == rtcp["port"]


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"listen_info": None}, "listen_info"),
        ({"listen_info": "127.0.0.1"}, "listen_info"),
        ({"listen_info": LOOPBACK | {"protocol": "tcp"}}, "protocol"),
        ({"listen_info": LOOPBACK | {"ip": "chicken"}}, "ip"),
        ({"listen_ip": "127.0.0.1"}, "listen_ip"),
        ({"enable_srtp": True, "srtp_crypto_suite": "FOO"}, "srtp_crypto_suite"),
        ({"app_data": "NOT-AN-OBJECT"}, "app_data"),
    ],
)
async def test_wrong_arguments(room, options, argument):
    with pytest.raises(TypeError, match=argument):
        await room.plain(**options)


async def test_ports_that_cannot_be_had(room):
    with pytest.raises(SfuError):
        await room.plain(listen_info=LOOPBACK | {"ip": "8.8.8.8"})
    taken = LOOPBACK | {"port": free_port()}
    await room.plain(listen_info=taken)
    with pytest.raises(SfuError):
        await room.plain(listen_info=taken)
    shared = LOOPBACK | {"port": free_port(), "flags": {"udpReusePort": True}}
    await room.plain(listen_info=shared)
    await room.plain(listen_info=shared)
    assert len((await room.router.dump())["transportIds"]) == 3


async def test_connecting(room):
    transport = await room.plain()
    await transport.connect(ip="127.0.0.2", port=9999)
    assert transport.tuple["remoteIp"] == "127.0.0.2" and transport.tuple["remotePort"] == 9999
    assert (await transport.dump())["tuple"] == transport.tuple
    with pytest.raises(SfuError):
        await transport.connect(ip="127.0.0.2", port=9999)


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({}, {}),
        ({}, {"ip": "127.0.0.1"}),
        ({}, {"port": 1234}),
        ({}, {"ip": 123, "port": 1234}),
        ({}, {"ip": "chicken", "port": 1234}),
        ({}, {"ip": "127.0.0.1", "port": "1234"}),
        ({}, {"ip": "127.0.0.1", "port": 1234, "rtcp_port": 1235}),  # with rtcp-mux
        ({"rtcp_mux": False}, {"ip": "127.0.0.1", "port": 1234}),  # without
        ({"enable_srtp": True}, {"ip": "127.0.0.1", "port": 1234}),
        ({}, {"ip": "127.0.0.1", "port": 1, "srtp_parameters": {"cryptoSuite": "AEAD_AES_128_GCM", "keyBase64": "x"}}),
        (
            {"enable_srtp": True},
            {"ip": "127.0.0.1", "port": 1, "srtp_parameters": {"cryptoSuite": "AEAD_AES_128_GCM", "keyBase64": "eA=="}},
        ),
    ],
)
async def test_connecting_with_wrong_arguments(room, options, arguments):
    transport = await room.plain(**options)
    with pytest.raises(TypeError):
        await transport.connect(**arguments)
    assert "remoteIp" not in transport.tuple


@pytest.mark.parametrize("suite", KEYS)
async def test_srtp(room, suite):
    transport = await room.plain(enable_srtp=True, srtp_crypto_suite=suite)
    ours = transport.srtp_parameters
    assert ours["cryptoSuite"] == suite and len(ours["keyBase64"]) == len(KEYS[suite])
    assert (await transport.dump())["srtpParameters"] == ours
    theirs = {"cryptoSuite": suite, "keyBase64": KEYS[suite]}
    await transport.connect(ip="127.0.0.2", port=9999, srtp_parameters=theirs)
    assert transport.srtp_parameters == ours


async def test_the_peers_suite_wins(room):
    transport = await room.plain(enable_srtp=True)
    before = transport.srtp_parameters
    assert before["cryptoSuite"] == "AES_CM_128_HMAC_SHA1_80"
    theirs = {"cryptoSuite": "AEAD_AES_256_GCM", "keyBase64": KEYS["AEAD_AES_256_GCM"]}
    await transport.connect(ip="127.0.0.2", port=9999, srtp_parameters=theirs)
    assert transport.srtp_parameters["cryptoSuite"] == "AEAD_AES_256_GCM"
    assert len(transport.srtp_parameters["keyBase64"]) == len(theirs["keyBase64"])
    assert (await transport.dump())["srtpParameters"] == transport.srtp_parameters


async def test_learning_the_peers_address(room):
    transport = await room.plain(comedia=True, rtcp_mux=False)
    await room.audio(transport)
    events = Events(transport=transport)
    with udp_socket() as peer, udp_socket() as stranger:
        local = "127.0.0.1", transport.tuple["localPort"]
        peer.sendto(rtp(11111111, 1), local)
        await events.until("transport tuple")
        assert transport.tuple["remoteIp"] == "127.0.0.1"
        assert transport.tuple["remotePort"] == peer.getsockname()[1]
        report = bytes.fromhex("80c90001") + (11111111).to_bytes(4, "big")  # an empty RR (RFC 3550 §6.4.2)
        peer.sendto(report, ("127.0.0.1", transport.rtcp_tuple["localPort"]))
        await events.until("transport rtcptuple")
        stranger.sendto(rtp(11111111, 2), local)
        peer.sendto(rtp(11111111, 3), local)
        dump = await transport.dump()
        assert dump["tuple"]["remotePort"] == peer.getsockname()[1]
    assert events.log == [
        "transport tuple",
        "transport observer tuple",
        "transport rtcptuple",
        "transport observer rtcptuple",
    ]


async def test_comedia_needs_no_address(room):
    transport = await room.plain(comedia=True)
    await transport.connect()
    assert "remoteIp" not in transport.tuple


async def test_sctp_is_for_later(room):
    with pytest.raises(UnsupportedError):
        await room.plain(enable_sctp=True)


async def test_closing(room):
    port = free_port()
    transport = await room.plain(listen_info=LOOPBACK | {"port": port})
    events = Events(transport=transport)
    transport.close()
    assert events.log == ["transport observer close"]
    await room.plain(listen_info=LOOPBACK | {"port": port})  # free again
