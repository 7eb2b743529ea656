"""One worker's answers, out of what is known here and what the members say.

Pure functions: dumps from the tree (so pipes do not show), sums over members, and the statistics and scores of
consumers whose producer is on another member.
"""

from collections.abc import Iterable, Sequence

import msgspec

from sfu_core.channel import messages as m
from vertical.links import Carried
from vertical.mirror_views import base_of
from vertical.tree import AnyProducer, AnyTransport, Consumer, Producer, Router, Server, Tree


def worker_dump(pid: int, tree: Tree) -> m.WorkerDumpResponse:
    """WORKER_DUMP."""
    return m.WorkerDumpResponse(
        pid=pid,
        web_rtc_server_ids=[server.id for server in tree.all(Server)],
        router_ids=[router.id for router in tree.all(Router)],
        channel_message_handlers=m.ChannelMessageHandlers(
            channel_request_handlers=list(tree.objects),
            channel_notification_handlers=[
                id for id, record in tree.objects.items() if isinstance(record, AnyTransport | AnyProducer)
            ],
        ),
    )


def router_dump(router: Router) -> m.RouterDumpResponse:
    """ROUTER_DUMP."""
    producers = router.producers.values()
    return m.RouterDumpResponse(
        id=router.id,
        transport_ids=list(router.transports),
        rtp_observer_ids=[],
        map_producer_id_consumer_ids=[
            m.StringStringArray(key=producer.id, values=list(producer.consumers)) for producer in producers
        ],
        map_consumer_id_producer_id=[
            m.StringString(key=id, value=producer.id) for producer in producers for id in producer.consumers
        ],
        map_producer_id_observer_ids=[m.StringStringArray(key=producer.id, values=[]) for producer in producers],
        map_data_producer_id_data_consumer_ids=[],
        map_data_consumer_id_data_producer_id=[],
    )


def server_dump(dumps: Sequence[m.WebRtcServerDumpResponse], server: Server) -> m.WebRtcServerDumpResponse:
    """WEBRTCSERVER_DUMP: the sockets of all members (of one, if they share them), transports in order of creation."""
    listening = dumps if server.port is None else dumps[:1]
    fragments = {each.web_rtc_transport_id: each for dump in dumps for each in dump.local_ice_username_fragments}
    return m.WebRtcServerDumpResponse(
        id=server.id,
        udp_sockets=[each for dump in listening for each in dump.udp_sockets],
        tcp_servers=[each for dump in listening for each in dump.tcp_servers],
        web_rtc_transport_ids=list(server.transports),
        local_ice_username_fragments=[fragments[id] for id in server.transports if id in fragments],
    )


def total_usage(usages: Iterable[m.WorkerGetResourceUsageResponse]) -> m.WorkerGetResourceUsageResponse:
    """WORKER_GET_RESOURCE_USAGE: as if all members were one process."""
    total = dict.fromkeys((field.name for field in msgspec.structs.fields(m.WorkerGetResourceUsageResponse)), 0)
    for usage in usages:
        for name in total:
            total[name] += getattr(usage, name)
    return m.WorkerGetResourceUsageResponse(**total)


def total_counters(members: Iterable[m.Counters]) -> m.Counters:
    """WORKER_GET_CORE_STATS: the sums."""
    total: dict[str, int] = {}
    for each in members:
        for name, value in each.counters.items():
            total[name] = total.get(name, 0) + value
    return m.Counters(counters=total)


# Consumers of a producer on another member


def scores(own: m.ConsumerScores, producer: Producer, type: m.RtpType) -> m.ConsumerScores:
    """What the consumer's member says of it, with what the producer's member says of the producer.

    The way between the two is not scored: only the sender's network and the receiver's are.
    """
    streams = [
        producer.scores[index].score if index in producer.scores else 0
        for index in range(len(producer.request.rtp_mapping.encodings))
    ]
    behind = streams[0] if type is m.RtpType.SIMPLE else own.producer_score
    return m.ConsumerScores(score=own.score, producer_score=behind, producer_scores=streams)


def consumer_stats(
    own: m.ConsumerGetStatsResponse, source: m.ProducerGetStatsResponse, consumer: Consumer, carried: Carried | None
) -> m.ConsumerGetStatsResponse:
    """CONSUMER_GET_STATS: what is sent, from its member; what arrives from the sender, from the producer's member."""
    sent = [stats for stats in own.stats if isinstance(stats.data, m.SendStats)]
    if consumer.type is m.RtpType.PIPE:
        return m.ConsumerGetStatsResponse(stats=sent)
    if consumer.type is m.RtpType.SIMPLE:
        return m.ConsumerGetStatsResponse(stats=[*sent, *source.stats[:1]])
    behind = [ssrc for stats in own.stats if (ssrc := _original(stats, consumer.producer.source, carried)) is not None]
    received = [stats for stats in source.stats if base_of(stats).ssrc in behind]
    return m.ConsumerGetStatsResponse(stats=[*sent, *received])


def _original(stats: m.StreamStats, producer: Producer, carried: Carried | None) -> int | None:
    """The sender's SSRC of the stream that came through a pipe with these statistics."""
    index = carried.stream_of(base_of(stats).ssrc) if carried is not None else None
    return producer.scores[index].ssrc if index is not None and index in producer.scores else None
