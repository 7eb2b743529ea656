"""A publisher, the code under test and a subscriber on four wires."""

from __future__ import annotations

from collections.abc import Callable

from tests.media.endpoints import MEDIA_SSRC, Piece, Publisher, Rtp, Subscriber, is_rtcp
from tests.media.forwarder import Forwarder
from tests.media.simulation import Simulation, Wire
from tests.network.relay import PERFECT, Impairment


class Call:
    """`up` and `down` are what happens to media; `back` to the feedback on both sides (default: the same as media)."""

    def __init__(
        self,
        *,
        up: Impairment = PERFECT,
        down: Impairment = PERFECT,
        back: Impairment | None = None,
        seed: int = 1,
        first_seq: int = 65500,
        rtx: bool = True,
        wants: Callable[[Piece], bool] = lambda piece: True,
    ) -> None:
        self.simulation = Simulation()
        self.media_seqs: set[int] = set()
        self.up = Wire(self.simulation, self._arrive, up, f"up{seed}")
        self.down = Wire(self.simulation, lambda data: self.subscriber.receive(data), down, f"down{seed}")
        self.up_back = Wire(self.simulation, lambda data: self.publisher.receive(data), back or up, f"up back{seed}")
        self.down_back = Wire(
            self.simulation, lambda data: self.forwarder.from_subscriber(data), back or down, f"down back{seed}"
        )
        self.publisher = Publisher(self.simulation, self.up.send, first_seq, seed)
        self.forwarder = Forwarder(self.simulation, self.up_back.send, self.down.send, rtx=rtx, wants=wants)
        self.subscriber = Subscriber(self.simulation, self.down_back.send)

    def _arrive(self, data: bytes) -> None:
        if not is_rtcp(data):
            packet = Rtp.parse(data)
            if packet.ssrc == MEDIA_SSRC:
                self.media_seqs.add(packet.seq)
        self.forwarder.from_publisher(data)

    def run(self, seconds: float) -> None:
        self.simulation.run(seconds)

    def forwarder_received(self) -> set[int]:
        """Sequence numbers that came on the media SSRC itself."""
        return self.media_seqs
