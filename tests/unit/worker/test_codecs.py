"""MIME types: known ones, roles, and numbers equal to the compiled enum's."""

import re
from pathlib import Path

import pytest

import sfu_core
from sfu_core.worker import codecs
from sfu_core.worker.codecs import Role


def test_numbers_are_those_of_the_compiled_enum() -> None:
    text = (Path(sfu_core.__file__).parent / "_codecs.pxd").read_text()
    enum = {name: int(number) for name, number in re.findall(r"CODEC_(\w+) = (\d+)", text)}
    ours = {mime.partition("/")[2].upper().replace("-", "_"): number for mime, number in codecs.CODECS.items()}
    assert ours == {name: enum[name] for name in ours}
    assert enum["NONE"] == codecs.NO_CODEC


@pytest.mark.parametrize(
    ("mime", "role"),
    [
        ("audio/OPUS", Role.MEDIA),
        ("video/vp8", Role.MEDIA),
        ("audio/telephone-event", Role.MEDIA),
        ("video/rtx", Role.RTX),
        ("audio/red", Role.FEC),
        ("video/flexfec", Role.FEC),
    ],
)
def test_role(mime: str, role: Role) -> None:
    assert codecs.role_of(mime) is role


@pytest.mark.parametrize("mime", ["", "opus", "audio/", "audio/vp8", "text/plain", "video/H265", "video/opus"])
def test_unknown_mime_types_are_refused(mime: str) -> None:
    with pytest.raises(ValueError, match="unknown MIME"):
        codecs.role_of(mime)


def test_rtx_and_fec_have_no_number() -> None:
    assert codecs.number_of("video/rtx") == codecs.NO_CODEC
    assert codecs.number_of("video/H264") == 34


def test_layers_and_simulcast() -> None:
    assert [codecs.can_layer(m) for m in ("video/VP9", "video/VP8", "audio/opus")] == [True, True, False]
    assert [codecs.can_simulcast(m) for m in ("video/H264", "video/VP9", "audio/opus")] == [
        True,
        False,
        False,
    ]
