"""Turns one SSRC of a recorded call (pcap of decrypted RTP) into the compact replay that `sfu bench` sends.

    python scripts/make_replay.py CAPTURE.pcap SSRC > sfu/bench/video.replay

A record is a packet: µs since the first (u32), RTP ticks since the first (u32), marker bit (u8), payload
size (u16) and the first 8 payload bytes (codec descriptor and frame header; the rest is only forwarded).
"""

import struct
import sys
from collections.abc import Iterator

RECORD = struct.Struct("!IIBH8s")


def packets(path: str) -> Iterator[tuple[float, bytes]]:
    """(seconds, RTP or RTCP packet) for each record of a raw-IPv4 pcap file."""
    with open(path, "rb") as file:
        file.read(24)
        while head := file.read(16):
            seconds, micros, size, _ = struct.unpack("<IIII", head)
            ip = file.read(size)
            yield seconds + micros / 1e6, ip[(ip[0] & 15) * 4 + 8 :]


def payload(packet: bytes) -> bytes:
    """The payload without header extensions and padding."""
    start = 12 + 4 * (packet[0] & 15)
    if packet[0] & 0x10:
        start += 4 + 4 * int.from_bytes(packet[start + 2 : start + 4], "big")
    end = len(packet) - (packet[-1] if packet[0] & 0x20 else 0)
    return packet[start:end]


def replay(path: str, ssrc: int) -> bytes:
    """All packets of `ssrc` as records, in the order in which they were sent."""
    key = ssrc.to_bytes(4, "big")
    mine = [(at, p) for at, p in packets(path) if not 192 <= p[1] <= 223 and p[8:12] == key]
    first_at, first = mine[0]
    ticks = int.from_bytes(first[4:8], "big")
    out = b""
    for at, packet in mine:
        body = payload(packet)
        if body:
            rtp_time = (int.from_bytes(packet[4:8], "big") - ticks) & 0xFFFFFFFF
            out += RECORD.pack(round((at - first_at) * 1e6), rtp_time, packet[1] >> 7, len(body), body[:8])
    return out


if __name__ == "__main__":
    sys.stdout.buffer.write(replay(sys.argv[1], int(sys.argv[2])))
