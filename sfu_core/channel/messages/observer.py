"""Messages to and from RTP observers (handler id: the observer's)."""

from sfu_core.channel.messages.base import I8, U16, Event, Method, Notification, Request, Table


class ActiveSpeakerObserverOptions(Table):
    """`interval` in ms."""

    interval: U16


class AudioLevelObserverOptions(Table):
    """`threshold` in dBov, `interval` in ms."""

    max_entries: U16
    threshold: I8
    interval: U16


class RtpObserverPause(Request[None]):
    METHOD = Method.RTPOBSERVER_PAUSE


class RtpObserverResume(Request[None]):
    METHOD = Method.RTPOBSERVER_RESUME


class RtpObserverAddProducer(Request[None]):
    METHOD = Method.RTPOBSERVER_ADD_PRODUCER
    BODY = 38
    producer_id: str


class RtpObserverRemoveProducer(Request[None]):
    METHOD = Method.RTPOBSERVER_REMOVE_PRODUCER
    BODY = 39
    producer_id: str


class ActiveSpeakerObserverDominantSpeaker(Notification):
    EVENT = Event.ACTIVESPEAKEROBSERVER_DOMINANT_SPEAKER
    BODY = 22
    producer_id: str


class AudioLevelVolume(Table):
    """`volume` in dBov."""

    producer_id: str
    volume: I8


class AudioLevelObserverSilence(Notification):
    EVENT = Event.AUDIOLEVELOBSERVER_SILENCE


class AudioLevelObserverVolumes(Notification):
    """Loudest first."""

    EVENT = Event.AUDIOLEVELOBSERVER_VOLUMES
    BODY = 23
    volumes: list[AudioLevelVolume]
