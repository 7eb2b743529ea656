"""What a core process accepts as its settings; anything else ends it with the exit code for wrong settings.

Pure functions.
"""

import os
from dataclasses import dataclass, fields
from typing import Any

from sfu_core.channel.messages import SrtpCryptoSuite
from sfu_core.channel.settings import LOG_LEVELS, WorkerSettings

LATENCIES = ("normal", "low")
NOT_OF_ENGINE = ("cpu", "srtp_suites")  # those that the process itself sees to
MAX_RECORDS = 1 << 20  # of one table; an index has more room, but no core could serve them


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """`WorkerSettings.engine`, checked. None: the engine's own default."""

    cpu: int | None = None  # the processor to stay on
    latency: str | None = None
    history_bytes: int | None = None
    transports: int | None = None
    producers: int | None = None
    recv_streams: int | None = None
    send_streams: int | None = None
    srtp_suites: tuple[SrtpCryptoSuite, ...] | None = None  # to offer and to take in DTLS, most wanted first

    def engine_arguments(self) -> dict[str, Any]:
        """Those that the engine's constructor takes."""
        given = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in NOT_OF_ENGINE}
        return {name: value for name, value in given.items() if value is not None}


def check(settings: WorkerSettings) -> EngineSettings:
    """TypeError names the first setting that will not do."""
    if settings.log_level not in LOG_LEVELS:
        raise TypeError(f"logLevel {settings.log_level!r}")
    for name, port in (("rtcMinPort", settings.rtc_min_port), ("rtcMaxPort", settings.rtc_max_port)):
        if not 0 <= port <= 65535:
            raise TypeError(f"{name} {port} is no port")
    if settings.rtc_max_port < settings.rtc_min_port:
        raise TypeError("rtcMaxPort is below rtcMinPort")
    if (settings.dtls_certificate_file is None) != (settings.dtls_private_key_file is None):
        raise TypeError("dtlsCertificateFile and dtlsPrivateKeyFile: one without the other")
    return _check_engine(settings.engine)


def _check_engine(given: dict[str, Any]) -> EngineSettings:
    unknown = given.keys() - {field.name for field in fields(EngineSettings)}
    if unknown:
        raise TypeError(f"engine: unknown setting {min(unknown)!r}")
    for name, value in given.items():
        if name == "srtp_suites":
            given = given | {name: _suites(value)}
        elif name == "latency":
            if value not in LATENCIES:
                raise TypeError(f"engine.latency {value!r}: one of {', '.join(LATENCIES)}")
        elif type(value) is not int or value < 0:
            raise TypeError(f"engine.{name} {value!r} is no count")
        elif name == "cpu":
            if value not in os.sched_getaffinity(0):
                raise TypeError(f"engine.cpu {value}: not ours to run on")
        elif value == 0 or (name != "history_bytes" and value > MAX_RECORDS):
            raise TypeError(f"engine.{name} {value} is out of range")
    return EngineSettings(**given)


def _suites(names: object) -> tuple[SrtpCryptoSuite, ...]:
    known = SrtpCryptoSuite.__members__
    if not isinstance(names, list | tuple) or not names or any(name not in [*known] for name in names):
        raise TypeError(f"engine.srtp_suites {names!r}: a list of {', '.join(known)}")
    return tuple(known[name] for name in names)
