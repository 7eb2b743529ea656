"""What mediasoup-client generated in a real browser goes through the whole negotiation."""

import json
from pathlib import Path

import pytest

from sfu_core.mediasoup import ortc
from sfu_core.mediasoup.convert import api, rtp

DATA = Path(__file__).parents[3] / "data" / "mediasoup-client"
PRODUCE = json.loads((DATA / "produce.json").read_text())
DEVICE = json.loads((DATA / "device.json").read_text())
FORCED = json.loads((DATA / "device-forced-extensions.json").read_text())
TRANSPORT = json.loads((DATA / "transport.json").read_text())
ROUTER = ortc.generate_router_rtp_capabilities(DEVICE["mediaCodecs"])

CALLS = [*PRODUCE.items()] + [
    (f"transport-{index}", call["data"]) for index, call in enumerate(TRANSPORT) if call["method"] == "produce"
]
STREAMS = [call["data"] for call in TRANSPORT if call["method"] == "produceData"]


def negotiate(call):
    parameters = ortc.validate_rtp_parameters(call["rtpParameters"])
    mapping = ortc.get_producer_rtp_parameters_mapping(parameters, ROUTER)
    return parameters, mapping, ortc.get_consumable_rtp_parameters(call["kind"], parameters, ROUTER, mapping)


@pytest.mark.parametrize(("name", "call"), CALLS, ids=[name for name, _ in CALLS])
def test_producing(name, call):
    parameters, mapping, consumable = negotiate(call)
    router = {codec["preferredPayloadType"]: codec for codec in ROUTER["codecs"]}
    sent = {codec["payloadType"]: codec for codec in parameters["codecs"]}
    assert len(mapping["codecs"]) == len(sent) and len(mapping["encodings"]) == len(parameters["encodings"])
    for pair in mapping["codecs"]:
        theirs, ours = sent[pair["payloadType"]], router[pair["mappedPayloadType"]]
        assert theirs["mimeType"].lower() == ours["mimeType"].lower()
        if "apt" in ours["parameters"]:
            media = {p["payloadType"]: p["mappedPayloadType"] for p in mapping["codecs"]}
            assert media[theirs["parameters"]["apt"]] == ours["parameters"]["apt"]
    assert [e["ssrc"] for e in consumable["encodings"]] == [e["mappedSsrc"] for e in mapping["encodings"]]
    assert consumable["msid"] == call["rtpParameters"]["msid"]


@pytest.mark.parametrize(("name", "call"), CALLS, ids=[name for name, _ in CALLS])
def test_over_the_channel(name, call):
    """The parameters are the same after becoming messages and dictionaries again."""
    parameters, mapping, _ = negotiate(call)
    back = api.to_api(rtp.rtp_parameters_to_wire(parameters))
    for encoding in parameters["encodings"]:  # what only the browser needs stays behind
        encoding.pop("active", None)
        encoding.pop("scaleResolutionDownBy", None)
    assert back == parameters
    assert api.to_api(rtp.rtp_mapping_to_wire(mapping)) == mapping


@pytest.mark.parametrize("device", [DEVICE, FORCED], ids=["device", "forced"])
@pytest.mark.parametrize(("name", "call"), CALLS, ids=[name for name, _ in CALLS])
def test_consuming(name, call, device):
    _, _, consumable = negotiate(call)
    capabilities = device["recvRtpCapabilities"]
    assert ortc.can_consume(consumable, capabilities)
    result = ortc.get_consumer_rtp_parameters(consumable, capabilities)
    known = {(e["uri"], e["preferredId"]) for e in capabilities["headerExtensions"]}
    assert {(e["uri"], e["id"]) for e in result["headerExtensions"]} <= known
    video = call["kind"] == "video"
    assert [c["mimeType"].endswith("/rtx") for c in result["codecs"]] == ([False, True] if video else [False])
    assert result["codecs"][0]["payloadType"] == consumable["codecs"][0]["payloadType"]
    (encoding,) = result["encodings"]
    assert ("rtx" in encoding) is video
    if len(consumable["encodings"]) > 1:
        assert encoding["scalabilityMode"].startswith(f"L{len(consumable['encodings'])}T")
    types = {item["type"] for item in result["codecs"][0]["rtcpFeedback"]}
    assert not {"goog-remb", "transport-cc"} <= types
    if video:
        assert "transport-cc" in types


@pytest.mark.parametrize(("name", "call"), CALLS, ids=[name for name, _ in CALLS])
def test_piping(name, call):
    """What a pipe sends is what the other router can take in."""
    _, _, consumable = negotiate(call)
    for rtx in (False, True):
        piped = ortc.get_pipe_consumer_rtp_parameters(consumable, enable_rtx=rtx)
        _, mapping, there = negotiate({"kind": call["kind"], "rtpParameters": piped})
        assert len(mapping["encodings"]) == len(consumable["encodings"])
        assert [c["payloadType"] for c in there["codecs"]] == [c["payloadType"] for c in consumable["codecs"]]


@pytest.mark.parametrize("call", STREAMS)
def test_data_streams(call):
    given = call["sctpStreamParameters"]
    result = ortc.validate_sctp_stream_parameters(given)
    limited = any(given.get(key) is not None for key in ("maxPacketLifeTime", "maxRetransmits"))
    assert result["streamId"] == given["streamId"] and result["ordered"] is given.get("ordered", not limited)
    assert None not in result.values()


def test_the_recordings_are_all_there():
    assert len(PRODUCE) == 20 and len(CALLS) == 23 and len(STREAMS) == 3


@pytest.mark.parametrize("side", ["sendRtpCapabilities", "recvRtpCapabilities"])
@pytest.mark.parametrize("device", [DEVICE, FORCED], ids=["device", "forced"])
def test_capabilities_of_devices_are_normal_already(device, side):
    assert ortc.validate_rtp_capabilities(device[side]) == device[side]
