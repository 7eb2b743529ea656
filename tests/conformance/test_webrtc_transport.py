import pytest

from sfu_core.errors import NotFoundError, SfuError, UnsupportedError

from .room import FINGERPRINT, LOOPBACK, Events, free_port


@pytest.fixture
def transport(runner, room):
    return runner.run(room.webrtc())


async def test_creating(room):
    seen = []
    room.router.observer.once("newtransport", seen.append)
    port = free_port()
    transport = await room.router.create_webrtc_transport(
        listen_infos=[
            LOOPBACK | {"announcedAddress": "9.9.9.1", "portRange": {"min": port, "max": port}},
            {"protocol": "tcp", "ip": "127.0.0.1", "announcedAddress": "foo1.bar.org", "exposeInternalIp": True},
            {"protocol": "udp", "ip": "127.0.0.1"},
        ],
        app_data={"foo": "bar"},
    )
    assert seen == [transport]
    assert transport.type == "webrtc" and transport.app_data == {"foo": "bar"} and not transport.closed
    assert transport.ice_role == "controlled" and transport.ice_state == "new"
    assert transport.ice_selected_tuple is None and transport.dtls_remote_cert is None
    credentials = transport.ice_parameters
    assert credentials["iceLite"] is True
    assert all(len(credentials[key]) == 32 for key in ("usernameFragment", "password"))
    shown = [(c["protocol"], c["address"], c["foundation"]) for c in transport.ice_candidates]
    assert shown == [
        ("udp", "9.9.9.1", "udpcandidate"),
        ("tcp", "foo1.bar.org", "tcpcandidate"),
        ("tcp", "127.0.0.1", "tcpcandidate"),
        ("udp", "127.0.0.1", "udpcandidate"),
    ]
    first, announced, internal, last = transport.ice_candidates
    assert first["port"] == port and first["ip"] == "9.9.9.1" and first["type"] == "host"
    assert first["priority"] == 1076302079 and "tcpType" not in first
    assert announced["port"] == internal["port"] and announced["tcpType"] == "passive"
    assert announced["priority"] - internal["priority"] == 1000
    assert last["priority"] < internal["priority"]
    assert transport.dtls_state == "new" and transport.dtls_parameters["role"] == "auto"
    algorithms = [f["algorithm"] for f in transport.dtls_parameters["fingerprints"]]
    assert sorted(algorithms) == ["sha-1", "sha-224", "sha-256", "sha-384", "sha-512"]
    assert transport.sctp_parameters is None and transport.sctp_state is None
    transport.close()
    assert transport.closed


async def test_dump(room, transport):
    dump = await transport.dump()
    assert dump["id"] == transport.id
    for empty in ("producerIds", "consumerIds", "dataProducerIds", "dataConsumerIds", "traceEventTypes"):
        assert dump[empty] == []
    assert dump["mapSsrcConsumerId"] == dump["mapRtxSsrcConsumerId"] == []
    assert dump["rtpListener"] == {"ssrcTable": [], "midTable": [], "ridTable": []}
    assert dump["recvRtpHeaderExtensions"] == {}
    assert dump["iceRole"] == "controlled" and dump["iceState"] == "new" and dump["dtlsState"] == "new"
    assert dump["iceParameters"] == transport.ice_parameters
    assert dump["iceCandidates"] == transport.ice_candidates
    assert dump["dtlsParameters"] == transport.dtls_parameters
    assert (dump["maxSendMessageSize"], dump["maxReceiveMessageSize"]) == (262144, 262144)


async def test_stats(transport):
    (stats,) = await transport.get_stats()
    assert stats["type"] == "webrtc-transport" and stats["transportId"] == transport.id
    assert isinstance(stats["timestamp"], int)
    assert stats["iceRole"] == "controlled" and stats["iceState"] == "new" and stats["dtlsState"] == "new"
    for direction, verb in (("Received", "recv"), ("Sent", "send")):
        assert stats[f"bytes{direction}"] == stats[f"{verb}Bitrate"] == 0
        for kind in ("rtp", "rtx"):
            assert stats[f"{kind}Bytes{direction}"] == stats[f"{kind}{verb.capitalize()}Bitrate"] == 0
    assert stats["probationBytesSent"] == stats["probationSendBitrate"] == 0
    absent = {"iceSelectedTuple", "sctpState", "maxIncomingBitrate", "maxOutgoingBitrate", "minOutgoingBitrate"}
    assert not stats.keys() & absent


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({}, "listen_infos"),
        ({"listen_infos": []}, "listen_infos"),
        ({"listen_infos": "NOT-AN-ARRAY"}, "listen_infos"),
        ({"listen_infos": [123]}, r"listen_infos\[0\]"),
        ({"listen_ips": [123]}, "listen_ips"),
        ({"listen_infos": [LOOPBACK], "app_data": "NOT-AN-OBJECT"}, "app_data"),
        ({"listen_infos": [LOOPBACK | {"portRange": {"min": 5, "max": 4}}]}, "portRange"),
    ],
)
async def test_wrong_arguments(room, options, argument):
    with pytest.raises(TypeError, match=argument):
        await room.router.create_webrtc_transport(**options)
    assert (await room.router.dump())["transportIds"] == []


async def test_addresses_that_cannot_be_bound(room):
    for infos in ([LOOPBACK | {"ip": "8.8.8.8"}], [LOOPBACK, LOOPBACK | {"ip": "8.8.8.8"}]):
        with pytest.raises(SfuError):
            await room.webrtc(listen_infos=infos)
    taken = LOOPBACK | {"port": free_port()}
    await room.webrtc(listen_infos=[taken])
    with pytest.raises(SfuError):
        await room.webrtc(listen_infos=[taken])
    assert len((await room.router.dump())["transportIds"]) == 1


async def test_ipv6(room):
    transport = await room.webrtc(listen_infos=[{"protocol": "udp", "ip": "0:0:0:0:0:0:0:1"}])
    assert transport.ice_candidates[0]["address"] == "::1"


@pytest.mark.parametrize(
    ("given", "local"), [("client", "server"), ("server", "client"), ("auto", "client"), (None, "client")]
)
async def test_connecting(transport, given, local):
    parameters = {"fingerprints": [FINGERPRINT]} | ({"role": given} if given else {})
    await transport.connect(dtls_parameters=parameters)
    assert transport.dtls_parameters["role"] == local
    with pytest.raises(SfuError):
        await transport.connect(dtls_parameters=parameters)
    assert transport.dtls_parameters["role"] == local
    assert (await transport.dump())["dtlsParameters"]["role"] == local


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"fingerprints": []},
        {"role": "client"},
        {"role": "chicken", "fingerprints": [FINGERPRINT]},
        {"role": "client", "fingerprints": [FINGERPRINT | {"algorithm": "sha-256000"}]},
    ],
)
async def test_connecting_with_wrong_arguments(transport, parameters):
    with pytest.raises(TypeError, match="dtls_parameters"):
        await transport.connect(dtls_parameters=parameters)
    assert transport.dtls_parameters["role"] == "auto"
    await transport.connect(dtls_parameters={"role": "client", "fingerprints": [FINGERPRINT]})


async def test_restarting_ice(transport):
    before = transport.ice_parameters
    after = await transport.restart_ice()
    assert after == transport.ice_parameters == (await transport.dump())["iceParameters"]
    assert after["usernameFragment"] != before["usernameFragment"]
    assert after["password"] != before["password"]


async def test_bitrates(transport):
    await transport.set_max_incoming_bitrate(1_000_000)
    await transport.set_max_outgoing_bitrate(2_000_000)
    await transport.set_min_outgoing_bitrate(100_000)
    (stats,) = await transport.get_stats()
    assert stats["maxIncomingBitrate"] == 1_000_000
    assert stats["maxOutgoingBitrate"] == 2_000_000
    assert stats["minOutgoingBitrate"] == 100_000
    for call in (
        transport.set_max_outgoing_bitrate(29_999),
        transport.set_min_outgoing_bitrate(29_999),
        transport.set_max_outgoing_bitrate(99_999),  # below the minimum
        transport.set_min_outgoing_bitrate(2_000_001),  # above the maximum
        transport.set_max_incoming_bitrate("many"),
    ):
        with pytest.raises(TypeError):
            await call
    await transport.set_min_outgoing_bitrate(0)
    await transport.set_max_outgoing_bitrate(0)
    await transport.set_max_incoming_bitrate(0)
    (stats,) = await transport.get_stats()
    assert not stats.keys() & {"maxIncomingBitrate", "maxOutgoingBitrate", "minOutgoingBitrate"}


async def test_trace_events(transport):
    async def enabled(types):
        await transport.enable_trace_event(types)
        return sorted((await transport.dump())["traceEventTypes"])

    assert await enabled(["foo", "probation"]) == ["probation"]
    assert await enabled(["probation", "bwe"]) == ["bwe", "probation"]
    assert await enabled([]) == []
    with pytest.raises(TypeError, match="types"):
        await transport.enable_trace_event(123)


async def test_sctp_is_for_later(room):
    with pytest.raises(UnsupportedError):
        await room.webrtc(enable_sctp=True)
    assert (await room.router.dump())["transportIds"] == []


async def test_closing(room, transport):
    events = Events(transport=transport, router=room.router)
    transport.close()
    transport.close()
    assert events.log == ["transport observer close"]
    assert transport.ice_state == transport.dtls_state == "closed"
    assert (await room.router.dump())["transportIds"] == []
    for call in (
        transport.dump,
        transport.get_stats,
        transport.restart_ice,
        lambda: transport.connect(dtls_parameters={"fingerprints": [FINGERPRINT]}),
        lambda: transport.set_max_incoming_bitrate(1),
        lambda: room.audio(transport),
    ):
        with pytest.raises(NotFoundError):
            await call()
