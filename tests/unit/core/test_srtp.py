"""SRTP and SRTCP: RFC vectors, a plain-Python model, libsrtp, a real browser; mixed arrays; the choice of layer.

Everything that goes through `Context` runs on both layers.
"""

import os
import subprocess
import sys
from collections import Counter

import pylibsrtp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfu_core import _srtp
from sfu_core._srtp import Context, Window
from tests.models.captures import WIRE, wire
from tests.models.srtp_packets import (
    AUTH_FAILED,
    NUMBER,
    OK,
    PROFILE,
    RTCP_HEADER,
    SSRC,
    SUITES,
    both_layers,
    context,
    every_suite,
    expected,
    material,
    rtp_header,
)

# --------------------------------------------------------------------------------------- known answers

GALLIA = bytes.fromhex("8040f17b8041f8d35501a0b2"), b"Gallia est omnis divisa in partes tres", 0x5501A0B2, 0xF17B
SENDER_REPORT = (
    bytes.fromhex("81c8000d4d617273"),
    bytes.fromhex("4e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef"),
    0x4D617273,
    0x5D4,
)
RFC_7714 = [
    (
        (7, 16, GALLIA, False),
        "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce",
    ),
    (
        (8, 32, GALLIA, False),
        "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13",
    ),
    (
        (7, 16, SENDER_REPORT, True),
        "63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda"
        "4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4",
    ),
    (
        (8, 32, SENDER_REPORT, True),
        "d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be"
        "8415f658c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4",
    ),
]


@pytest.mark.parametrize("case, answer", RFC_7714)
def test_rfc_7714_vectors(case: tuple[int, int, tuple[bytes, bytes, int, int], bool], answer: str) -> None:
    suite, key_length, (header, clear, ssrc, index), rtcp = case
    key, salt = bytes(range(key_length)), b"Quid pro quo"
    sender = Context.with_session_keys(suite, key, salt, b"", True)
    receiver = Context.with_session_keys(suite, key, salt, b"", False)
    sealed = bytes.fromhex(answer)
    assert sender.protect(header, clear, index, ssrc, rtcp) == (OK, sealed)
    assert receiver.unprotect(header, sealed, index, ssrc, rtcp) == (OK, clear, index)


def test_rfc_3711_key_stream() -> None:
    """Appendix B.2: SSRC, ROC and sequence number all zero, so that the IV is the session salt."""
    key = bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C")
    salt = bytes.fromhex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD")
    sender = Context.with_session_keys(1, key, salt, bytes(20), True)
    status, sealed = sender.protect(bytes(12), bytes(0xFF02 * 16)[:65535], 0, 0, False)
    assert status == OK
    assert sealed[:48].hex().upper() == (
        "E03EAD0935C95E80E166B16DD92B4EB4D23513162B02D0F72A43A2FE4A5F97AB41E95B3BB0A2E8DD477901E4FCA894C0"
    )


def test_rfc_3711_key_derivation() -> None:
    """Appendix B.3: a context made from the master keys acts as one made from the RFC's session keys."""
    master = bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE41390EC675AD498AFEEBB6960B3AABE6")
    session = Context.with_session_keys(
        1,
        bytes.fromhex("C61E7A93744F39EE10734AFE3FF7A087"),
        bytes.fromhex("30CBBC08863D8C85D49DB34A9AE1"),
        bytes.fromhex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"),
        True,
    )
    packet = rtp_header(0x1234), b"0123456789abcdef", 0x1234, SSRC, False
    assert Context(1, master, True).protect(*packet) == session.protect(*packet)


# -------------------------------------------------------------------------------------- the model agrees

extensions = st.integers(0, 5).flatmap(lambda words: st.binary(min_size=4 * words, max_size=4 * words))


@both_layers
@given(
    suite=st.sampled_from(SUITES),
    payload=st.binary(max_size=1400),
    seq=st.integers(0, 0x7FFF),
    extension=extensions,
    in_place=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_rtp_as_the_model(layer: str, suite: str, payload: bytes, seq: int, extension: bytes, in_place: bool) -> None:
    header = rtp_header(seq, extension=extension)
    sealed = expected(suite, header, payload, seq, False)
    packet = (context(suite, True, layer), header, payload, seq, SSRC, False)
    assert _srtp.protect([packet], in_place=in_place) == [(OK, sealed)]
    packet = (context(suite, False, layer), header, sealed, seq, SSRC, False)
    assert _srtp.unprotect([packet], in_place=in_place) == [(OK, payload, seq)]


@given(suite=st.sampled_from(SUITES), payload=st.binary(max_size=300), index=st.integers(0, (1 << 48) - 1))
@settings(max_examples=200, deadline=None)
def test_every_rtp_index(suite: str, payload: bytes, index: int) -> None:
    header = rtp_header(index)
    sealed = expected(suite, header, payload, index, False)
    assert context(suite, True, "evp").protect(header, payload, index, SSRC, False) == (OK, sealed)
    assert context(suite, False, "evp").unprotect(header, sealed, index, SSRC, False) == (OK, payload, index)


@given(suite=st.sampled_from(SUITES), payload=st.binary(max_size=300), index=st.integers(0, 0x7FFFFFFF))
@settings(max_examples=200, deadline=None)
def test_every_rtcp_index(suite: str, payload: bytes, index: int) -> None:
    sealed = expected(suite, RTCP_HEADER, payload, index, True)
    receiver = context(suite, False, "evp")
    assert context(suite, True, "evp").protect(RTCP_HEADER, payload, index, SSRC, True) == (OK, sealed)
    assert receiver.rtcp_index(RTCP_HEADER + sealed) == index
    assert receiver.unprotect(RTCP_HEADER, sealed, 0, SSRC, True) == (OK, payload, index)


@both_layers
@every_suite
def test_rtcp_indices_in_order(layer: str, suite: str) -> None:
    """Also with a gap, as a resumed sender leaves one."""
    sender, receiver = context(suite, True, layer), context(suite, False, layer)
    for index in (1, 2, 3, 4, 260, 261):
        payload = bytes([index & 0xFF]) * 20
        sealed = expected(suite, RTCP_HEADER, payload, index, True)
        assert sender.protect(RTCP_HEADER, payload, index, SSRC, True) == (OK, sealed)
        assert receiver.unprotect(RTCP_HEADER, sealed, 0, SSRC, True) == (OK, payload, index)


@both_layers
@every_suite
def test_roll_over_with_loss_and_reorder(layer: str, suite: str) -> None:
    """The index is ours: both layers follow it over the wrap, back, and from a resumed counter on."""
    indices = [0xFFF0, 0xFFFE, 0x10001, 0xFFFF, 0x10000, 0x10003, 0xFFFD, 0x1FFF0, 0x20005, 0x1FFFF]
    sender, receiver = context(suite, True, layer), context(suite, False, layer)
    for index in indices:
        header, payload = rtp_header(index), index.to_bytes(4, "big")
        sealed = expected(suite, header, payload, index, False)
        assert sender.protect(header, payload, index, SSRC, False) == (OK, sealed)
        assert receiver.unprotect(header, sealed, index, SSRC, False) == (OK, payload, index)
    resumed = (7 << 16) | 100
    header = rtp_header(resumed)
    sealed = expected(suite, header, b"later", resumed, False)
    assert context(suite, True, layer).protect(header, b"later", resumed, SSRC, False) == (OK, sealed)
    assert context(suite, False, layer).unprotect(header, sealed, resumed, SSRC, False) == (OK, b"later", resumed)


@both_layers
@every_suite
def test_a_repeat_is_the_same_bytes(layer: str, suite: str) -> None:
    sender = context(suite, True, layer)
    packets = [(rtp_header(seq), bytes([seq]) * 50, seq, SSRC, False) for seq in range(20)]
    first = [sender.protect(*packet) for packet in packets]
    assert [sender.protect(*packet) for packet in packets] == first


# ---------------------------------------------------------------------------------------- libsrtp agrees


def libsrtp_session(suite: str, outbound: bool) -> pylibsrtp.Session:
    kind = pylibsrtp.Policy.SSRC_ANY_OUTBOUND if outbound else pylibsrtp.Policy.SSRC_ANY_INBOUND
    return pylibsrtp.Session(pylibsrtp.Policy(key=material(suite), ssrc_type=kind, srtp_profile=NUMBER[suite]))


@both_layers
@every_suite
def test_a_session_of_libsrtp_understands_us(layer: str, suite: str) -> None:
    session, sender = libsrtp_session(suite, False), context(suite, True, layer)
    for step, seq in enumerate([*range(65000, 65536, 67), *range(0, 500, 61)]):
        index = seq if seq >= 65000 else seq + 65536
        header, payload = rtp_header(index, extension=b"\x10\x05\0\0"), bytes([step]) * (step * 40 % 1200)
        status, sealed = sender.protect(header, payload, index, SSRC, False)
        assert status == OK
        assert session.unprotect(header + sealed) == header + payload
        status, sealed = sender.protect(RTCP_HEADER, payload, step + 1, SSRC, True)
        assert status == OK
        assert session.unprotect_rtcp(RTCP_HEADER + sealed) == RTCP_HEADER + payload


@both_layers
@every_suite
def test_we_understand_a_session_of_libsrtp(layer: str, suite: str) -> None:
    session, receiver, window = libsrtp_session(suite, True), context(suite, False, layer), Window()
    for step, seq in enumerate([*range(65000, 65536, 67), *range(0, 500, 61)]):
        header, payload = rtp_header(seq), bytes([step]) * (step * 40 % 1200)
        sealed = session.protect(header + payload)[12:]
        index = window.guess(seq)
        assert window.check(index)
        assert receiver.unprotect(header, sealed, index, SSRC, False) == (OK, payload, index)
        window.commit(index)
        sealed = session.protect_rtcp(RTCP_HEADER + payload)[8:]
        assert receiver.unprotect(RTCP_HEADER, sealed, 0, SSRC, True) == (OK, payload, step + 1)


# ----------------------------------------------------------------------------------------- a real browser


@both_layers
@pytest.mark.parametrize("name", WIRE)
def test_every_recorded_packet_opens(layer: str, name: str) -> None:
    keys, datagrams = wire(name)
    number = NUMBER[PROFILE[keys["profile"]]]
    receivers = {
        from_browser: Context(number, bytes.fromhex(keys[side]), False, layer=layer)
        for from_browser, side in ((True, "browserKey"), (False, "receiverKey"))
    }
    windows: dict[tuple[bool, bool, int], Window] = {}
    count: Counter[tuple[str, bool]] = Counter()
    for _, from_browser, datagram in datagrams:
        if not 128 <= datagram[0] < 192:
            continue
        rtcp = 192 <= datagram[1] < 224
        header = datagram[: 8 if rtcp else rtp_header_length(datagram)]
        ssrc = int.from_bytes(datagram[4:8] if rtcp else datagram[8:12], "big")
        window = windows.setdefault((from_browser, rtcp, ssrc), Window())
        receiver = receivers[from_browser]
        seq = int.from_bytes(datagram[2:4], "big")
        index = receiver.rtcp_index(datagram) if rtcp else window.guess(seq)
        assert window.check(index)
        status, clear, opened = receiver.unprotect(header, datagram[len(header) :], index, ssrc, rtcp)
        assert (status, opened) == (OK, index)
        window.commit(index)
        if rtcp:
            assert_rtcp_is_whole(header + clear)
        count["rtcp" if rtcp else "rtp", from_browser] += 1
    assert count["rtp", True] > 190 and count["rtcp", True] >= 3 and count["rtcp", False] > 30


def rtp_header_length(packet: bytes) -> int:
    length = 12 + 4 * (packet[0] & 15)
    if packet[0] & 0x10:
        length += 4 + 4 * int.from_bytes(packet[length + 2 : length + 4], "big")
    return length


def assert_rtcp_is_whole(packet: bytes) -> None:
    while packet:
        assert packet[0] >> 6 == 2 and 192 <= packet[1] < 224
        length = 4 * (int.from_bytes(packet[2:4], "big") + 1)
        assert length <= len(packet)
        packet = packet[length:]


# ------------------------------------------------------------------------------------------------ arrays, layers


@both_layers
def test_arrays_of_mixed_suites(layer: str) -> None:
    """One array, sixteen contexts, RTP and RTCP; one bad packet in the middle harms nobody."""
    clear, sealed = [], []
    for i in range(64):
        suite, seed, rtcp, index = SUITES[i % 4], i % 16, i % 5 == 0, 1 + i // 16
        header, payload = (RTCP_HEADER if rtcp else rtp_header(index)), bytes([i]) * (i * 37 % 1200)
        clear.append((suite, seed, header, payload, index, rtcp))
        sealed.append(expected(suite, header, payload, index, rtcp, seed))
    senders = {(c[0], c[1]): context(c[0], True, layer, c[1]) for c in clear}
    receivers = {(c[0], c[1]): context(c[0], False, layer, c[1]) for c in clear}
    jobs = [(senders[s, seed], h, p, index, SSRC, rtcp) for s, seed, h, p, index, rtcp in clear]
    if layer == "libsrtp":  # its SRTCP index has to be reached one by one: protect in order of index
        jobs = [job for job in jobs if not job[5]]
        assert _srtp.protect(jobs) == [(OK, x) for x, c in zip(sealed, clear, strict=True) if not c[5]]
    else:
        assert _srtp.protect(jobs) == [(OK, x) for x in sealed]
    bad = 31
    spoiled = sealed[bad][:-12] + bytes([sealed[bad][-12] ^ 1]) + sealed[bad][-11:]
    incoming = [*sealed[:bad], spoiled, *sealed[bad + 1 :]]
    results = _srtp.unprotect(
        [(receivers[s, seed], h, x, index, SSRC, rtcp)
         for (s, seed, h, _, index, rtcp), x in zip(clear, incoming, strict=True)]
    )  # fmt: skip
    for i, (status, payload, index) in enumerate(results):
        assert (status, payload) == ((AUTH_FAILED, b"") if i == bad else (OK, clear[i][3])), i
        assert index == clear[i][4]


@both_layers
def test_forcing_a_layer(layer: str) -> None:
    code = "from sfu_core import _srtp; print(_srtp.layer())"
    run = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "SFU_SRTP": layer}, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == layer


def test_an_unknown_layer_is_an_error() -> None:
    run = subprocess.run(
        [sys.executable, "-c", "import sfu_core._srtp"],
        env={**os.environ, "SFU_SRTP": "quick"},
        capture_output=True,
        text=True,
    )
    assert run.returncode != 0 and "not one of evp, libsrtp" in run.stderr


@pytest.mark.skipif(not _srtp.aborts_on_reuse, reason="only the debug build watches")
@both_layers
def test_the_debug_build_aborts_on_a_second_meaning(layer: str) -> None:
    """Under one key, SSRC and index one byte string: another one ends the process before it is encrypted."""
    code = (
        "from sfu_core._srtp import Context; "
        f"sender = Context(7, bytes(28), True, layer={layer!r}); "
        "[sender.protect(bytes(12), text, 5, 1, False) for text in (b'a', b'a', %s)]; print('survived')"
    )
    same = subprocess.run([sys.executable, "-c", code % "b'a'"], capture_output=True, text=True)
    other = subprocess.run([sys.executable, "-c", code % "b'b'"], capture_output=True, text=True)
    assert (same.returncode, same.stdout) == (0, "survived\n")
    assert (other.returncode, other.stdout) == (-6, "")
