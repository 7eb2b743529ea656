"""The dictionaries of the API, in mediasoup's camelCase shapes.

They go to browsers and come from them as they are, so nothing here is renamed. No behaviour lives here; the
rules that give these shapes their defaults are in `ortc`.
"""

from typing import Any, Literal, NotRequired, TypedDict

MediaKind = Literal["audio", "video"]
RtpType = Literal["simple", "simulcast", "svc", "pipe"]
TransportType = Literal["webrtc", "plain", "pipe", "direct"]
TransportProtocol = Literal["udp", "tcp"]
IceState = Literal["new", "connected", "completed", "disconnected", "closed"]
DtlsRole = Literal["auto", "client", "server"]
DtlsState = Literal["new", "connecting", "connected", "failed", "closed"]
SctpState = Literal["new", "connecting", "connected", "failed", "closed"]
HeaderExtensionDirection = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
SrtpCryptoSuite = Literal["AEAD_AES_256_GCM", "AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"]
LogLevel = Literal["debug", "warn", "error", "none"]

CodecParameters = dict[str, Any]
"""Codec `parameters`: a string, an integer or a float for every name (fmtp of RFC 8866 §6.15)."""


class RtcpFeedback(TypedDict):
    """One feedback message a codec uses (RFC 4585 §4.2)."""

    type: str
    parameter: NotRequired[str]


class RtpCodecCapability(TypedDict):
    """A codec that a side can send or receive."""

    kind: NotRequired[MediaKind]
    mimeType: str
    preferredPayloadType: NotRequired[int]
    clockRate: int
    channels: NotRequired[int]
    parameters: NotRequired[CodecParameters]
    rtcpFeedback: NotRequired[list[RtcpFeedback]]


class RtpHeaderExtension(TypedDict):
    """A header extension that a side understands (RFC 8285)."""

    kind: MediaKind
    uri: str
    preferredId: int
    preferredEncrypt: NotRequired[bool]
    direction: NotRequired[HeaderExtensionDirection]


class RtpCapabilities(TypedDict, total=False):
    """What a router or an endpoint can do."""

    codecs: list[RtpCodecCapability]
    headerExtensions: list[RtpHeaderExtension]


class RtpCodecParameters(TypedDict):
    """A codec in use, with its payload type."""

    mimeType: str
    payloadType: int
    clockRate: int
    channels: NotRequired[int]
    parameters: NotRequired[CodecParameters]
    rtcpFeedback: NotRequired[list[RtcpFeedback]]


class RtpHeaderExtensionParameters(TypedDict):
    """A header extension in use, with its id."""

    uri: str
    id: int
    encrypt: NotRequired[bool]
    parameters: NotRequired[CodecParameters]


class RtxSsrc(TypedDict):
    """The retransmission stream of an encoding (RFC 4588)."""

    ssrc: int


class RtpEncodingParameters(TypedDict, total=False):
    """One stream of a producer or consumer; maxBitrate in bits per second."""

    ssrc: int
    rid: str
    codecPayloadType: int
    rtx: RtxSsrc
    dtx: bool
    scalabilityMode: str
    maxBitrate: int


class RtcpParameters(TypedDict, total=False):
    """RTCP settings: the canonical name (RFC 3550 §6.5.1) and reduced size (RFC 5506)."""

    cname: str
    reducedSize: bool


class RtpParameters(TypedDict):
    """What a producer sends, or what a consumer receives."""

    mid: NotRequired[str]
    codecs: list[RtpCodecParameters]
    headerExtensions: NotRequired[list[RtpHeaderExtensionParameters]]
    encodings: NotRequired[list[RtpEncodingParameters]]
    rtcp: NotRequired[RtcpParameters]
    msid: NotRequired[str]


class RtpCodecMapping(TypedDict):
    """A payload type of the producer and the router's one for it."""

    payloadType: int
    mappedPayloadType: int


class RtpEncodingMapping(TypedDict):
    """An encoding of the producer and the SSRC the router gives it."""

    ssrc: NotRequired[int]
    rid: NotRequired[str]
    mappedSsrc: int


class RtpMapping(TypedDict):
    """How a producer's numbers become the router's."""

    codecs: list[RtpCodecMapping]
    encodings: list[RtpEncodingMapping]


class PortRange(TypedDict):
    """Ports to choose from, both ends included."""

    min: int
    max: int


class SocketFlags(TypedDict, total=False):
    """Flags of a listening socket."""

    ipv6Only: bool
    udpReusePort: bool


class TransportListenInfo(TypedDict):
    """Where a transport listens; buffer sizes in bytes."""

    protocol: TransportProtocol
    ip: str
    announcedAddress: NotRequired[str]
    exposeInternalIp: NotRequired[bool]
    port: NotRequired[int]
    portRange: NotRequired[PortRange]
    flags: NotRequired[SocketFlags]
    sendBufferSize: NotRequired[int]
    recvBufferSize: NotRequired[int]


class TransportTuple(TypedDict):
    """The two ends of a flow; remotePort is 0 while no remote is known."""

    localAddress: str
    localIp: str
    localPort: int
    remoteIp: NotRequired[str]
    remotePort: int
    protocol: TransportProtocol


class IceParameters(TypedDict):
    """Credentials of this side (RFC 8445 §5.3); always ICE-lite."""

    usernameFragment: str
    password: str
    iceLite: bool


class IceCandidate(TypedDict):
    """A host candidate (RFC 8445 §5.1.1)."""

    foundation: str
    priority: int
    address: str
    ip: str
    protocol: TransportProtocol
    port: int
    type: Literal["host"]
    tcpType: NotRequired[Literal["passive"]]


class DtlsFingerprint(TypedDict):
    """The hash of a certificate in upper-case hexadecimal with colons (RFC 8122 §5)."""

    algorithm: str
    value: str


class DtlsParameters(TypedDict):
    """The DTLS role and certificate fingerprints of a side."""

    role: NotRequired[DtlsRole]
    fingerprints: list[DtlsFingerprint]


class SrtpParameters(TypedDict):
    """A crypto suite and base64 of master key and salt (RFC 4568 §6.1)."""

    cryptoSuite: SrtpCryptoSuite
    keyBase64: str


class SctpParameters(TypedDict):
    """The SCTP association a transport offers; sizes in bytes."""

    port: int
    OS: int
    MIS: int
    maxMessageSize: int
    maxSendMessageSize: int
    maxReceiveMessageSize: int
    sendBufferSize: int
    perStreamSendQueueLimit: int
    maxReceiverWindowBufferSize: int
    isDataChannel: bool


class SctpOptions(TypedDict, total=False):
    """Keyword arguments about SCTP of the methods that create transports; sizes in bytes."""

    enable_sctp: bool
    max_send_message_size: int
    max_receive_message_size: int
    sctp_send_buffer_size: int
    sctp_per_stream_send_queue_limit: int
    sctp_max_receiver_window_buffer_size: int
    sctp_default_stream_buffered_amount_low_threshold: int


class SctpNegotiatedCapabilities(TypedDict):
    """Streams agreed with the peer (zeros until the association is up)."""

    negotiatedMaxOutboundStreams: int
    negotiatedMaxInboundStreams: int


class SctpStreamParameters(TypedDict):
    """A data stream (RFC 8831 §6.4); maxPacketLifeTime in milliseconds."""

    streamId: int
    ordered: NotRequired[bool]
    maxPacketLifeTime: NotRequired[int]
    maxRetransmits: NotRequired[int]


class ConsumerLayers(TypedDict):
    """A spatial and, if wanted, a temporal layer, from 0 up."""

    spatialLayer: int
    temporalLayer: NotRequired[int]


class ProducerScore(TypedDict):
    """Quality of one received stream, 0 (worst) to 10."""

    encodingIdx: int
    ssrc: int
    rid: NotRequired[str]
    score: int


class ConsumerScore(TypedDict):
    """Quality of what a consumer sends and of the producer streams behind it."""

    score: int
    producerScore: int
    producerScores: list[int]


class ProducerVideoOrientation(TypedDict):
    """Coordination of video orientation (3GPP TS 26.114 §7.4.5); rotation in degrees."""

    camera: bool
    flip: bool
    rotation: int


class AudioLevelObserverVolume(TypedDict):
    """A producer and its level in dBov (-127 to 0)."""

    producer: Any
    volume: int


class ScalabilityMode(TypedDict):
    """Layers named by a scalability mode (W3C webrtc-svc §6)."""

    spatialLayers: int
    temporalLayers: int
    ksvc: bool
