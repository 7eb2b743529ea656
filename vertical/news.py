"""Notifications on their way from members to the application.

They are held back while their object is being created, then come in order. Those about scores are put together from
two members where a consumer's producer is on another one. Belongs to the switch's event loop.
"""

import asyncio
from collections.abc import Callable

from sfu_core.channel import messages as m
from sfu_core.channel.channel import Listener
from sfu_core.channel.codec import NotificationFrame
from sfu_core.channel.delivery import Deliveries
from vertical import mirror_views, views
from vertical.members import Member
from vertical.tree import AnyProducer, Consumer, Producer, Tree


class News:
    """Of one logical worker."""

    def __init__(self, tree: Tree, ended: Callable[[Consumer], None]) -> None:
        """`ended` is called for a consumer that its member ended before anybody here did."""
        self._tree = tree
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._deliveries = Deliveries()
        self._watched: dict[str, tuple[Member, str]] = {}
        self._held: dict[str, list[m.Notification]] = {}

    # The application's side

    def subscribe(self, id: str, listener: Listener) -> None:
        """See `Channel.subscribe`."""
        self._deliveries.subscribe(id, lambda frame: listener(frame.body))

    def unsubscribe(self, id: str) -> None:
        """See `Channel.unsubscribe`."""
        self._deliveries.unsubscribe(id)

    def relay(self, listener: Callable[[m.Notification, str], None]) -> None:
        """All news go to one listener, with the object's id."""
        self._deliveries.fallback = lambda frame: listener(frame.body, frame.handler_id)

    def tell(self, id: str, notification: m.Notification) -> None:
        """Deliver to the application, late enough for its listener to exist."""
        if id in self._held:
            self._held[id].append(notification)
        else:
            self._deliveries.put(NotificationFrame(notification.EVENT, id, notification))

    def close(self) -> None:
        """No more news."""
        self._deliveries.clear()
        for id in list(self._watched):
            self.unwatch(id)

    # The members' side

    def watch(self, id: str, member: Member, wire_id: str) -> None:
        """The object is about to be created on `member`; its news are held until `release`."""
        self.hold(id)
        self._watched[id] = member, wire_id
        member.channel.subscribe(wire_id, lambda notification: self._arrived(id, notification))

    def hold(self, id: str) -> None:
        """The same for an object that is on no member."""
        self._held[id] = []

    def release(self, id: str) -> None:
        """The application is about to hear that the object exists; its news come after that."""
        for notification in self._held.pop(id, ()):
            self.tell(id, notification)

    def unwatch(self, id: str) -> None:
        """The object has ended, or did not come to be. Unknown ids are ignored."""
        self._held.pop(id, None)
        member, wire_id = self._watched.pop(id, (None, ""))
        if member is not None:
            member.channel.unsubscribe(wire_id)

    def _arrived(self, id: str, notification: m.Notification) -> None:
        record = self._tree.objects.get(id)
        match notification:
            case m.ProducerScore() if isinstance(record, Producer):
                self.tell(id, notification)
                self._producer_score(record, notification)
            case m.ProducerTrace() if isinstance(record, Producer):
                for each, news in self._viewers(record):
                    if notification.type in each.traced:
                        news.tell(each.id, notification)
            case m.ProducerVideoOrientationChange() if isinstance(record, Producer):
                for each, news in self._viewers(record):
                    news.tell(each.id, notification)
            case m.ConsumerScore() if isinstance(record, Consumer):
                self.score(record, notification.score)
            case m.ConsumerProducerClose():
                self._farewell(id, record, notification)
            case _:
                self.tell(id, notification)

    def _farewell(self, id: str, record: object, notification: m.Notification) -> None:
        """The consumer's last word; it has left the tree already, unless its member knew first."""
        if isinstance(record, Consumer):
            self._ended(record)
        held = self._held.get(id)
        self.unwatch(id)
        if held is not None:
            self._held[id] = held
        self.tell(id, notification)

    def _viewers(self, producer: Producer) -> list[tuple[AnyProducer, "News"]]:
        """Itself, and what mirrors it in other routers, with whoever tells these."""
        return [(producer, self), *((mirror, mirror.news) for mirror in producer.mirrors)]

    # Scores

    def _producer_score(self, producer: Producer, notification: m.ProducerScore) -> None:
        producer.scores = {score.encoding_idx: score for score in notification.scores}
        for mirror in producer.mirrors:
            mirror.news.tell(mirror.id, mirror_views.producer_score(notification.scores, mirror))
        for each, news in self._viewers(producer):
            for consumer in each.consumers.values():
                if isinstance(consumer, Consumer) and consumer.remote and consumer.type is not m.RtpType.PIPE:
                    news.score(consumer, consumer.score)

    def score(self, consumer: Consumer, own: m.ConsumerScores) -> None:
        """Tell what its member says of it, unless that is what was told last."""
        told = views.scores(own, consumer.producer.source, consumer.type) if consumer.remote else own
        if told != consumer.score or not consumer.remote:
            consumer.score = told
            self.tell(consumer.id, m.ConsumerScore(score=told))
