import pytest


def test_version_and_namespaces(mediasoup):
    assert mediasoup.version.count(".") == 2 and mediasoup.worker_bin
    assert issubclass(mediasoup.errors.NotFoundError, mediasoup.errors.SfuError)
    assert callable(mediasoup.ortc.can_consume) and mediasoup.types.RtpCapabilities
    assert callable(mediasoup.extras.enhanced_once)


def test_supported_capabilities_are_a_copy(mediasoup):
    first = mediasoup.get_supported_rtp_capabilities()
    first["codecs"].clear()
    assert len(mediasoup.get_supported_rtp_capabilities()["codecs"]) == 25


@pytest.mark.parametrize(
    ("mode", "layers"), [("L1T3", (1, 3, False)), ("L3T2_KEY", (3, 2, True)), ("foo", (1, 1, False))]
)
def test_scalability_modes(mediasoup, mode, layers):
    assert tuple(mediasoup.parse_scalability_mode(mode).values()) == layers
