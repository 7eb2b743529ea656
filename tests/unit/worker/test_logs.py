"""The gate of the log: level none < error < warn < debug, and tags for the lower two."""

import pytest

from sfu_core.worker.logs import Logs


def lines_at(level: str, tags: list[str]) -> str:
    lines: list[str] = []
    logs = Logs(lines.append, level, tags)
    logs.error("e")
    logs.warn("ice", "w")
    logs.debug("ice", "d")
    return "".join(line[0] for line in lines)


@pytest.mark.parametrize(("level", "passes"), [("none", ""), ("error", "E"), ("warn", "EW"), ("debug", "EWD")])
def test_levels(level: str, passes: str) -> None:
    assert lines_at(level, ["ice"]) == passes


@pytest.mark.parametrize("tags", [[], ["dtls"], ["no such tag"]])
def test_warnings_and_debug_lines_need_their_tag(tags: list[str]) -> None:
    assert lines_at("debug", tags) == "E"


def test_given_tags_replace_all_former_ones() -> None:
    lines: list[str] = []
    logs = Logs(lines.append, "debug", ["ice"])
    logs.set_tags(["dtls"])
    logs.debug("ice", "no")
    logs.debug("dtls", "yes")
    assert lines == ["Dyes"]


def test_unknown_level() -> None:
    logs = Logs(print)
    with pytest.raises(TypeError, match="logLevel"):
        logs.set_level("chatty")
