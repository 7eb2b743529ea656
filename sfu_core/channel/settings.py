"""What a core process is told at its start."""

from typing import Any

import msgspec


class WorkerSettings(msgspec.Struct, kw_only=True, frozen=True, rename="camel"):
    """Ports are for sockets whose listen info names none; certificate and key are PEM paths, both or none.

    `engine` holds what mediasoup has no word for (pinning, buffer sizes, crypto choice); the worker
    validates it.
    """

    log_level: str = "error"
    log_tags: tuple[str, ...] = ()
    rtc_min_port: int = 10000
    rtc_max_port: int = 59999
    dtls_certificate_file: str | None = None
    dtls_private_key_file: str | None = None
    engine: dict[str, Any] = {}


LOG_LEVELS = ("debug", "warn", "error", "none")
LOG_TAGS = (
    "info",
    "ice",
    "dtls",
    "rtp",
    "srtp",
    "rtcp",
    "rtx",
    "bwe",
    "score",
    "simulcast",
    "svc",
    "sctp",
    "message",
)
