"""STUN: Binding requests in, responses out (RFC 8489, RFC 8445), beside RFC 5769, aioice and a browser."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import struct
import zlib

import pytest
from aioice import stun as aioice
from hypothesis import given
from hypothesis import strategies as st

from sfu_core import _stun
from tests.models.captures import WIRE, wire

OK, MALFORMED, BAD_FINGERPRINT = range(3)
IGNORE, BAD_REQUEST, ROLE_CONFLICT = -1, 400, 487

USERNAME, INTEGRITY, INTEGRITY_SHA256, PRIORITY, USE_CANDIDATE = 0x0006, 0x0008, 0x001C, 0x0024, 0x0025
NOMINATION, FINGERPRINT, CONTROLLED, CONTROLLING, OLD_NOMINATION = 0x0030, 0x8028, 0x8029, 0x802A, 0xC001

PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"
REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74"
    "002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf"
)
RESPONSE_V4 = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"
)
RESPONSE_V6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a147"
    "0113a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c"
)


def attribute(kind: int, value: bytes = b"") -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def message(
    *attributes: bytes,
    kind: int = 0x0001,
    password: bytes | None = b"secret",
    fingerprint: bool = True,
    after: bytes = b"",
) -> bytes:
    """A message as a model writes it: attributes, integrity, `after`, fingerprint."""
    head = struct.pack("!HHI", kind, 0, 0x2112A442) + b"transaction!"
    data = head + b"".join(attributes)
    if password is not None:
        covered = data[:2] + struct.pack("!H", len(data) + 4) + data[4:]
        data += attribute(INTEGRITY, hmac.digest(password, covered, hashlib.sha1))
    data += after
    if fingerprint:
        covered = data[:2] + struct.pack("!H", len(data) - 12) + data[4:]
        data = covered + attribute(FINGERPRINT, struct.pack("!I", zlib.crc32(covered) ^ 0x5354554E))
    return data[:2] + struct.pack("!H", len(data) - 20) + data[4:]


NAMED = attribute(USERNAME, b"local:remote")
RANKED = attribute(PRIORITY, b"\x6e\x00\x01\xff")


def request(*attributes: bytes, **options: object) -> bytes:
    return message(NAMED, RANKED, *attributes, **options)  # type: ignore[arg-type]


# --- RFC 5769 ---


def test_sample_request() -> None:
    status, fields = _stun.parse(REQUEST)
    assert status == OK
    assert fields == {
        "method": 1,
        "class": 0,
        "transaction": bytes.fromhex("b7e7a701bc34d686fa87dfae"),
        "username": b"evtj:h6vY",
        "local_len": 4,
        "integrity_off": 76,
        "fingerprint": True,
        "use_candidate": False,
        "priority": 0x6E0001FF,
        "nomination": None,
        "controlling": False,
        "controlled": True,
        "tie_breaker": 0x932FF9B151263B36,
        "request_status": ROLE_CONFLICT,
    }
    assert _stun.verify(REQUEST, PASSWORD)
    assert not _stun.verify(REQUEST, PASSWORD[:-1])


@pytest.mark.parametrize("response", [RESPONSE_V4, RESPONSE_V6])
def test_sample_responses(response: bytes) -> None:
    status, fields = _stun.parse(response)
    assert (status, fields["class"], fields["fingerprint"], fields["request_status"]) == (OK, 2, True, IGNORE)
    assert _stun.verify(response, PASSWORD)


@pytest.mark.parametrize(
    ("address", "sample"), [("192.0.2.1", RESPONSE_V4), ("2001:db8:1234:5678:11:2233:4455:6677", RESPONSE_V6)]
)
def test_mapped_address_is_that_of_the_samples(address: str, sample: bytes) -> None:
    ip = ipaddress.ip_address(address).packed
    response = _stun.write_success(REQUEST, ip, 32853, PASSWORD)
    assert response is not None
    written = response[20 : 28 + len(ip)]
    assert written in sample


# --- what a parser must refuse ---


def test_every_truncation() -> None:
    data = request()
    assert [_stun.parse(data[:size])[0] for size in range(len(data))] == [MALFORMED] * len(data)
    assert _stun.parse(data)[0] == OK


def test_every_truncation_with_a_length_that_fits() -> None:
    """Cut between and inside attributes: nothing is read that is not there."""
    data = request()
    for size in range(20, len(data), 4):
        cut = data[:2] + struct.pack("!H", size - 20) + data[4:size]
        status, fields = _stun.parse(cut)
        assert status in (OK, MALFORMED)
        assert status == MALFORMED or not fields["fingerprint"]


@pytest.mark.parametrize("at", range(20))
def test_header_bits(at: int) -> None:
    """Each header byte matters: a change makes it no STUN, another length, or breaks the fingerprint."""
    data = bytearray(request())
    data[at] ^= 0xC0 if at == 0 else 0x01
    assert _stun.parse(bytes(data))[0] == (MALFORMED if at in (0, 2, 3, 4, 5, 6, 7) else BAD_FINGERPRINT)


def test_every_bit_is_covered() -> None:
    data = request()
    for at in range(20, len(data)):
        changed = data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
        status, fields = _stun.parse(changed)
        assert status != OK or not fields["fingerprint"], at


@pytest.mark.parametrize(
    "broken",
    [
        attribute(PRIORITY, b"123"),
        attribute(PRIORITY, b"12345"),
        attribute(USE_CANDIDATE, b"1"),
        attribute(NOMINATION, b"12"),
        attribute(CONTROLLED, b"1234567"),
        attribute(CONTROLLING, b""),
        attribute(USERNAME, bytes(514)),
        attribute(INTEGRITY, bytes(16)),
        attribute(FINGERPRINT, bytes(4)),  # not the last one
        struct.pack("!HH", 0x7777, 9),
        struct.pack("!HH", 0x7777, 0xFFFF),
    ],
)
def test_attribute_of_wrong_length(broken: bytes) -> None:
    assert _stun.parse(message(broken, password=None))[0] == MALFORMED


def test_longest_user_name() -> None:
    assert _stun.parse(message(attribute(USERNAME, b"a:" + bytes(511)), RANKED))[1]["request_status"] == 0


def test_second_user_name() -> None:
    assert _stun.parse(request(NAMED))[0] == MALFORMED


def test_not_a_multiple_of_four() -> None:
    data = request(fingerprint=False) + b"x"
    assert _stun.parse(data)[0] == MALFORMED
    assert _stun.parse(data[:2] + struct.pack("!H", len(data) - 20) + data[4:])[0] == MALFORMED


def test_attributes_behind_the_integrity_do_not_count() -> None:
    """RFC 8489 section 14.5: nobody vouches for them."""
    for seal in (b"", attribute(INTEGRITY_SHA256, bytes(32))):
        _, fields = _stun.parse(request(after=seal + attribute(USE_CANDIDATE) + attribute(CONTROLLED, bytes(8))))
        assert not fields["use_candidate"] and not fields["controlled"]
    assert _stun.verify(request(after=attribute(USE_CANDIDATE)), b"secret")


# --- what is asked ---


def test_unknown_attributes_are_passed_over() -> None:
    _, fields = _stun.parse(request(attribute(0x7F01, b"x"), attribute(0xC057, b"1234")))
    assert fields["request_status"] == 0


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request(), 0),
        (request(attribute(CONTROLLING, bytes(8))), 0),
        (request(attribute(CONTROLLED, bytes(8))), ROLE_CONFLICT),
        (message(NAMED), BAD_REQUEST),
        (message(RANKED), BAD_REQUEST),
        (message(attribute(USERNAME, b"nocolon"), RANKED), BAD_REQUEST),
        (message(attribute(USERNAME, b":remote"), RANKED), BAD_REQUEST),
        (request(password=None), BAD_REQUEST),
        (request(fingerprint=False), BAD_REQUEST),
        (request(kind=0x0003), BAD_REQUEST),  # Allocate
        (request(kind=0x3EEF), BAD_REQUEST),  # every method bit
        (request(kind=0x0011), IGNORE),  # indication
        (request(kind=0x0101), IGNORE),  # success response
        (request(kind=0x0111), IGNORE),  # error response
    ],
)
def test_request_status(data: bytes, status: int) -> None:
    assert _stun.parse(data)[1]["request_status"] == status


@pytest.mark.parametrize(
    ("kind", "method"), [(0x0001, 1), (0x0003, 3), (0x3EEF, 0xFFF), (0x0020, 0x10), (0x0200, 0x80)]
)
def test_method_bits(kind: int, method: int) -> None:
    fields = _stun.parse(message(kind=kind))[1]
    assert (fields["method"], fields["class"]) == (method, 0)


@pytest.mark.parametrize("number", [NOMINATION, OLD_NOMINATION])
def test_nomination(number: int) -> None:
    assert _stun.parse(request())[1]["nomination"] is None
    assert _stun.parse(request(attribute(number, b"\0\0\1\2")))[1]["nomination"] == 0x0102
    assert _stun.parse(request(attribute(USE_CANDIDATE)))[1]["use_candidate"]


# --- integrity ---


@given(password=st.binary(max_size=200), filling=st.integers(0, 40))
def test_integrity_is_hmac_sha1(password: bytes, filling: int) -> None:
    """Passwords shorter and longer than a block; messages that end anywhere in one."""
    data = request(attribute(0x8022, bytes(4 * filling)), password=password)
    assert _stun.verify(data, password)
    assert not _stun.verify(data, password + b"x")
    digest = data[-28:-8]
    for bit in (0, 7, 79, 159):
        wrong = bytearray(digest)
        wrong[bit // 8] ^= 1 << bit % 8
        forged = message(
            NAMED, RANKED, attribute(0x8022, bytes(4 * filling)), attribute(INTEGRITY, bytes(wrong)), password=None
        )
        assert not _stun.verify(forged, password)


def test_no_integrity_is_never_verified() -> None:
    assert not _stun.verify(request(password=None), b"")


# --- answers ---

addresses = st.ip_addresses(v=4) | st.ip_addresses(v=6)


@given(address=addresses, port=st.integers(0, 65535), password=st.binary(min_size=1, max_size=64))
def test_success_response_as_aioice_reads_it(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int, password: bytes
) -> None:
    response = _stun.write_success(request(), address.packed, port, password)
    assert response is not None
    parsed = aioice.parse_message(response)
    assert parsed.attributes["MESSAGE-INTEGRITY"] == aioice.message_integrity(response[:-32], password)
    assert parsed.message_method is aioice.Method.BINDING
    assert parsed.message_class is aioice.Class.RESPONSE
    assert parsed.transaction_id == b"transaction!"
    mapped = parsed.attributes["XOR-MAPPED-ADDRESS"]
    assert (ipaddress.ip_address(mapped[0]), mapped[1]) == (address, port)
    assert list(parsed.attributes) == ["XOR-MAPPED-ADDRESS", "MESSAGE-INTEGRITY", "FINGERPRINT"]


@pytest.mark.parametrize(
    ("code", "text"), [(400, "Bad Request"), (401, "Unauthorized"), (487, "Role Conflict"), (599, "Bad Request")]
)
def test_error_response_as_aioice_reads_it(code: int, text: str) -> None:
    response = _stun.write_error(request(), code)
    assert response is not None
    parsed = aioice.parse_message(response)
    assert parsed.message_class is aioice.Class.ERROR
    assert parsed.attributes["ERROR-CODE"] == (code, text)
    assert list(parsed.attributes) == ["ERROR-CODE", "FINGERPRINT"]


def test_error_keeps_the_method_of_the_request() -> None:
    response = _stun.write_error(request(kind=0x3EEF), 400)
    assert response is not None
    assert _stun.parse(response)[1]["method"] == 0xFFF
    assert _stun.parse(response)[1]["class"] == 3


@given(tie_breaker=st.integers(0, 2**64 - 1), nominate=st.booleans(), name=st.text("abcXYZ019+/", min_size=1))
def test_reads_requests_of_aioice(tie_breaker: int, nominate: bool, name: str) -> None:
    sent = aioice.Message(message_method=aioice.Method.BINDING, message_class=aioice.Class.REQUEST)
    sent.attributes["USERNAME"] = f"{name}:other"
    sent.attributes["PRIORITY"] = 1853817087
    sent.attributes["ICE-CONTROLLING"] = tie_breaker
    if nominate:
        sent.attributes["USE-CANDIDATE"] = None
    sent.add_message_integrity(b"password")
    sent.add_fingerprint()
    status, fields = _stun.parse(bytes(sent))
    assert (status, fields["request_status"], fields["priority"]) == (OK, 0, 1853817087)
    assert fields["username"][: fields["local_len"]] == name.encode()
    assert (fields["tie_breaker"], fields["use_candidate"]) == (tie_breaker, nominate)
    assert _stun.verify(bytes(sent), b"password")


def test_capacity() -> None:
    for ip in (bytes(4), bytes(16)):
        whole = _stun.write_success(request(), ip, 1, b"x")
        assert whole is not None
        for cap in range(len(whole)):
            assert _stun.write_success(request(), ip, 1, b"x", cap) is None
        assert _stun.write_success(request(), ip, 1, b"x", len(whole)) == whole
    whole = _stun.write_error(request(), 487)
    assert whole is not None
    assert [_stun.write_error(request(), 487, cap) is None for cap in range(len(whole) + 1)] == [True] * len(whole) + [
        False
    ]


@pytest.mark.parametrize("size", [0, 3, 5, 8, 15, 17])
def test_no_such_address_family(size: int) -> None:
    assert _stun.write_success(request(), bytes(size), 1, b"x") is None


# --- a browser, and garbage ---


@pytest.mark.parametrize("name", WIRE)
def test_browser(name: str) -> None:
    keys, packets = wire(name)
    password = keys["receiverPwd"].encode()
    requests = [data for _, from_browser, data in packets if data[0] < 4 and from_browser]
    responses = [data for _, from_browser, data in packets if data[0] < 4 and not from_browser]
    assert len(requests) == len(responses) == 5
    for sent, answered in zip(requests, responses, strict=True):
        fields = _stun.parse(sent)[1]
        assert fields["request_status"] == 0
        assert fields["username"][: fields["local_len"]].decode() == keys["receiverUfrag"]
        assert _stun.verify(sent, password)
        mapped = aioice.parse_message(answered).attributes["XOR-MAPPED-ADDRESS"]
        ip = ipaddress.ip_address(mapped[0]).packed
        assert _stun.write_success(sent, ip, mapped[1], password) == answered


@given(st.binary(max_size=120))
def test_garbage(body: bytes) -> None:
    body += bytes(-len(body) % 4)
    data = struct.pack("!HHI", 1, len(body), 0x2112A442) + b"transaction!" + body
    status, fields = _stun.parse(data)
    assert status != OK or fields["request_status"] == BAD_REQUEST
