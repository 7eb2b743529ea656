"""What a DTLS handshake sent last, cut into datagrams, and sent again when nothing comes back (RFC 6347 §4.2.4).

OpenSSL has a timer of its own, but it begins at one second and reads the clock itself. Repeating is simple enough
to be done here: records of epoch 0 are clear, so a repeat gets fresh record numbers and no receiver takes it for a
replay; a record of epoch 1 (Finished) is repeated as it is, which helps one that never got it. Pure, no clock.
"""

HEADER = 13
HANDSHAKE, CHANGE_CIPHER_SPEC = 22, 20
CLIENT_HELLO = 1
FIRST_INTERVAL = 100_000_000  # ns; doubled up to the last
LAST_INTERVAL = 4_000_000_000
QUIET = 20_000_000  # ns: how soon after sending a repeat from the peer is not yet answered with one of ours

Record = bytes


def split_records(data: bytes) -> list[Record]:
    """The DTLS records in `data`; a broken rest is left out."""
    records = []
    while len(data) >= HEADER:
        size = HEADER + int.from_bytes(data[11:13], "big")
        if size > len(data):
            break
        records.append(data[:size])
        data = data[size:]
    return records


def looks_like_dtls(datagram: bytes) -> bool:
    """Whether it begins with a record of a known type and version; everything else is noise."""
    return len(datagram) >= HEADER and 20 <= datagram[0] <= 23 and datagram[1] == 0xFE


def clear_message(datagram: bytes) -> int | None:
    """The type of the handshake message of epoch 0 whose beginning is the beginning of the datagram, if any."""
    if len(datagram) < HEADER + 12 or datagram[0] != HANDSHAKE or datagram[3:5] != b"\0\0":
        return None
    is_first_fragment = datagram[HEADER + 6 : HEADER + 9] == b"\0\0\0"
    return datagram[HEADER] if is_first_fragment else None


class Flight:
    """Outgoing records: numbered, packed to the MTU, and the latest flight remembered."""

    def __init__(self, mtu: int) -> None:
        self._mtu = mtu
        self._number = 0  # next record number in epoch 0
        self._next_in_epoch_1 = 0
        self._records: list[Record] = []
        self._interval = FIRST_INTERVAL
        self._sent = 0
        self.deadline: int | None = None  # when to repeat

    @property
    def next_number(self) -> int:
        """The first record number that OpenSSL has not used in epoch 1."""
        return self._next_in_epoch_1

    @property
    def sent(self) -> bool:
        """Whether a flight has been sent at all."""
        return bool(self._records)

    def send(self, data: bytes, now: int) -> list[bytes]:
        """Datagrams for what OpenSSL wrote; if that is a flight, it is the one to repeat from now on."""
        records = split_records(data)
        if any(record[0] in (HANDSHAKE, CHANGE_CIPHER_SPEC) for record in records):
            self._records = records
            self._interval = FIRST_INTERVAL
            self._arm(now)
        return self._pack(records)

    def repeat(self, now: int, renewed: bytes = b"") -> list[bytes]:
        """The same once more, or as OpenSSL `renewed` it; the next time will be later."""
        if renewed:
            self._records = split_records(renewed)
        self._interval = min(2 * self._interval, LAST_INTERVAL)
        self._arm(now)
        return self._pack(self._records)

    def is_due(self, now: int) -> bool:
        """Whether it is time to repeat."""
        return self.deadline is not None and now >= self.deadline

    def answer(self, now: int) -> list[bytes]:
        """The same once more because the peer repeats itself: it did not get ours."""
        if not self._records or now - self._sent < QUIET:
            return []
        self._sent = now
        return self._pack(self._records)

    def stop(self) -> None:
        """No repeats by time: the handshake is over."""
        self.deadline = None

    def _arm(self, now: int) -> None:
        self._sent = now
        self.deadline = now + self._interval

    def _pack(self, records: list[Record]) -> list[bytes]:
        datagrams: list[bytes] = []
        for record in records:
            record = self._renumbered(record)
            if datagrams and len(datagrams[-1]) + len(record) <= self._mtu:
                datagrams[-1] += record
            else:
                datagrams.append(record)
        return datagrams

    def _renumbered(self, record: Record) -> Record:
        if record[3:5] != b"\0\0":
            self._next_in_epoch_1 = max(self._next_in_epoch_1, int.from_bytes(record[5:11], "big") + 1)
            return record
        number = self._number.to_bytes(6, "big")
        self._number += 1
        return record[:5] + number + record[11:]
