"""A producer of one router in another router of the same core.

Control thread only. Nothing is copied: consumers on the other side take the original's streams.
"""

from typing import TYPE_CHECKING, ClassVar

from sfu_core.channel.messages import RouterBorrowProducer
from sfu_core.errors import NotFoundError, SfuError
from sfu_core.worker.producer import Producer, RecvStream

if TYPE_CHECKING:
    from sfu_core.worker.consumer import Consumer
    from sfu_core.worker.router import Router


class Loan:
    """Exists from ROUTER_BORROW_PRODUCER until it, its producer or its router is closed.

    To its consumers it is their producer, with an id, stream numbers and a pause of its own. The end and the scores
    are the original's; when that pauses, nothing flows here either, but nobody here is told.
    """

    halts_consumers: ClassVar[bool] = True

    def __init__(self, router: "Router", request: RouterBorrowProducer) -> None:
        self.router = router
        self.id = request.loan_id
        self.paused = request.paused
        self.consumers: dict[str, Consumer] = {}
        self._producer = self._find(request)
        self._mapped_ssrcs = request.mapped_ssrcs
        router.context.registry.add(self.id, self)
        router.loans[self.id] = self
        self._producer.loans[self.id] = self

    @property
    def streams(self) -> list[RecvStream]:
        """The original's."""
        return self._producer.streams

    def by_mapped_ssrc(self) -> dict[int, RecvStream]:
        """The streams by the numbers that they have in this router."""
        return dict(zip(self._mapped_ssrcs, self.streams, strict=True))

    def close(self) -> None:
        """Close its consumers, telling them why, and then itself."""
        for consumer in list(self.consumers.values()):
            consumer.on_producer_closed()
        self.router.context.registry.remove(self.id)
        del self.router.loans[self.id]
        del self._producer.loans[self.id]

    def pause(self) -> None:
        """PRODUCER_PAUSE: for this router only."""
        self._set_paused(True)

    def resume(self) -> None:
        """PRODUCER_RESUME."""
        self._set_paused(False)

    def _set_paused(self, paused: bool) -> None:
        self.paused = paused
        for consumer in self.consumers.values():
            consumer.on_producer_paused(paused)

    def _find(self, request: RouterBorrowProducer) -> Producer:
        producer = self.router.context.registry.get(request.producer_id)
        if not isinstance(producer, Producer):
            raise NotFoundError(f"no producer with the id {request.producer_id!r}")
        if len(request.mapped_ssrcs) != len(producer.streams):
            raise SfuError(f"the producer has {len(producer.streams)} streams, not {len(request.mapped_ssrcs)}")
        return producer
