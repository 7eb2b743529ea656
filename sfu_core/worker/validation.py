"""What a core process refuses although the API above has accepted it: a second look at the parameters.

Pure functions over messages; TypeError names the field, UnsupportedError the feature. They also decide whether
a producer is simple, simulcast or SVC.
"""

from sfu_core.channel.messages import (
    RtpCodecParameters,
    RtpEncodingParameters,
    RtpParameters,
    RtpType,
    TransportConsume,
    TransportOptions,
    TransportProduce,
)
from sfu_core.errors import UnsupportedError
from sfu_core.worker.codecs import Role, can_layer, can_simulcast, role_of
from sfu_core.worker.rtp import apt_of, formats, layers_of, media_codecs

MIN_OUTGOING_BITRATE = 30_000  # bit/s


def check_options(options: TransportOptions) -> None:
    """Options that every transport class has."""
    if options.enable_sctp:
        raise UnsupportedError("enableSctp: data channels are not supported yet")


def check_produce(request: TransportProduce) -> RtpType:
    """The type of the producer that `request` describes; gives every encoding its codec."""
    parameters = request.rtp_parameters
    check_rtp_parameters(parameters)
    _check_streams_can_be_found(parameters)
    mapping = request.rtp_mapping
    if len(mapping.encodings) != len(parameters.encodings):
        raise TypeError("rtpMapping.encodings and rtpParameters.encodings differ in length")
    mapped = {codec.payload_type for codec in mapping.codecs}
    for format in formats(parameters):
        if format.media.payload_type not in mapped:
            raise TypeError(f"rtpMapping.codecs lacks payload type {format.media.payload_type}")
    return _supported(type_of(parameters))


def check_consume(request: TransportConsume) -> None:
    """Refuses a consumer that could not be fed; gives every encoding its codec."""
    parameters, consumable = request.rtp_parameters, request.consumable_rtp_encodings
    check_rtp_parameters(parameters)
    if not consumable:
        raise TypeError("consumableRtpEncodings is empty")
    if any(encoding.ssrc is None for encoding in consumable):
        raise TypeError("consumableRtpEncodings: an encoding has no ssrc")
    if any(encoding.ssrc is None for encoding in parameters.encodings):
        raise TypeError("rtpParameters.encodings: an encoding has no ssrc")
    if request.type is RtpType.PIPE:
        if len(parameters.encodings) != len(consumable):
            raise TypeError("rtpParameters.encodings and consumableRtpEncodings differ in length")
    elif _supported(request.type) is RtpType.SIMPLE and len(consumable) != 1:
        raise TypeError("consumableRtpEncodings: a simple consumer has one encoding")


def check_rtp_parameters(parameters: RtpParameters) -> None:
    """What holds for producers and consumers alike; sets each encoding's codecPayloadType if it has none."""
    if not parameters.rtcp.cname:
        raise TypeError("rtpParameters.rtcp.cname is missing or empty")
    _check_codecs(parameters.codecs)
    if any(extension.id == 0 for extension in parameters.header_extensions):
        raise TypeError("rtpParameters.headerExtensions: id 0")
    _check_encodings(parameters)


def type_of(parameters: RtpParameters) -> RtpType:
    """How a producer with these parameters is organised."""
    all_formats = formats(parameters)
    if len(all_formats) == 1:
        mime_type = all_formats[0].media.mime_type
        if layers_of(all_formats[0].encoding.scalability_mode) == (1, 1):
            return RtpType.SIMPLE
        if not can_layer(mime_type):
            raise TypeError(f"{mime_type} codec not supported for svc")
        return RtpType.SVC
    for format in all_formats:
        if not can_simulcast(format.media.mime_type):
            raise TypeError(f"{format.media.mime_type} codec not supported for simulcast")
    return RtpType.SIMULCAST


def check_outgoing_limits(minimum: int, maximum: int) -> None:
    """bit/s; 0 stands for none."""
    for name, value in (("minOutgoingBitrate", minimum), ("maxOutgoingBitrate", maximum)):
        if 0 < value < MIN_OUTGOING_BITRATE:
            raise TypeError(f"{name} must be 0 or at least {MIN_OUTGOING_BITRATE} bps")
    if maximum and minimum > maximum:
        raise TypeError("minOutgoingBitrate is above maxOutgoingBitrate")


def _supported(type: RtpType) -> RtpType:
    if type in (RtpType.SIMULCAST, RtpType.SVC):
        raise UnsupportedError(f"{type.name.lower()} is not supported yet")
    return type


def _check_codecs(codecs: list[RtpCodecParameters]) -> None:
    if not codecs:
        raise TypeError("rtpParameters.codecs is empty")
    by_type: dict[int, RtpCodecParameters] = {}
    for codec in codecs:
        try:
            role_of(codec.mime_type)
        except ValueError as error:
            raise TypeError(f"rtpParameters.codecs: {error}") from None
        if by_type.setdefault(codec.payload_type, codec) is not codec:
            raise TypeError(f"rtpParameters.codecs: payload type {codec.payload_type} comes twice")
    for codec in codecs:
        if role_of(codec.mime_type) is Role.RTX:
            _check_rtx(codec, by_type)


def _check_rtx(codec: RtpCodecParameters, by_type: dict[int, RtpCodecParameters]) -> None:
    apt = apt_of(codec)
    if apt is None:
        raise TypeError(f"rtpParameters.codecs: RTX payload type {codec.payload_type} has no apt")
    if apt not in by_type or role_of(by_type[apt].mime_type) is not Role.MEDIA:
        raise TypeError(f"rtpParameters.codecs: apt {apt} is the payload type of no media codec")


def _check_encodings(parameters: RtpParameters) -> None:
    media = [codec.payload_type for codec in media_codecs(parameters)]
    if not media:
        raise TypeError("rtpParameters.codecs has no media codec")
    if not parameters.encodings:
        raise TypeError("rtpParameters.encodings is empty")
    for encoding in parameters.encodings:
        if encoding.codec_payload_type is None:
            encoding.codec_payload_type = media[0]
        if encoding.codec_payload_type not in media:
            raise TypeError(f"codecPayloadType {encoding.codec_payload_type} is that of no media codec")
        if len(parameters.encodings) > 1 and layers_of(encoding.scalability_mode)[0] > 1:
            raise TypeError("rtpParameters.encodings: several encodings and several spatial layers in one")


def _check_streams_can_be_found(parameters: RtpParameters) -> None:
    def identified(encoding: RtpEncodingParameters) -> bool:
        return bool(encoding.ssrc or encoding.rid)

    encodings = parameters.encodings
    if len(encodings) == 1:
        if not (parameters.mid or identified(encodings[0])):
            raise TypeError("rtpParameters: a single encoding without mid needs ssrc or rid")
    elif not all(identified(encoding) for encoding in encodings):
        raise TypeError("rtpParameters.encodings: each of several needs ssrc or rid")
