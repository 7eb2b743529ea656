"""SRTP keys as they are signalled: suites, lengths, base64.

Pure functions; the keys go on to the engine.
"""

import os
from binascii import Error, a2b_base64, b2a_base64

from sfu_core.channel.messages import SrtpCryptoSuite, SrtpParameters

KEY_BYTES = {  # master key and salt (RFC 3711 §8.2, RFC 7714 §12)
    SrtpCryptoSuite.AEAD_AES_256_GCM: 44,
    SrtpCryptoSuite.AEAD_AES_128_GCM: 28,
    SrtpCryptoSuite.AES_CM_128_HMAC_SHA1_80: 30,
    SrtpCryptoSuite.AES_CM_128_HMAC_SHA1_32: 30,
}


def new_key(suite: SrtpCryptoSuite) -> bytes:
    """A random master key and salt."""
    return os.urandom(KEY_BYTES[suite])


def parameters_of(suite: SrtpCryptoSuite, key: bytes) -> SrtpParameters:
    """As signalled to the other side."""
    return SrtpParameters(crypto_suite=suite, key_base64=b2a_base64(key, newline=False).decode())


def key_of(parameters: SrtpParameters) -> bytes:
    """The key that the other side signalled. TypeError if it is none for its suite."""
    try:
        key = a2b_base64(parameters.key_base64, strict_mode=True)
    except (Error, ValueError):
        raise TypeError("srtpParameters.keyBase64 is not base64") from None
    expected = KEY_BYTES[parameters.crypto_suite]
    if len(key) != expected:
        name = parameters.crypto_suite.name
        raise TypeError(f"srtpParameters.keyBase64 has {len(key)} bytes, {name} needs {expected}")
    return key
