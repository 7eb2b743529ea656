"""SRTP keys as signalled."""

import pytest

from sfu_core.channel.messages import SrtpCryptoSuite, SrtpParameters
from sfu_core.worker.srtp import key_of, new_key, parameters_of


@pytest.mark.parametrize(
    ("suite", "length"),
    [
        (SrtpCryptoSuite.AES_CM_128_HMAC_SHA1_80, 30),
        (SrtpCryptoSuite.AES_CM_128_HMAC_SHA1_32, 30),
        (SrtpCryptoSuite.AEAD_AES_128_GCM, 28),
        (SrtpCryptoSuite.AEAD_AES_256_GCM, 44),
    ],
)
def test_keys_are_random_and_survive_signalling(suite: SrtpCryptoSuite, length: int) -> None:
    key = new_key(suite)
    assert len(key) == length and key != new_key(suite)
    assert key_of(parameters_of(suite, key)) == key


@pytest.mark.parametrize("text", ["", "=", "*" * 40, "ä" * 40, "A" * 41, "A" * 36 + "===="])
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(TypeError, match="keyBase64"):
        key_of(SrtpParameters(crypto_suite=SrtpCryptoSuite.AES_CM_128_HMAC_SHA1_80, key_base64=text))
