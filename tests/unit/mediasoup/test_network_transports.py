"""WebRTC, plain, pipe and direct transports: what is their own."""

import pytest

from sfu_core.channel import messages as m
from sfu_core.errors import NotFoundError, UnsupportedError

from .fakes import LOOPBACK, base_dump, flow, record, srtp

FINGERPRINT = {"algorithm": "sha-256", "value": "82:5A:68"}


class TestWebRtc:
    async def test_options(self, room, channel):
        transport = await room.webrtc(
            listen_infos=[
                LOOPBACK,
                {
                    "protocol": "tcp",
                    "ip": "0:0:0:0:0:0:0:1",
                    "announcedAddress": "example.com",
                    "exposeInternalIp": True,
                    "port": 4000,
                    "portRange": {"min": 10, "max": 20},
                    "flags": {"ipv6Only": True, "udpReusePort": True},
                    "sendBufferSize": 1,
                    "recvBufferSize": 2,
                },
            ],
            enable_sctp=True,
            max_send_message_size=1000,
            app_data={"x": 1},
        )
        assert channel.handler_of(m.RouterCreateWebRtcTransport) == room.router.id
        request = channel.last(m.RouterCreateWebRtcTransport)
        assert request.transport_id == transport.id
        options = request.options
        assert isinstance(options.listen, m.ListenIndividual)
        assert options.listen.listen_infos[1] == m.ListenInfo(
            protocol=m.TransportProtocol.TCP,
            ip="::1",
            announced_address="example.com",
            expose_internal_ip=True,
            port=4000,
            port_range=m.PortRange(min=10, max=20),
            flags=m.SocketFlags(ipv6_only=True, udp_reuse_port=True),
            send_buffer_size=1,
            recv_buffer_size=2,
        )
        assert (options.enable_udp, options.enable_tcp) == (True, False)
        assert (options.prefer_udp, options.prefer_tcp, options.ice_consent_timeout) == (False, False, 30)
        base = options.base
        assert base.is_data_channel and base.enable_sctp and not base.direct
        assert base.initial_available_outgoing_bitrate == 600_000
        assert (base.max_send_message_size, base.max_receive_message_size) == (1000, 262_144)
        assert (base.sctp_send_buffer_size, base.sctp_per_stream_send_queue_limit) == (2_000_000, 2_000_000)
        assert base.sctp_max_receiver_window_buffer_size == 5_242_880
        assert base.sctp_default_stream_buffered_amount_low_threshold == 1024

    async def test_properties(self, room):
        transport = await room.webrtc(listen_infos=[LOOPBACK], enable_sctp=True)
        assert transport.type == "webrtc" and transport.ice_role == "controlled"
        assert transport.ice_parameters == {"usernameFragment": "ufrag", "password": "pwd", "iceLite": True}
        assert transport.ice_candidates == [
            {
                "foundation": "udpcandidate",
                "priority": 1076302079,
                "address": "127.0.0.1",
                "ip": "127.0.0.1",
                "protocol": "udp",
                "port": 40000,
                "type": "host",
            }
        ]
        assert transport.ice_state == "new" and transport.ice_selected_tuple is None
        fingerprints = [{"algorithm": "sha-256", "value": "AA:BB"}]
        assert transport.dtls_parameters == {"role": "auto", "fingerprints": fingerprints}
        assert transport.dtls_state == "new" and transport.dtls_remote_cert is None
        assert transport.sctp_state == "new"
        assert transport.sctp_parameters == {
            "port": 5000,
            "OS": 65535,
            "MIS": 65535,
            "maxMessageSize": 1000,
            "maxSendMessageSize": 262144,
            "maxReceiveMessageSize": 1000,
            "sendBufferSize": 2000000,
            "perStreamSendQueueLimit": 2000000,
            "maxReceiverWindowBufferSize": 5242880,
            "isDataChannel": True,
        }
        assert transport.sctp_negotiated_capabilities == {
            "negotiatedMaxOutboundStreams": 0,
            "negotiatedMaxInboundStreams": 0,
        }

    @pytest.mark.parametrize(
        ("options", "argument"),
        [
            ({}, "webrtc_server, listen_infos, listen_ips"),
            ({"listen_infos": []}, "listen_infos"),
            ({"listen_infos": "127.0.0.1"}, "listen_infos"),
            ({"listen_infos": [LOOPBACK], "listen_ips": ["127.0.0.1"]}, "listen_infos and listen_ips"),
            ({"listen_infos": [{"protocol": "udp"}]}, r"listen_infos\[0\].ip"),
            ({"listen_infos": [{"protocol": "udp", "ip": "chicken"}]}, r"listen_infos\[0\].ip"),
            ({"listen_infos": [{"protocol": "sctp", "ip": "127.0.0.1"}]}, r"listen_infos\[0\].protocol"),
            ({"listen_infos": [LOOPBACK | {"port": 70000}]}, "port"),
            ({"listen_infos": [LOOPBACK | {"portRange": {"min": 2, "max": 1}}]}, "portRange"),
            ({"listen_infos": [123]}, r"listen_infos\[0\]"),
            ({"listen_ips": [123]}, r"listen_ips\[0\].ip"),
            ({"listen_ips": "127.0.0.1"}, "listen_ips"),
            ({"webrtc_server": "server"}, "webrtc_server"),
            ({"listen_infos": [LOOPBACK], "ice_consent_timeout": "1"}, "ice_consent_timeout"),
            ({"listen_infos": [LOOPBACK], "initial_available_outgoing_bitrate": "1"}, "initial_available"),
            ({"listen_infos": [LOOPBACK], "enable_sctp": 1}, "enable_sctp"),
            ({"listen_infos": [LOOPBACK], "max_send_message_size": "x"}, "max_send_message_size"),
            ({"listen_infos": [LOOPBACK], "num_sctp_streams": 1}, "num_sctp_streams"),
            ({"listen_infos": [LOOPBACK], "app_data": "x"}, "app_data"),
        ],
    )
    async def test_wrong_options(self, room, options, argument):
        with pytest.raises(TypeError, match=argument):
            await room.router.create_webrtc_transport(**options)

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, "u1 u2"),
            ({"enable_tcp": True}, "u1 t1 u2 t2"),
            ({"enable_tcp": True, "prefer_tcp": True}, "t1 u1 t2 u2"),
            ({"enable_tcp": True, "prefer_tcp": True, "prefer_udp": True}, "u1 t1 u2 t2"),
            ({"enable_tcp": True, "enable_udp": False}, "t1 t2"),
        ],
    )
    async def test_listen_ips(self, room, channel, options, expected):
        ips = ["127.0.0.1", {"ip": "127.0.0.2", "announcedIp": "9.9.9.9"}]
        await room.webrtc(listen_ips=ips, port=5, **options)
        infos = channel.last(m.RouterCreateWebRtcTransport).options.listen.listen_infos
        assert " ".join(f"{i.protocol.name[0].lower()}{i.ip[-1]}" for i in infos) == expected
        assert {i.port for i in infos} == {5}
        assert {i.announced_address for i in infos} == {None, "9.9.9.9"}

    @pytest.mark.parametrize(("given", "sent"), [(0, 0), (1, 10), (9, 10), (10, 10), (60, 60), (61, 60)])
    async def test_consent_timeout(self, room, channel, given, sent):
        await room.webrtc(listen_infos=[LOOPBACK], ice_consent_timeout=given)
        assert channel.last(m.RouterCreateWebRtcTransport).options.ice_consent_timeout == sent

    async def test_connect(self, room, channel):
        transport = await room.webrtc()
        answer = m.WebRtcTransportConnectResponse(dtls_local_role=m.DtlsRole.SERVER)
        channel.answers[m.WebRtcTransportConnect] = answer
        await transport.connect(dtls_parameters={"role": "client", "fingerprints": [FINGERPRINT]})
        sent = channel.last(m.WebRtcTransportConnect).dtls_parameters
        assert sent.role is m.DtlsRole.CLIENT
        assert sent.fingerprints == [m.Fingerprint(algorithm=m.FingerprintAlgorithm.SHA256, value="82:5A:68")]
        assert transport.dtls_parameters["role"] == "server"

    @pytest.mark.parametrize(
        ("parameters", "argument"),
        [
            (None, "dtls_parameters"),
            ({}, "fingerprints"),
            ({"fingerprints": []}, "fingerprints"),
            ({"fingerprints": [FINGERPRINT], "role": "chicken"}, "role"),
            ({"fingerprints": [{"algorithm": "sha-256000", "value": "x"}]}, "algorithm"),
            ({"fingerprints": [{"algorithm": "sha-256"}]}, "value"),
        ],
    )
    async def test_connect_with_wrong_parameters(self, room, parameters, argument):
        transport = await room.webrtc()
        with pytest.raises(TypeError, match=argument):
            await transport.connect(dtls_parameters=parameters)
        assert transport.dtls_parameters["role"] == "auto"

    async def test_restart_ice(self, room, channel):
        transport = await room.webrtc()
        answer = m.TransportRestartIceResponse(username_fragment="a", password="b", ice_lite=True)
        channel.answers[m.TransportRestartIce] = answer
        new = {"usernameFragment": "a", "password": "b", "iceLite": True}
        assert await transport.restart_ice() == new == transport.ice_parameters

    async def test_news(self, room, channel):
        transport = await room.webrtc(listen_infos=[LOOPBACK], enable_sctp=True)
        seen, observed = [], []
        for event in ("icestatechange", "iceselectedtuplechange", "dtlsstatechange", "sctpstatechange"):
            transport.on(event, lambda data, event=event: seen.append((event, data)))
            transport.observer.on(event, lambda data, event=event: observed.append((event, data)))
        selected = flow(remote_ip="1.2.3.4", protocol=m.TransportProtocol.TCP)
        for news in (
            m.WebRtcTransportIceStateChange(ice_state=m.IceState.COMPLETED),
            m.WebRtcTransportIceSelectedTupleChange(tuple=selected),
            m.WebRtcTransportDtlsStateChange(dtls_state=m.DtlsState.CONNECTING),
            m.WebRtcTransportDtlsStateChange(dtls_state=m.DtlsState.CONNECTED, remote_cert="PEM"),
            m.TransportSctpNegotiatedCapabilities(
                negotiated_capabilities=m.SctpNegotiatedCapabilities(
                    negotiated_max_outbound_streams=2, negotiated_max_inbound_streams=3
                )
            ),
            m.TransportSctpStateChange(sctp_state=m.SctpState.CONNECTED),
        ):
            channel.news(transport, news)
        flow_dict = {
            "localAddress": "127.0.0.1",
            "localIp": "127.0.0.1",
            "localPort": 40000,
            "remoteIp": "1.2.3.4",
            "remotePort": 0,
            "protocol": "tcp",
        }
        assert (
            seen
            == observed
            == [
                ("icestatechange", "completed"),
                ("iceselectedtuplechange", flow_dict),
                ("dtlsstatechange", "connecting"),
                ("dtlsstatechange", "connected"),
                ("sctpstatechange", "connected"),
            ]
        )
        assert (transport.ice_state, transport.dtls_state, transport.sctp_state) == (
            "completed", "connected", "connected",
        )  # fmt: skip
        assert transport.ice_selected_tuple == flow_dict and transport.dtls_remote_cert == "PEM"
        assert transport.sctp_negotiated_capabilities["negotiatedMaxOutboundStreams"] == 2

    async def test_states_after_the_end(self, room, channel):
        transport = await room.webrtc(listen_infos=[LOOPBACK], enable_sctp=True)
        channel.news(transport, m.WebRtcTransportIceSelectedTupleChange(tuple=flow()))
        log = []
        record(log, transport=transport)
        transport.on("icestatechange", log.append)
        transport.close()
        assert (transport.ice_state, transport.dtls_state, transport.sctp_state) == ("closed",) * 3
        assert transport.ice_selected_tuple is None
        assert log == ["transport observer close"]

    async def test_stats_and_dump(self, room, channel):
        transport = await room.webrtc()
        counters = {
            f"{kind}{suffix}": 0
            for kind, suffix in [
                *((f"{p}bytes_", s) for p in ("", "rtp_", "rtx_") for s in ("received", "sent")),
                *((p, s) for p in ("", "rtp_", "rtx_") for s in ("recv_bitrate", "send_bitrate")),
                ("probation_", "bytes_sent"),
                ("probation_", "send_bitrate"),
            ]
        }
        base = m.TransportBaseStats(transport_id=transport.id, timestamp=5, **counters)
        channel.answers[m.TransportGetStats] = m.WebRtcTransportGetStatsResponse(
            base=base, ice_role=m.IceRole.CONTROLLED, ice_state=m.IceState.NEW, dtls_state=m.DtlsState.NEW
        )
        (stats,) = await transport.get_stats()
        assert (stats["type"], stats["transportId"], stats["timestamp"]) == ("webrtc-transport", transport.id, 5)
        assert (stats["iceRole"], stats["iceState"], stats["dtlsState"]) == ("controlled", "new", "new")
        assert stats["rtxBytesSent"] == 0 and "base" not in stats and "maxIncomingBitrate" not in stats
        request = channel.last(m.RouterCreateWebRtcTransport)
        channel.answers[m.TransportDump] = channel.answers[m.RouterCreateWebRtcTransport](request)
        dump = await transport.dump()
        assert dump["id"] == transport.id and dump["iceState"] == "new" and dump["producerIds"] == []
        assert dump["rtpListener"] == {"ssrcTable": [], "midTable": [], "ridTable": []}
        assert dump["recvRtpHeaderExtensions"] == {}
        assert not dump.keys() & {"base", "direct", "sctpParameters", "iceSelectedTuple"}


class TestPlain:
    async def test_options_and_properties(self, room, channel):
        transport = await room.plain(comedia=True, enable_srtp=True, srtp_crypto_suite="AEAD_AES_128_GCM")
        options = channel.last(m.RouterCreatePlainTransport).options
        assert options.listen_info.ip == "127.0.0.1" and options.rtcp_listen_info is None
        assert options.rtcp_mux and options.comedia and options.enable_srtp
        assert options.srtp_crypto_suite is m.SrtpCryptoSuite.AEAD_AES_128_GCM
        assert not options.base.is_data_channel
        assert transport.type == "plain" and transport.rtcp_tuple is None
        assert transport.tuple == {
            "localAddress": "127.0.0.1",
            "localIp": "127.0.0.1",
            "localPort": 40000,
            "remotePort": 0,
            "protocol": "udp",
        }
        assert transport.srtp_parameters == {"cryptoSuite": "AEAD_AES_128_GCM", "keyBase64": "a2V5"}
        assert transport.sctp_parameters is None and transport.sctp_state is None

    @pytest.mark.parametrize(
        ("options", "rtp_port", "rtcp_port"),
        [
            ({"rtcp_mux": False}, 0, 0),
            ({"rtcp_mux": False, "listen_info": LOOPBACK | {"port": 5004}}, 5004, 5005),
            ({"rtcp_listen_info": LOOPBACK | {"port": 7}}, 0, 7),
            ({"rtcp_mux": True, "rtcp_listen_info": LOOPBACK | {"port": 7}}, 0, 7),
        ],
    )
    async def test_rtcp_of_its_own(self, room, channel, options, rtp_port, rtcp_port):
        transport = await room.router.create_plain_transport(**{"listen_info": LOOPBACK} | options)
        sent = channel.last(m.RouterCreatePlainTransport).options
        assert not sent.rtcp_mux
        assert (sent.listen_info.port, sent.rtcp_listen_info.port) == (rtp_port, rtcp_port)
        assert transport.rtcp_tuple["localPort"] == 40001

    @pytest.mark.parametrize(
        ("options", "argument"),
        [
            ({}, "listen_info, listen_ip"),
            ({"listen_info": LOOPBACK, "listen_ip": "127.0.0.1"}, "listen_info and listen_ip"),
            ({"listen_info": {"protocol": "tcp", "ip": "127.0.0.1"}}, "listen_info.protocol"),
            ({"listen_info": LOOPBACK, "rtcp_listen_info": {"protocol": "tcp", "ip": "127.0.0.1"}}, "rtcp_listen_info"),
            ({"listen_info": LOOPBACK, "srtp_crypto_suite": "FOO"}, "srtp_crypto_suite"),
            ({"listen_info": LOOPBACK, "comedia": "yes"}, "comedia"),
            ({"listen_ip": 123}, "listen_ip.ip"),
        ],
    )
    async def test_wrong_options(self, room, options, argument):
        with pytest.raises(TypeError, match=argument):
            await room.router.create_plain_transport(**options)

    async def test_listen_ip(self, room, channel):
        await room.router.create_plain_transport(listen_ip={"ip": "127.0.0.1", "announcedIp": "a.b"}, port=3)
        info = channel.last(m.RouterCreatePlainTransport).options.listen_info
        assert (info.ip, info.announced_address, info.port) == ("127.0.0.1", "a.b", 3)

    async def test_connect(self, room, channel):
        transport = await room.plain(rtcp_mux=False, enable_srtp=True)
        channel.answers[m.PlainTransportConnect] = m.PlainTransportConnectResponse(
            tuple=flow(remote_ip="127.0.0.2"),
            rtcp_tuple=flow(40001, remote_ip="127.0.0.2"),
            srtp_parameters=srtp(m.SrtpCryptoSuite.AEAD_AES_256_GCM),
        )
        key = {"cryptoSuite": "AEAD_AES_256_GCM", "keyBase64": "abc"}
        await transport.connect(ip="127.0.0.2", port=1, rtcp_port=2, srtp_parameters=key)
        sent = channel.last(m.PlainTransportConnect)
        assert (sent.ip, sent.port, sent.rtcp_port) == ("127.0.0.2", 1, 2)
        assert sent.srtp_parameters.crypto_suite is m.SrtpCryptoSuite.AEAD_AES_256_GCM
        assert transport.tuple["remoteIp"] == transport.rtcp_tuple["remoteIp"] == "127.0.0.2"
        assert transport.srtp_parameters["cryptoSuite"] == "AEAD_AES_256_GCM"

    @pytest.mark.parametrize(
        ("options", "argument"),
        [
            ({"ip": 1}, "ip"),
            ({"ip": "example.com"}, "ip"),
            ({"port": "1"}, "port"),
            ({"port": 0}, "port"),
            ({"rtcp_port": 65536}, "rtcp_port"),
            ({"srtp_parameters": "x"}, "srtp_parameters"),
            ({"srtp_parameters": {"cryptoSuite": "x", "keyBase64": "a"}}, "cryptoSuite"),
            ({"srtp_parameters": {"cryptoSuite": "AEAD_AES_256_GCM"}}, "keyBase64"),
        ],
    )
    async def test_connect_with_wrong_arguments(self, room, options, argument):
        transport = await room.plain()
        with pytest.raises(TypeError, match=argument):
            await transport.connect(**options)

    async def test_news(self, room, channel):
        transport = await room.plain(comedia=True, rtcp_mux=False)
        seen, observed = [], []
        for event in ("tuple", "rtcptuple"):
            transport.on(event, lambda data, event=event: seen.append((event, data["remoteIp"])))
            transport.observer.on(event, lambda data, event=event: observed.append((event, data["remoteIp"])))
        channel.news(transport, m.PlainTransportTuple(tuple=flow(remote_ip="1.1.1.1")))
        channel.news(transport, m.PlainTransportRtcpTuple(tuple=flow(remote_ip="2.2.2.2")))
        assert seen == observed == [("tuple", "1.1.1.1"), ("rtcptuple", "2.2.2.2")]
        assert transport.tuple["remoteIp"] == "1.1.1.1" and transport.rtcp_tuple["remoteIp"] == "2.2.2.2"


class TestPipe:
    async def test_options_and_properties(self, room, channel):
        transport = await room.pipe(enable_rtx=True, enable_srtp=True, enable_sctp=True)
        options = channel.last(m.RouterCreatePipeTransport).options
        assert options.enable_rtx and options.enable_srtp and options.base.enable_sctp
        assert transport.type == "pipe" and transport.tuple["localPort"] == 40000
        assert transport.srtp_parameters == {"cryptoSuite": "AEAD_AES_256_GCM", "keyBase64": "a2V5"}
        with pytest.raises(TypeError, match="listen_info"):
            await room.router.create_pipe_transport()

    async def test_connect(self, room, channel):
        transport = await room.pipe()
        await transport.connect(ip="127.0.0.9", port=9)
        assert channel.last(m.PipeTransportConnect) == m.PipeTransportConnect(ip="127.0.0.9", port=9)
        assert transport.tuple["remoteIp"] == "127.0.0.9"
        with pytest.raises(TypeError, match="ip"):
            await transport.connect(ip=None, port=9)

    @pytest.mark.parametrize("rtx", [False, True])
    async def test_consume(self, room, channel, rtx):
        sender, transport = await room.plain(), await room.pipe(enable_rtx=rtx)
        producer = await room.video(sender)
        consumer = await transport.consume(producer_id=producer.id, app_data={"a": 1})
        request = channel.last(m.TransportConsume)
        assert request.type is m.RtpType.PIPE and not request.paused
        assert consumer.type == "pipe" and consumer.app_data == {"a": 1}
        assert "mid" not in consumer.rtp_parameters
        assert len(consumer.rtp_parameters["codecs"]) == (2 if rtx else 1)
        with pytest.raises(NotFoundError, match="producer_id"):
            await transport.consume(producer_id="x")
        with pytest.raises(TypeError, match="app_data"):
            await transport.consume(producer_id=producer.id, app_data=1)


class TestDirect:
    async def test_options(self, room, channel):
        transport = await room.router.create_direct_transport(max_send_message_size=5)
        base = channel.last(m.RouterCreateDirectTransport).options.base
        assert base.direct and (base.max_send_message_size, base.max_receive_message_size) == (5, 262_144)
        assert transport.type == "direct"
        for wrong in ({"max_send_message_size": "x"}, {"max_receive_message_size": -1}, {"app_data": 1}):
            with pytest.raises(TypeError, match=next(iter(wrong))):
                await room.router.create_direct_transport(**wrong)

    async def test_what_it_does_not_do(self, room, channel):
        transport = await room.direct()
        asked = len(channel.requests)
        await transport.connect()
        for method in ("set_max_incoming_bitrate", "set_max_outgoing_bitrate", "set_min_outgoing_bitrate"):
            with pytest.raises(UnsupportedError, match=method):
                await getattr(transport, method)(1)
        assert len(channel.requests) == asked

    async def test_rtcp(self, room, channel):
        transport = await room.direct()
        seen, observed = [], []
        transport.on("rtcp", seen.append)
        transport.observer.on("rtcp", observed.append)
        channel.news(transport, m.DirectTransportRtcp(data=b"rr"))
        assert seen == observed == [b"rr"]
        transport.send_rtcp(b"sr")
        assert channel.notifications == [(m.TransportSendRtcp(data=b"sr"), transport.id)]
        with pytest.raises(TypeError, match="packet"):
            transport.send_rtcp("sr")

    async def test_dump(self, room, channel):
        transport = await room.direct()
        channel.answers[m.TransportDump] = m.DirectTransportDumpResponse(base=base_dump(transport.id))
        assert (await transport.dump())["id"] == transport.id
