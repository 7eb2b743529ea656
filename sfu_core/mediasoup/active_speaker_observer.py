"""Who is the one who speaks."""

from ..channel import messages as m
from ..channel.messages import Notification
from .rtp_observer import RtpObserver


class ActiveSpeakerObserver(RtpObserver):
    """Finds the dominant speaker.

    Event, also on the observer: `dominantspeaker` ({`producer`: Producer}).
    """

    _type = "activespeaker"

    def _notified(self, notification: Notification) -> None:
        match notification:
            case m.ActiveSpeakerObserverDominantSpeaker():
                producer = self._context.producers.get(notification.producer_id)
                if producer is not None:
                    self._tell("dominantspeaker", {"producer": producer})
            case _:
                super()._notified(notification)
