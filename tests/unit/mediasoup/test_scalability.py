import pytest

from sfu_core.mediasoup.scalability import parse_scalability_mode


@pytest.mark.parametrize(
    ("mode", "spatial", "temporal", "ksvc"),
    [
        ("L1T3", 1, 3, False),
        ("L3T2_KEY", 3, 2, True),
        ("S2T3", 2, 3, False),
        ("foo", 1, 1, False),
        (None, 1, 1, False),
        ("", 1, 1, False),
        ("S0T3", 1, 1, False),
        ("S1T0", 1, 1, False),
        ("S200T3", 1, 1, False),
        ("L20T3", 20, 3, False),
        ("L4T7_KEY_SHIFT", 4, 7, True),
        ("L4T7_SHIFT", 4, 7, False),
        ("xL3T3", 1, 1, False),
    ],
)
def test_parse(mode, spatial, temporal, ksvc):
    assert parse_scalability_mode(mode) == {
        "spatialLayers": spatial,
        "temporalLayers": temporal,
        "ksvc": ksvc,
    }
