"""The names that Python needs of the engine's numbers."""

DROPS: tuple[str, ...] = (
    "unknownKind", "oversized", "unknownTuple", "stunMalformed", "stunUnknownUser", "stunUnauthorized",
    "stunIgnored", "notConnected", "rtpMalformed", "rtcpMalformed", "srtpAuth", "srtpReplayed", "srtpFailed",
    "unknownSsrc", "unknownPayloadType", "tableFull", "sequence", "duplicate", "rtxUseless", "paused",
    "padding", "queueFull", "sendBacklog", "sendFailed", "tcpFrame", "linkFull",
)
assert len(DROPS) == DROP_COUNT
