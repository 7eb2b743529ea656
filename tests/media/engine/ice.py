"""ICE as the tests' clients speak it; the STUN is aioice's."""

from __future__ import annotations

import socket

from aioice import stun

PASSWORD = "p" * 32
NEW, CONNECTED, COMPLETED, DISCONNECTED = 0, 1, 2, 3  # states
ICE_STATE, ICE_TUPLE, DATAGRAM = 2, 3, 4  # events of the engine
HELLO = bytes([22, 254, 253]) + bytes(60)


def binding(user: str, password: str = PASSWORD, *, nominate: bool = False, controlled: bool = False) -> stun.Message:
    """A check (RFC 8445 §7.2.2) of the user name fragment `user`; without a `password` it has no integrity."""
    request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    request.attributes["USERNAME"] = f"{user}:peer"
    request.attributes["PRIORITY"] = 1845501695
    request.attributes["ICE-CONTROLLED" if controlled else "ICE-CONTROLLING"] = 1234
    if nominate:
        request.attributes["USE-CANDIDATE"] = None
    if password:
        request.add_message_integrity(password.encode())
    return request


def drain(sock: socket.socket) -> list[tuple[bytes, tuple[str, int]]]:
    """What has come, with the address and port of its sender."""
    found = []
    while True:
        try:
            data, sender = sock.recvfrom(2048)
            found.append((data, sender[:2]))
        except BlockingIOError:
            return found
