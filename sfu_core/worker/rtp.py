"""RTP parameters, read: which codec carries an encoding, what repairs it, which feedback it takes.

Pure functions over messages that `validation` has accepted; control thread only.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sfu_core.channel.messages import (
    Parameter,
    RtpCodecParameters,
    RtpEncodingParameters,
    RtpHeaderExtensionParameters,
    RtpParameters,
    RtpStreamDump,
    RtpStreamParams,
    RtxStreamDump,
    RtxStreamParams,
)
from sfu_core.worker.codecs import Role, role_of

ParameterValue = bool | int | float | str | list[int]

_MODE = re.compile(r"[LS]([1-9]\d?)T([1-9]\d?)")


@dataclass(frozen=True, slots=True)
class Format:
    """One encoding and how it is carried."""

    index: int
    encoding: RtpEncodingParameters
    media: RtpCodecParameters
    rtx: RtpCodecParameters | None

    @property
    def rtx_ssrc(self) -> int:
        """Announced SSRC of the repair stream, 0 without one."""
        return self.encoding.rtx.ssrc if self.encoding.rtx is not None and self.rtx is not None else 0

    def takes(self, feedback: str, parameter: str = "") -> bool:
        """Whether the codec negotiated this feedback message (RFC 4585 §4.2)."""
        return any(f.type == feedback and (f.parameter or "") == parameter for f in self.media.rtcp_feedback)

    @property
    def nack(self) -> bool:
        """Generic NACK (RFC 4585 §6.2.1)."""
        return self.takes("nack")

    @property
    def pli(self) -> bool:
        """Picture loss indication (RFC 4585 §6.3.1)."""
        return self.takes("nack", "pli")

    @property
    def fir(self) -> bool:
        """Full intra request (RFC 5104 §4.3.1)."""
        return self.takes("ccm", "fir")


def formats(parameters: RtpParameters) -> list[Format]:
    """One per encoding, in order."""
    by_type = {codec.payload_type: codec for codec in parameters.codecs}
    repairs = {apt_of(codec): codec for codec in parameters.codecs if role_of(codec.mime_type) is Role.RTX}
    found = []
    for index, encoding in enumerate(parameters.encodings):
        media = by_type[encoding.codec_payload_type or 0]
        found.append(Format(index, encoding, media, repairs.get(media.payload_type)))
    return found


def media_codecs(parameters: RtpParameters) -> list[RtpCodecParameters]:
    """All that carry media, comfort noise and telephone events included."""
    return [codec for codec in parameters.codecs if role_of(codec.mime_type) is Role.MEDIA]


def parameter_of(parameters: Iterable[Parameter], name: str) -> ParameterValue | None:
    """The value of a codec parameter, None if it is not there."""
    for parameter in parameters:
        if parameter.name == name:
            return parameter.value.value
    return None


def apt_of(codec: RtpCodecParameters) -> int | None:
    """The payload type that an RTX codec repairs (RFC 4588 §8.6)."""
    apt = parameter_of(codec.parameters, "apt")
    return apt if type(apt) is int else None


def extension_ids(extensions: Iterable[RtpHeaderExtensionParameters]) -> dict[int, int]:
    """Engine's kind (number of the URI + 1) -> negotiated id."""
    return {extension.uri + 1: extension.id for extension in extensions}


def layers_of(mode: str | None) -> tuple[int, int]:
    """Spatial and temporal layers of a scalability mode; (1, 1) for none and for anything else."""
    found = _MODE.match(mode or "")
    return (int(found[1]), int(found[2])) if found else (1, 1)


def stream_dump(format: Format, ssrc: int, rtx_ssrc: int, cname: str, score: int) -> RtpStreamDump:
    """The dump of a stream that receives or sends `format`; `rtx_ssrc` is 0 without a repair stream."""
    encoding, media, rtx = format.encoding, format.media, format.rtx if rtx_ssrc else None
    spatial, temporal = layers_of(encoding.scalability_mode)
    params = RtpStreamParams(
        encoding_idx=format.index,
        ssrc=ssrc,
        payload_type=media.payload_type,
        mime_type=media.mime_type,
        clock_rate=media.clock_rate,
        rid=encoding.rid,
        cname=cname,
        rtx_ssrc=rtx_ssrc if rtx else None,
        rtx_payload_type=rtx.payload_type if rtx else None,
        use_nack=format.nack,
        use_pli=format.pli,
        use_fir=format.fir,
        use_in_band_fec=parameter_of(media.parameters, "useinbandfec") == 1,
        use_dtx=encoding.dtx or parameter_of(media.parameters, "usedtx") == 1,
        spatial_layers=spatial,
        temporal_layers=temporal,
    )
    return RtpStreamDump(
        params=params,
        score=score,
        rtx_stream=_rtx_dump(rtx, rtx_ssrc, encoding.rid, cname) if rtx else None,
    )


def _rtx_dump(codec: RtpCodecParameters, ssrc: int, rrid: str | None, cname: str) -> RtxStreamDump:
    return RtxStreamDump(
        params=RtxStreamParams(
            ssrc=ssrc,
            payload_type=codec.payload_type,
            mime_type=codec.mime_type,
            clock_rate=codec.clock_rate,
            rrid=rrid,
            cname=cname,
        )
    )
