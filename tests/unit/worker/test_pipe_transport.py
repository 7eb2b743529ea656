"""PipeTransport: connecting with and without SRTP."""

from typing import Any

import pytest

from sfu_core.channel import messages as m
from sfu_core.errors import SfuError, UnsupportedError
from sfu_core.worker.srtp import key_of, new_key, parameters_of

from .conftest import World, listen_info

GCM_256 = m.SrtpCryptoSuite.AEAD_AES_256_GCM


def pipe(world: World, **options: Any) -> m.PipeTransportDumpResponse:
    world.router()
    fields = {"listen_info": listen_info(), "enable_rtx": False, "enable_srtp": False} | options
    fields = {"base": m.TransportOptions()} | fields
    request = m.RouterCreatePipeTransport(transport_id="pipe", options=m.PipeTransportOptions(**fields))
    dump: m.PipeTransportDumpResponse = world.ask(request, "r")
    return dump


def connect(world: World, **fields: Any) -> m.PipeTransportConnectResponse:
    request = m.PipeTransportConnect(**{"ip": "127.0.0.1", "port": 9} | fields)
    reply: m.PipeTransportConnectResponse = world.ask(request, "pipe")
    return reply


def test_plain(world: World) -> None:
    dump = pipe(world, enable_rtx=True)
    assert (dump.rtx, dump.srtp_parameters, dump.tuple.remote_ip) == (True, None, None)
    (entry,) = world.engine.live["transport"].values()
    assert (entry["pipe"], entry["srtp"], entry["comedia"]) == (True, False, False)
    reply = connect(world)
    assert (reply.tuple.remote_ip, reply.tuple.remote_port) == ("127.0.0.1", 9)
    assert entry["remote"] == ("127.0.0.1", 9, 0)
    assert world.ask(m.TransportDump(), "pipe").tuple == reply.tuple
    assert world.ask(m.TransportGetStats(), "pipe").tuple == reply.tuple
    with pytest.raises(SfuError, match="already"):
        connect(world)


def test_srtp(world: World) -> None:
    ours = pipe(world, enable_srtp=True).srtp_parameters
    assert ours is not None and ours.crypto_suite is GCM_256
    theirs = new_key(GCM_256)
    connect(world, srtp_parameters=parameters_of(GCM_256, theirs))
    (entry,) = world.engine.live["transport"].values()
    assert entry["keys"] == (0, key_of(ours), theirs)


@pytest.mark.parametrize(
    ("srtp", "wrong", "name"),
    [
        (False, {"srtp_parameters": parameters_of(GCM_256, new_key(GCM_256))}, "given"),
        (True, {}, "missing"),
        (True, {"srtp_parameters": parameters_of(GCM_256, bytes(30))}, "30 bytes"),
        (
            True,
            {"srtp_parameters": parameters_of(m.SrtpCryptoSuite.AEAD_AES_128_GCM, bytes(28))},
            "AEAD_AES_256_GCM only",
        ),
        (False, {"port": None}, "port is missing"),
        (False, {"ip": "::1"}, "family"),
    ],
)
def test_wrong_connect(world: World, srtp: bool, wrong: dict[str, Any], name: str) -> None:
    pipe(world, enable_srtp=srtp)
    with pytest.raises(TypeError, match=name):
        connect(world, **wrong)
    (entry,) = world.engine.live["transport"].values()
    assert "remote" not in entry and "keys" not in entry


def test_tcp_is_refused(world: World) -> None:
    with pytest.raises(TypeError, match="UDP only"):
        pipe(world, listen_info=listen_info(protocol=m.TransportProtocol.TCP))


def test_sctp_may_be_asked_for_but_not_used(world: World) -> None:
    """pipeToRouter() asks for it by default, whatever is piped."""
    dump = pipe(world, base=m.TransportOptions(enable_sctp=True))
    assert dump.base.sctp_parameters is None
    with pytest.raises(UnsupportedError, match="consumeData"):
        request = m.TransportConsumeData(data_consumer_id="c", data_producer_id="p", type=m.DataType.SCTP)
        world.ask(request, "pipe")
