"""Figures as Prometheus reads them (text exposition format 0.0.4). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[tuple[str, str], ...]


@dataclass
class Metric:
    """One name with its samples. Names of counters end with `_total`."""

    name: str
    kind: Literal["gauge", "counter"]
    help: str
    samples: list[tuple[Labels, float]] = field(default_factory=list)

    def add(self, value: float, **labels: object) -> None:
        """One sample more."""
        self.samples.append((tuple((name, str(each)) for name, each in labels.items()), value))


def text(metrics: Iterable[Metric]) -> str:
    """Those that have samples."""
    lines: list[str] = []
    for metric in metrics:
        if metric.samples:
            lines += (f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}")
            lines += (f"{metric.name}{_labels(labels)} {value:.17g}" for labels, value in metric.samples)
    return "".join(f"{line}\n" for line in lines)


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


class Figures:
    """Collects what there is to tell of a server."""

    def __init__(self) -> None:
        self._metrics: dict[str, Metric] = {}

    def gauge(self, name: str, help: str, value: float, **labels: object) -> None:
        """What goes up and down."""
        self._metrics.setdefault(name, Metric(name, "gauge", help)).add(value, **labels)

    def counter(self, name: str, help: str, value: float, **labels: object) -> None:
        """What only goes up."""
        self._metrics.setdefault(name, Metric(name, "counter", help)).add(value, **labels)

    def counters(self, counters: Mapping[str, int], **labels: object) -> None:
        """Those of a media thread (WORKER_GET_CORE_STATS)."""
        seconds = counters.get("busyNs", 0) / 1e9
        self.counter("sfu_core_busy_seconds_total", "Time that the media thread was at work.", seconds, **labels)
        for name, help, key, more in _COUNTERS:
            self.counter(name, help, counters.get(key, 0), **labels, **more)
        for key, value in counters.items():
            if key.startswith("drop."):
                reason = key.removeprefix("drop.")
                self.counter("sfu_core_drops_total", "Packets that went no further.", value, **labels, reason=reason)

    def processes(self, stats: Mapping[str, Any]) -> None:
        """Those of `get_stats()`."""
        for pid, usage in (stats.get("pidusages") or {}).items():
            self.gauge("sfu_process_cpu_percent", "CPU time since the last look.", usage["cpu"], pid=pid)
            self.gauge("sfu_process_memory_bytes", "Resident memory.", usage["memory"], pid=pid)

    def text(self) -> str:
        """All of it."""
        return text(self._metrics.values())


_IN, _OUT = {"direction": "in"}, {"direction": "out"}
_COUNTERS: Final[tuple[tuple[str, str, str, dict[str, str]], ...]] = (
    ("sfu_core_datagrams_total", "Datagrams of all kinds.", "datagramsIn", _IN),
    ("sfu_core_datagrams_total", "Datagrams of all kinds.", "datagramsOut", _OUT),
    ("sfu_core_bytes_total", "Their bytes.", "bytesIn", _IN),
    ("sfu_core_bytes_total", "Their bytes.", "bytesOut", _OUT),
    ("sfu_core_link_packets_total", "Packets piped to other cores.", "linkPackets", {}),
    ("sfu_core_handed_packets_total", "Datagrams of the shared port given to the core they are for.", "handedOut", {}),
    ("sfu_core_send_errors_total", "Messages that the kernel refused.", "sendErrors", {}),
)
