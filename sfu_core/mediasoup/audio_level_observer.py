"""Who speaks how loud."""

from ..channel import messages as m
from ..channel.messages import Notification
from .rtp_observer import RtpObserver
from .types import AudioLevelObserverVolume


class AudioLevelObserver(RtpObserver):
    """Watches the audio levels that endpoints report (RFC 6464).

    Events, also on the observer: `volumes` (list of AudioLevelObserverVolume, loudest first), `silence`.
    """

    _type = "audiolevel"

    def _notified(self, notification: Notification) -> None:
        match notification:
            case m.AudioLevelObserverVolumes():
                if volumes := self._volumes(notification):
                    self._tell("volumes", volumes)
            case m.AudioLevelObserverSilence():
                self._tell("silence")
            case _:
                super()._notified(notification)

    def _volumes(self, notification: m.AudioLevelObserverVolumes) -> list[AudioLevelObserverVolume]:
        """Without the producers that were closed meanwhile."""
        producers = self._context.producers
        return [
            {"producer": producers[item.producer_id], "volume": item.volume}
            for item in notification.volumes
            if item.producer_id in producers
        ]
