import logging

import pytest

from sfu_core.mediasoup.log import Logger, set_log_event_listeners


@pytest.fixture(autouse=True)
def no_listeners():
    yield
    set_log_event_listeners()


def test_lines_go_to_logging(caplog):
    caplog.set_level(logging.DEBUG, "mediasoup")
    logger = Logger("Thing")
    logger.debug("a %d", 1)
    logger.warn("b")
    logger.error("c", error=ValueError("why"))
    assert [(r.name, r.levelname, r.message) for r in caplog.records] == [
        ("mediasoup.Thing", "DEBUG", "a 1"),
        ("mediasoup.Thing", "WARNING", "b"),
        ("mediasoup.Thing", "ERROR", "c"),
    ]


def test_lines_go_to_the_listeners():
    seen = []
    set_log_event_listeners(
        ondebug=lambda *args: seen.append(args),
        onwarn=lambda *args: seen.append(args),
        onerror=lambda *args: seen.append(args),
    )
    logger, fault = Logger("Thing"), ValueError("why")
    logger.debug("a %d", 1)
    logger.warn("100 %")
    logger.error("c", error=fault)
    assert seen == [
        ("mediasoup:Thing", "a 1"),
        ("mediasoup:WARN:Thing", "100 %"),
        ("mediasoup:ERROR:Thing", "c", fault),
    ]


def test_listeners_left_out_are_removed():
    seen = []
    set_log_event_listeners(ondebug=lambda *args: seen.append(args))
    set_log_event_listeners(onwarn=lambda *args: seen.append(args))
    Logger("Thing").debug("a")
    Logger("Thing").warn("b")
    set_log_event_listeners()
    Logger("Thing").warn("c")
    assert seen == [("mediasoup:WARN:Thing", "b")]
