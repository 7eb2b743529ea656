"""The parameters of a pipe: those that ORTC gives the same producer."""

import pytest

from sfu_core.channel import messages as m
from sfu_core.mediasoup import ortc
from sfu_core.mediasoup.convert import rtp
from vertical.pipe_parameters import pipe_parameters, ssrc_count

CODECS = [
    {"kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2},
    {"kind": "audio", "mimeType": "audio/PCMU", "clockRate": 8000},
    {"kind": "video", "mimeType": "video/VP8", "clockRate": 90000},
    {"kind": "video", "mimeType": "video/VP9", "clockRate": 90000, "parameters": {"profile-id": 2}},
    {
        "kind": "video",
        "mimeType": "video/H264",
        "clockRate": 90000,
        "parameters": {"packetization-mode": 1, "profile-level-id": "4d0032"},
    },
]
CAPTURE_TIME = {"uri": "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time", "id": 9}
LEVEL = {"uri": "urn:ietf:params:rtp-hdrext:ssrc-audio-level", "id": 12}
OPUS = {
    "mimeType": "audio/opus",
    "payloadType": 111,
    "clockRate": 48000,
    "channels": 2,
    "parameters": {"useinbandfec": 1, "foo": 2.5, "bar": "x"},
    "rtcpFeedback": [{"type": "transport-cc"}],
}
PCMU = {"mimeType": "audio/PCMU", "payloadType": 0, "clockRate": 8000}
FEEDBACK = [
    {"type": "nack"},
    {"type": "nack", "parameter": "pli"},
    {"type": "ccm", "parameter": "fir"},
    {"type": "goog-remb"},
    {"type": "transport-cc"},
]


def video(name, payload_type, **parameters):
    codec = {"mimeType": f"video/{name}", "payloadType": payload_type, "clockRate": 90000, "rtcpFeedback": FEEDBACK}
    rtx = {"mimeType": "video/rtx", "payloadType": payload_type + 1, "clockRate": 90000}
    return [codec | {"parameters": parameters}, rtx | {"parameters": {"apt": payload_type}}]


H264 = video("H264", 112, **{"packetization-mode": 1, "profile-level-id": "4d0032"})
SIMULCAST = [{"rid": rid, "maxBitrate": 100_000 * n, "scalabilityMode": "L1T3"} for n, rid in enumerate("lmh", 1)]

PRODUCERS = {
    "opus": ("audio", [OPUS], [{"ssrc": 1, "dtx": True}], [LEVEL]),
    "capture time": ("audio", [OPUS], [{"ssrc": 1}], [CAPTURE_TIME]),
    "two audio codecs": ("audio", [OPUS, PCMU], [{"ssrc": 1}], []),
    "vp8": ("video", video("VP8", 96), [{"ssrc": 1, "rtx": {"ssrc": 2}}], []),
    "no rtx": ("video", video("VP8", 96)[:1], [{"ssrc": 1}], []),
    "h264": ("video", H264, [{"ssrc": 1, "maxBitrate": 5}], []),
    "two video codecs": ("video", [*video("VP8", 96), *H264], [{"ssrc": 1}], []),
    "svc": ("video", video("VP9", 98, **{"profile-id": 2}), [{"ssrc": 1, "scalabilityMode": "L3T3"}], []),
    "simulcast": ("video", video("VP8", 96), SIMULCAST, []),
}


def producer(name, **more):
    """The request that a transport sends for it, and what ORTC says its consumers may get."""
    kind, codecs, encodings, extensions = PRODUCERS[name]
    capabilities = ortc.generate_router_rtp_capabilities(CODECS)
    offered = {"codecs": codecs, "encodings": encodings, "headerExtensions": extensions, "rtcp": {"cname": "me"}}
    parameters = ortc.validate_rtp_parameters(offered | more)
    mapping = ortc.get_producer_rtp_parameters_mapping(parameters, capabilities)
    consumable = ortc.get_consumable_rtp_parameters(kind, parameters, capabilities, mapping)
    request = m.TransportProduce(
        producer_id="p",
        kind=rtp.kind_to_wire(kind),
        rtp_parameters=rtp.rtp_parameters_to_wire(parameters),
        rtp_mapping=rtp.rtp_mapping_to_wire(mapping),
    )
    return request, consumable


def plain(parameters):
    """Without what may differ: SSRCs, and the payload types of RTX, which are the pipe's own affair."""
    mime_types = {codec.payload_type: codec.mime_type.lower() for codec in parameters.codecs}
    codecs = []
    for codec in parameters.codecs:
        values = {item.name: item.value.value for item in codec.parameters}
        is_rtx = codec.mime_type.endswith("/rtx")
        if is_rtx:
            values["apt"] = mime_types[values["apt"]]
        number = None if is_rtx else codec.payload_type
        feedback = sorted((item.type, item.parameter or "") for item in codec.rtcp_feedback)
        codecs.append((codec.mime_type.lower(), number, codec.clock_rate, codec.channels, values, feedback))
    return {
        "codecs": sorted(codecs, key=str),
        "extensions": [(item.uri, item.id, item.encrypt) for item in parameters.header_extensions],
        "encodings": [
            (item.dtx, item.scalability_mode, item.max_bitrate, item.rid, item.rtx is not None)
            for item in parameters.encodings
        ],
        "cname": parameters.rtcp.cname,
        "mid": parameters.mid,
        "msid": parameters.msid,
    }


@pytest.mark.parametrize("name", PRODUCERS)
def test_it_is_what_ortc_says(name):
    request, consumable = producer(name)
    expected = rtp.rtp_parameters_to_wire(ortc.get_pipe_consumer_rtp_parameters(consumable))
    assert plain(pipe_parameters(request, 500).rtp_parameters) == plain(expected)


@pytest.mark.parametrize("name", [name for name in PRODUCERS if PRODUCERS[name][0] == "video"])
def test_with_rtx(name):
    request, consumable = producer(name)
    expected = rtp.rtp_parameters_to_wire(ortc.get_pipe_consumer_rtp_parameters(consumable, enable_rtx=True))
    way = pipe_parameters(request, 500, enable_rtx=True)
    assert plain(way.rtp_parameters) == plain(expected)
    numbers = [codec.payload_type for codec in way.rtp_parameters.codecs]
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("rtx", [False, True])
@pytest.mark.parametrize("name", PRODUCERS)
def test_numbers(name, rtx):
    """SSRCs are its own; behind the pipe consumers find the numbers that they know."""
    request, consumable = producer(name)
    way = pipe_parameters(request, 500, rtx)
    encodings = way.rtp_parameters.encodings
    used = [encoding.ssrc for encoding in encodings]
    used += [encoding.rtx.ssrc for encoding in encodings if encoding.rtx]
    assert sorted(used) == [500 + index for index in range(len(used))]
    assert len(used) <= ssrc_count(request, rtx)
    mapped = [encoding["ssrc"] for encoding in consumable["encodings"]]
    assert [encoding.mapped_ssrc for encoding in way.rtp_mapping.encodings] == mapped
    assert [encoding.ssrc for encoding in way.rtp_mapping.encodings] == [encoding.ssrc for encoding in encodings]
    assert [encoding.ssrc for encoding in way.consumable_rtp_encodings] == mapped
    known = {codec["payloadType"] for codec in consumable["codecs"] if not codec["mimeType"].endswith("rtx")}
    kept = {entry.payload_type: entry.mapped_payload_type for entry in way.rtp_mapping.codecs}
    assert known <= kept.keys() and all(kept[number] == number for number in known)


def test_the_request_is_left_alone():
    request, _ = producer("two video codecs", msid="stream track")
    before = repr(request)
    way = pipe_parameters(request, 500, True)
    assert repr(request) == before
    assert way.rtp_parameters.msid == "stream track"


def test_an_encodings_codec():
    encodings = [{"ssrc": 1, "codecPayloadType": 112}]
    request, _ = producer("two video codecs", encodings=encodings)
    way = pipe_parameters(request, 500)
    mapped = {entry.payload_type: entry.mapped_payload_type for entry in request.rtp_mapping.codecs}
    assert way.rtp_parameters.encodings[0].codec_payload_type == mapped[112]
