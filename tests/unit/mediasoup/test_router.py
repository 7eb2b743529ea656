import pytest

from sfu_core.channel import messages as m
from sfu_core.errors import NotFoundError, SfuError, UnsupportedError, WorkerClosedError

from .fakes import CODECS, LOOPBACK, Room, record


async def test_capabilities_are_a_copy(room):
    capabilities = room.router.rtp_capabilities
    assert [codec["mimeType"] for codec in capabilities["codecs"]] == ["audio/opus", "video/VP8", "video/rtx"]
    capabilities["codecs"].clear()
    assert room.router.rtp_capabilities["codecs"]


@pytest.mark.parametrize(
    ("codecs", "error", "argument"),
    [
        ({}, TypeError, "media_codecs"),
        ([{"mimeType": "audio/opus"}], TypeError, "clockRate"),
        ([{"mimeType": "audio/chicken", "clockRate": 8000}], UnsupportedError, "audio/chicken"),
    ],
)
async def test_wrong_codecs(room, channel, codecs, error, argument):
    with pytest.raises(error, match=argument):
        await room.worker.create_router(media_codecs=codecs)
    assert len([x for x, _ in channel.requests if isinstance(x, m.WorkerCreateRouter)]) == 1


async def test_codecs_of_the_application_are_not_changed(room):
    codecs = [{"mimeType": "video/VP8", "clockRate": 90000}]
    await room.worker.create_router(media_codecs=codecs)
    assert codecs == [{"mimeType": "video/VP8", "clockRate": 90000}]


async def test_update_media_codecs(room):
    transport = await room.plain()
    video = await room.video(transport)
    room.router.update_media_codecs(CODECS[:1])
    assert [codec["mimeType"] for codec in room.router.rtp_capabilities["codecs"]] == ["audio/opus"]
    assert not video.closed
    with pytest.raises(UnsupportedError, match="VP8"):
        await room.video(transport)
    with pytest.raises(UnsupportedError):
        room.router.update_media_codecs([{"mimeType": "audio/x", "clockRate": 1}])
    assert room.router.rtp_capabilities["codecs"]


async def test_can_consume(room, caplog):
    producer = await room.video(await room.plain())

    def can(**options):
        good = {"producer_id": producer.id, "rtp_capabilities": room.router.rtp_capabilities}
        return room.router.can_consume(**(good | options))

    assert can() is True
    assert can(rtp_capabilities={"codecs": CODECS[:1]}) is False
    assert not caplog.records
    assert can(producer_id="x") is False
    assert can(rtp_capabilities={"codecs": "x"}) is False
    assert can(rtp_capabilities=None) is False
    assert len(caplog.records) == 3
    producer.close()
    assert can() is False


async def test_dump(room, channel):
    channel.answers[m.RouterDump] = m.RouterDumpResponse(
        id=room.router.id,
        transport_ids=["t"],
        rtp_observer_ids=[],
        map_producer_id_consumer_ids=[m.StringStringArray(key="p", values=["c"])],
        map_consumer_id_producer_id=[m.StringString(key="c", value="p")],
        map_producer_id_observer_ids=[],
        map_data_producer_id_data_consumer_ids=[],
        map_data_consumer_id_data_producer_id=[],
    )
    assert await room.router.dump() == {
        "id": room.router.id,
        "transportIds": ["t"],
        "rtpObserverIds": [],
        "mapProducerIdConsumerIds": [{"key": "p", "values": ["c"]}],
        "mapConsumerIdProducerId": [{"key": "c", "value": "p"}],
        "mapProducerIdObserverIds": [],
        "mapDataProducerIdDataConsumerIds": [],
        "mapDataConsumerIdDataProducerId": [],
    }


async def test_closing(room, channel):
    transport = await room.plain()
    producer = await room.audio(transport)
    observer = await room.router.create_audio_level_observer()
    record(channel.log, router=room.router, transport=transport, producer=producer, levels=observer)
    room.router.close()
    room.router.close()
    assert channel.log == [
        "WORKER_CLOSE_ROUTER",
        "producer transportclose",
        "producer observer close",
        "transport routerclose",
        "transport observer close",
        "levels routerclose",
        "levels observer close",
        "router observer close",
    ]
    assert channel.posted == [(m.WorkerCloseRouter(router_id=room.router.id), "")]
    assert channel.listeners.keys() <= {""}


async def test_a_router_of_another_worker_cannot_be_born_late(room, channel):
    def close_meanwhile(request):
        room.router.close()
        return channel.answers["plain"](request)

    channel.answers["plain"] = channel.answers[m.RouterCreatePlainTransport]
    channel.answers[m.RouterCreatePlainTransport] = close_meanwhile
    with pytest.raises(NotFoundError, match="closed"):
        await room.plain()


async def test_observers_hear_of_new_things(room):
    log = []
    record(log, router=room.router)
    transport = await room.plain()
    await room.router.create_active_speaker_observer()
    assert log == ["router observer newtransport", "router observer newrtpobserver"]
    assert list(room.router._transports) == [transport.id]
    transport.close()
    assert not room.router._transports


class TestWebRtcServer:
    async def server(self, room):
        return await room.worker.create_webrtc_server(listen_infos=[LOOPBACK | {"port": 4000}], app_data={"s": 1})

    async def test_creating(self, room, channel):
        log = []
        record(log, worker=room.worker)
        server = await self.server(room)
        request = channel.last(m.WorkerCreateWebRtcServer)
        assert request.web_rtc_server_id == server.id and request.listen_infos[0].port == 4000
        assert server.app_data == {"s": 1} and log == ["worker observer newwebrtcserver"]
        for wrong in ([], None, [{"ip": "127.0.0.1"}]):
            with pytest.raises(TypeError, match="listen_infos"):
                await room.worker.create_webrtc_server(listen_infos=wrong)

    async def test_its_transports(self, room, channel):
        server = await self.server(room)
        handled, unhandled = [], []
        server.observer.on("webrtctransporthandled", handled.append)
        server.observer.on("webrtctransportunhandled", unhandled.append)
        transport = await room.webrtc(webrtc_server=server)
        options = channel.last(m.RouterCreateWebRtcTransportWithServer).options
        assert options.listen == m.ListenServer(web_rtc_server_id=server.id)
        assert options.enable_udp and options.enable_tcp
        await room.webrtc(webrtc_server=server, enable_tcp=False, prefer_udp=True)
        options = channel.last(m.RouterCreateWebRtcTransportWithServer).options
        assert not options.enable_tcp and options.prefer_udp
        assert handled[0] is transport and not unhandled
        transport.close()
        assert unhandled == [transport]

    async def test_closing(self, room, channel):
        server = await self.server(room)
        transport = await room.webrtc(webrtc_server=server)
        producer = await room.audio(transport)
        record(channel.log, server=server, transport=transport, producer=producer, router=room.router)
        server.close()
        server.close()
        assert channel.log == [
            "WORKER_WEBRTCSERVER_CLOSE",
            "producer transportclose",
            "producer observer close",
            "server observer webrtctransportunhandled",
            "transport listenserverclose",
            "transport observer close",
            "server observer close",
        ]
        assert transport.ice_state == "closed"
        assert channel.posted == [(m.WorkerWebRtcServerClose(web_rtc_server_id=server.id), "")]

    async def test_dump(self, room, channel):
        server = await self.server(room)
        channel.answers[m.WebRtcServerDump] = m.WebRtcServerDumpResponse(
            id=server.id,
            udp_sockets=[m.IpPort(ip="127.0.0.1", port=1)],
            tcp_servers=[],
            web_rtc_transport_ids=["t"],
            local_ice_username_fragments=[
                m.IceUserNameFragment(local_ice_username_fragment="u", web_rtc_transport_id="t")
            ],
        )
        assert await server.dump() == {
            "id": server.id,
            "udpSockets": [{"ip": "127.0.0.1", "port": 1}],
            "tcpServers": [],
            "webRtcTransportIds": ["t"],
            "localIceUsernameFragments": [{"localIceUsernameFragment": "u", "webRtcTransportId": "t"}],
        }


class TestRtpObservers:
    @pytest.mark.parametrize(
        ("options", "argument"),
        [
            ({"max_entries": 0}, "max_entries"),
            ({"max_entries": "1"}, "max_entries"),
            ({"threshold": 1}, "threshold"),
            ({"threshold": -128}, "threshold"),
            ({"interval": "x"}, "interval"),
            ({"app_data": 1}, "app_data"),
        ],
    )
    async def test_wrong_options(self, room, options, argument):
        with pytest.raises(TypeError, match=argument):
            await room.router.create_audio_level_observer(**options)
        if options.keys() <= {"interval", "app_data"}:
            with pytest.raises(TypeError, match=argument):
                await room.router.create_active_speaker_observer(**options)

    async def test_options(self, room, channel):
        levels = await room.router.create_audio_level_observer(max_entries=2, threshold=-70, interval=500)
        assert channel.last(m.RouterCreateAudioLevelObserver) == m.RouterCreateAudioLevelObserver(
            rtp_observer_id=levels.id,
            options=m.AudioLevelObserverOptions(max_entries=2, threshold=-70, interval=500),
        )
        speaker = await room.router.create_active_speaker_observer()
        assert channel.last(m.RouterCreateActiveSpeakerObserver).options.interval == 300
        assert (levels.type, speaker.type) == ("audiolevel", "activespeaker")
        assert not levels.paused and not levels.closed

    async def test_not_served_yet(self, room, channel):
        channel.answers[m.RouterCreateAudioLevelObserver] = UnsupportedError("later")
        with pytest.raises(UnsupportedError, match="later"):
            await room.router.create_audio_level_observer()
        assert not room.router._rtp_observers

    async def test_producers(self, room, channel):
        observer = await room.router.create_audio_level_observer()
        producer = await room.audio(await room.plain())
        seen = []
        observer.observer.on("addproducer", seen.append)
        observer.observer.on("removeproducer", seen.append)
        await observer.add_producer(producer_id=producer.id)
        await observer.remove_producer(producer_id=producer.id)
        assert seen == [producer, producer]
        assert channel.last(m.RtpObserverRemoveProducer).producer_id == producer.id
        for method in (observer.add_producer, observer.remove_producer):
            with pytest.raises(NotFoundError, match="producer_id"):
                await method(producer_id="x")

    async def test_pausing_and_closing(self, room, channel):
        observer = await room.router.create_active_speaker_observer()
        record(channel.log, speaker=observer)
        for action in (observer.pause, observer.pause, observer.resume, observer.resume):
            await action()
        observer.close()
        observer.close()
        assert channel.log == [
            "speaker observer pause",
            "speaker observer resume",
            "ROUTER_CLOSE_RTPOBSERVER",
            "speaker observer close",
        ]
        assert channel.posted[0][1] == room.router.id

    async def test_levels(self, room, channel):
        observer = await room.router.create_audio_level_observer()
        producer = await room.audio(await room.plain())
        seen, observed = [], []
        for event in ("volumes", "silence"):
            observer.on(event, lambda *args, event=event: seen.append((event, *args)))
            observer.observer.on(event, lambda *args, event=event: observed.append((event, *args)))
        gone = m.AudioLevelVolume(producer_id="gone", volume=-5)
        loud = m.AudioLevelVolume(producer_id=producer.id, volume=-10)
        channel.news(observer, m.AudioLevelObserverVolumes(volumes=[gone, loud]))
        channel.news(observer, m.AudioLevelObserverVolumes(volumes=[gone]))
        channel.news(observer, m.AudioLevelObserverSilence())
        assert seen == observed == [("volumes", [{"producer": producer, "volume": -10}]), ("silence",)]

    async def test_speaker(self, room, channel):
        observer = await room.router.create_active_speaker_observer()
        producer = await room.audio(await room.plain())
        seen = []
        observer.on("dominantspeaker", seen.append)
        observer.observer.on("dominantspeaker", seen.append)
        channel.news(observer, m.ActiveSpeakerObserverDominantSpeaker(producer_id=producer.id))
        channel.news(observer, m.ActiveSpeakerObserverDominantSpeaker(producer_id="gone"))
        assert seen == [{"producer": producer}] * 2


async def test_errors_of_the_worker_come_through(room, channel):
    for error in (SfuError("port in use"), TypeError("bad"), NotFoundError("gone"), WorkerClosedError("dead")):
        channel.answers[m.RouterCreatePlainTransport] = error
        with pytest.raises(type(error), match=str(error)):
            await room.plain()
    assert not room.router._transports


async def test_rooms_are_separate(room, channel):
    other = Room(channel, room.worker, await room.worker.create_router(media_codecs=CODECS))
    producer = await room.audio(await room.plain())
    with pytest.raises(NotFoundError):
        await other.consume(await other.plain(), producer)
