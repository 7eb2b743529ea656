"""MIME types: which are known, what role each plays, and the number the media thread knows it by.

The numbers are those of `Codec` in `sfu_core/_codecs.pxd`; a test compares the two.
"""

from enum import Enum


class Role(Enum):
    """What a codec entry stands for in a list of codecs."""

    MEDIA = "media"  # a payload of its own: a media codec, comfort noise or telephone events
    RTX = "rtx"  # repeats another entry (RFC 4588)
    FEC = "fec"  # protects another entry; never forwarded


_AUDIO = {
    "opus": 1,
    "multiopus": 2,
    "pcmu": 3,
    "pcma": 4,
    "isac": 5,
    "g722": 6,
    "ilbc": 7,
    "silk": 8,
    "cn": 9,
    "telephone-event": 10,
}
_VIDEO = {"vp8": 32, "vp9": 33, "h264": 34, "av1": 35}

CODECS: dict[str, int] = {f"audio/{name}": number for name, number in _AUDIO.items()} | {
    f"video/{name}": number for name, number in _VIDEO.items()
}
"""Lower-case MIME type -> number."""

_FEC = frozenset({"red", "ulpfec", "flexfec", "x-ulpfecuc"})
_LAYERED = frozenset(f"video/{name}" for name in _VIDEO)
_SIMULCAST = frozenset({"video/vp8", "video/h264"})

NO_CODEC = 0
"""The number of entries that are no media themselves (RTX and FEC)."""


def role_of(mime_type: str) -> Role:
    """The role of a MIME type; ValueError if it is not known."""
    kind, slash, subtype = mime_type.lower().partition("/")
    if not slash or kind not in ("audio", "video"):
        raise ValueError(f"unknown MIME type {mime_type!r}")
    if subtype == "rtx":
        return Role.RTX
    if subtype in _FEC:
        return Role.FEC
    if mime_type.lower() not in CODECS:
        raise ValueError(f"unknown MIME subtype {mime_type!r}")
    return Role.MEDIA


def number_of(mime_type: str) -> int:
    """The media thread's number, `NO_CODEC` for RTX and FEC."""
    return CODECS.get(mime_type.lower(), NO_CODEC)


def can_layer(mime_type: str) -> bool:
    """Whether one encoding may have several spatial or temporal layers."""
    return mime_type.lower() in _LAYERED


def can_simulcast(mime_type: str) -> bool:
    """Whether several encodings may carry the same source."""
    return mime_type.lower() in _SIMULCAST
