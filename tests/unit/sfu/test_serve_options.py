"""`sfu serve`: flags, the environment behind them, what does not go together; hooks from modules and files."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from sfu.__main__ import main
from sfu.serve import hooks
from sfu.serve.options import Options, add_arguments, address, read


def options(*flags: str, **environment: str) -> Options:
    parser = argparse.ArgumentParser()
    add_arguments(parser, environment)
    return read(parser.parse_args(flags))


def test_nothing_given_is_a_plain_server_for_this_host() -> None:
    assert options() == Options()
    assert options().host == "127.0.0.1"


def test_flags() -> None:
    found = options(
        *("--vertical", "--cores", "3", "--port", "9", "--cluster", "ws://a", "ws://b", "--token", "x", "--token", "y"),
        *("--announced-address", "10.0.0.1", "--grace", "2.5", "--status", ":9464", "--no-keep-workers"),
    )
    assert found == Options(
        vertical=True,
        cores=3,
        port=9,
        cluster=["ws://a", "ws://b"],
        tokens=["x", "y"],
        announced_addresses=["10.0.0.1"],
        grace=2.5,
        status=":9464",
    )


def test_the_environment_stands_in() -> None:
    found = options(
        SFU_VERTICAL="yes",
        SFU_PORT="5000",
        SFU_CLUSTER="ws://a, ws://b\nws://c",
        SFU_TOKEN="one two",
        SFU_DRAIN="1.5",
        SFU_KEEP_WORKERS="0",
    )
    assert found == Options(
        vertical=True, port=5000, cluster=["ws://a", "ws://b", "ws://c"], tokens=["one", "two"], drain=1.5
    )
    assert options("--no-vertical", "--port", "6000", SFU_VERTICAL="yes", SFU_PORT="5000").port == 6000
    assert not options("--no-vertical", SFU_VERTICAL="yes").vertical


def test_tokens_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("first\nsecond\n")
    assert options("--token-file", str(file)).tokens == ["first", "second"]
    assert options(SFU_TOKEN_FILE=str(file), SFU_TOKEN="zeroth").tokens == ["zeroth", "first", "second"]


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ("--proxy ws://a --cluster ws://b", "one or the other"),
        ("--cluster", "needs URLs"),
        ("--directory redis://x", "needs --announce"),
        ("--proxy ws://a --directory redis://x", "needs --announce"),
        ("--cert a", "one without the other"),
        ("--client-ca a", "needs --cert"),
        ("--cores 2", "only with --vertical"),
        ("--status nowhere", "HOST:PORT"),
        ("--token-file /nonexistent", "No such file"),
    ],
)
def test_what_does_not_go_together(flags: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", *flags.split()]) == 2
    assert complaint in capsys.readouterr().err


def test_a_wrong_variable_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        options(SFU_PORT="many")
    assert "SFU_PORT" in capsys.readouterr().err


def test_help_shows_variables_and_no_token(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SFU_TOKEN", "geheim")
    monkeypatch.setenv("SFU_UPSTREAM_TOKEN", "geheimer")
    with pytest.raises(SystemExit, match="0"):
        main(["serve", "--help"])
    shown = capsys.readouterr().out
    assert "SFU_GRACE" in shown and "geheim" not in shown


def test_addresses() -> None:
    assert address("127.0.0.1:80") == ("127.0.0.1", 80)
    assert address("[::1]:80") == ("::1", 80)
    assert address(":80") == ("0.0.0.0", 80)
    for wrong in ("80", "host:", "host:http", "host:70000"):
        with pytest.raises(ValueError, match="HOST:PORT"):
            address(wrong)


def test_hooks_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "extras.py"
    file.write_text("def connection_payload():\n    return {'region': 'eu'}\n")
    found = hooks.load(str(file))
    assert list(found) == ["extra_connection_payload"]
    assert found["extra_connection_payload"]() == {"region": "eu"}
    file.write_text("def something_else(): pass\n")
    with pytest.raises(ValueError, match="connection_payload"):
        hooks.load(str(file))
    for broken in ("def :", "1 / 0", "import no_such_module_here"):
        file.write_text(broken)
        with pytest.raises(ImportError, match=r"extras\.py"):
            hooks.load(str(file))


def test_hooks_of_a_module_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hooks_for_a_test.py").write_text("def authenticate(credentials):\n    return 'me'\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["elsewhere"])
    assert hooks.load("hooks_for_a_test")["authenticate"](None) == "me"
    assert hooks.load(None) == {}
