"""Settings of a core process: what passes, and what ends it."""

import os
from typing import Any

import pytest

from sfu_core.channel.messages import SrtpCryptoSuite
from sfu_core.channel.settings import WorkerSettings
from sfu_core.worker.settings import check


def test_defaults() -> None:
    assert check(WorkerSettings()).engine_arguments() == {}


def test_engine_settings() -> None:
    cpu = min(os.sched_getaffinity(0))
    settings = check(WorkerSettings(engine={"cpu": cpu, "latency": "low", "history_bytes": 1 << 20}))
    assert settings.cpu == cpu
    assert settings.engine_arguments() == {"latency": "low", "history_bytes": 1 << 20}


def test_srtp_suites() -> None:
    settings = check(WorkerSettings(engine={"srtp_suites": ["AES_CM_128_HMAC_SHA1_80", "AEAD_AES_128_GCM"]}))
    wanted = (SrtpCryptoSuite.AES_CM_128_HMAC_SHA1_80, SrtpCryptoSuite.AEAD_AES_128_GCM)
    assert settings.srtp_suites == wanted
    assert settings.engine_arguments() == {}


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"log_level": "chatty"}, "logLevel"),
        ({"rtc_min_port": -1}, "rtcMinPort"),
        ({"rtc_max_port": 65536}, "rtcMaxPort"),
        ({"rtc_min_port": 2000, "rtc_max_port": 1999}, "below"),
        ({"dtls_certificate_file": "cert.pem"}, "one without the other"),
        ({"dtls_private_key_file": "key.pem"}, "one without the other"),
        ({"engine": {"turbo": 1}}, "turbo"),
        ({"engine": {"cpu": 1 << 20}}, "cpu"),
        ({"engine": {"cpu": -1}}, "cpu"),
        ({"engine": {"cpu": True}}, "cpu"),
        ({"engine": {"latency": "none"}}, "latency"),
        ({"engine": {"transports": 0}}, "transports"),
        ({"engine": {"send_streams": 1 << 30}}, "send_streams"),
        ({"engine": {"history_bytes": "64M"}}, "history_bytes"),
        ({"engine": {"srtp_suites": []}}, "srtp_suites"),
        ({"engine": {"srtp_suites": "AEAD_AES_128_GCM"}}, "srtp_suites"),
        ({"engine": {"srtp_suites": ["NULL"]}}, "srtp_suites"),
        ({"engine": {"srtp_suites": [[]]}}, "srtp_suites"),
    ],
)
def test_wrong(wrong: dict[str, Any], name: str) -> None:
    with pytest.raises(TypeError, match=name):
        check(WorkerSettings(**wrong))
