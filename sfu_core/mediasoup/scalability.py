"""Scalability modes such as `L3T3_KEY` (W3C "Scalable Video Coding (SVC) Extension for WebRTC" §6)."""

import re

from .types import ScalabilityMode

_MODE = re.compile(r"[LS]([1-9]\d?)T([1-9]\d?)(_KEY)?")


def parse_scalability_mode(mode: str | None) -> ScalabilityMode:
    """The layers `mode` names; one of each for `None` and for anything that is no scalability mode."""
    found = _MODE.match(mode or "")
    if not found:
        return {"spatialLayers": 1, "temporalLayers": 1, "ksvc": False}
    spatial, temporal, key = found.groups()
    return {"spatialLayers": int(spatial), "temporalLayers": int(temporal), "ksvc": key is not None}
