"""`sfu serve`: flags, the environment behind them, what does not go together; hooks from modules and files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from sfu.__main__ import main
from sfu.serve import hooks
from sfu.serve.options import Options, UsageError, add_arguments, read
from sfu.values import address

VALUES: dict[str, tuple[str, str, Any]] = {
    "host": ("--host 10.0.0.1", "10.0.0.1", "10.0.0.1"),
    "port": ("--port 5000", "5000", 5000),
    "vertical": ("--vertical", "yes", True),
    "cores": ("--cores 3", "3", 3),
    "watermark": ("--watermark 75.5", "75.5", 75.5),
    "proxy": ("--proxy ws://a", "ws://a", "ws://a"),
    "cluster": ("--cluster ws://a wss://b:1/c", "ws://a wss://b:1/c", ["ws://a", "wss://b:1/c"]),
    "directory": ("--directory redis://:word@a:1/0", "redis://:word@a:1/0", "redis://:word@a:1/0"),
    "directory_name": ("--directory-name blue", "blue", "blue"),
    "announce": ("--announce wss://a", "wss://a", "wss://a"),
    "token": ("--token one --token two", "one two", ["one", "two"]),
    "upstream_token": ("--upstream-token one", "one", "one"),
    "upstream_ca": ("--upstream-ca a.pem", "a.pem", "a.pem"),
    "allow_anonymous": ("--allow-anonymous", "yes", True),
    "allow_files": ("--allow-files", "yes", True),
    "cert": ("--cert a.pem", "a.pem", "a.pem"),
    "key": ("--key a.key", "a.key", "a.key"),
    "client_ca": ("--client-ca b.pem", "b.pem", "b.pem"),
    "announced_address": ("--announced-address a --announced-address ::1", "a ::1", ["a", "::1"]),
    "grace": ("--grace 0", "0", 0.0),
    "keep_workers": ("--keep-workers", "yes", True),
    "hooks": ("--hooks mine", "mine", "mine"),
    "status": ("--status :9464", ":9464", ":9464"),
    "drain": ("--drain 1.5", "1.5", 1.5),
    "log_level": ("--log-level debug", "debug", "debug"),
}
"""For each option how it is given as a flag and in its variable, and what that means."""

FIELDS = {"token": "tokens", "announced_address": "announced_addresses"}
NEEDS = {
    "cores": {"SFU_VERTICAL": "yes"},
    "directory": {"SFU_ANNOUNCE": "ws://b"},
    "announce": {"SFU_DIRECTORY": "redis://b"},
    "upstream_token": {"SFU_PROXY": "ws://b"},
    "upstream_ca": {"SFU_PROXY": "ws://b"},
    "cert": {"SFU_KEY": "x"},
    "key": {"SFU_CERT": "x"},
    "client_ca": {"SFU_CERT": "x", "SFU_KEY": "x"},
}
"""What must be given, too."""


def options(*flags: str, **environment: str) -> Options:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return read(parser.parse_args(flags), environment)


@pytest.mark.parametrize("name", VALUES)
def test_each_option_as_a_flag_and_as_a_variable(name: str) -> None:
    """The flag counts if there are both."""
    flags, text, value = VALUES[name]
    variable, more = f"SFU_{name.upper()}", NEEDS.get(name, {})
    by_flag = options(*flags.split(), **more)
    assert getattr(by_flag, FIELDS.get(name, name)) == value
    assert options(**more, **{variable: text}) == by_flag
    assert options(*flags.split(), **more, **{variable: OTHERS.get(name, "1")}) == by_flag


OTHERS = {"proxy": "ws://x", "cluster": "ws://x", "directory": "redis://x", "announce": "ws://x", "status": ":1"}
OTHERS |= {"log_level": "error"}
"""Another value that is right; the number 1 is, elsewhere."""


def test_the_tables_here_have_all_options() -> None:
    fields = {FIELDS.get(name, name) for name in VALUES}
    assert fields == set(Options.__dataclass_fields__)


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
        PATH="/",
    )
    assert found == Options(
        vertical=True, port=5000, cluster=["ws://a", "ws://b", "ws://c"], tokens=["one", "two"], drain=1.5
    )
    assert not options("--no-vertical", SFU_VERTICAL="yes").vertical
    assert options(SFU_CLUSTER="", SFU_DIRECTORY="redis://x").cluster == []


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
        ("--announce ws://a", "--announce: only with --directory"),
        ("--announce ws://a --directory redis://x --cluster", "--announce: a cluster would find itself"),
        ("--upstream-token a", "--upstream-token: only with"),
        ("--upstream-ca a", "--upstream-ca: only with"),
        ("--token a --allow-anonymous", "--allow-anonymous and --token"),
        ("--cert a", "one without the other"),
        ("--client-ca a", "needs --cert"),
        ("--cores 2", "only with --vertical"),
        ("--token-file /nonexistent", "--token-file /nonexistent: No such file"),
        ("--token-file /", "--token-file /: Is a directory"),
        ("--token-file /dev/null", "--token-file /dev/null: it is empty"),
    ],
)
def test_what_does_not_go_together(flags: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", *flags.split()]) == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *(("port", wrong) for wrong in ("many", "-1", "70000", "")),
        *(("cores", wrong) for wrong in ("0", "-2", "1.5")),
        *(("watermark", wrong) for wrong in ("0", "101", "nan", "high")),
        *((name, wrong) for name in ("grace", "drain") for wrong in ("-1", "nan", "inf", "soon")),
        *((name, wrong) for name in ("proxy", "cluster", "announce") for wrong in ("a", "http://a", "ws://", "WSS://a")),
        *(("proxy", wrong) for wrong in ("ws://[::1", "ws://:geheim@a:port")),
        *(("directory", wrong) for wrong in ("a", "http://a", "redis://", "redis://:geheim/word@a")),
        *((name, "") for name in ("host", "token", "upstream_token", "hooks", "cert")),
        *((name, "geheimübung") for name in ("token", "upstream_token")),
        ("status", "nowhere"),
        ("log_level", "loud"),
    ],
)
def test_a_wrong_value_is_told_with_its_option(name: str, wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And what may hold a secret is not shown."""
    flag, variable = f"--{name.replace('_', '-')}", f"SFU_{name.upper()}"
    with pytest.raises(SystemExit, match="2"):
        options(f"{flag}={wrong}")
    told = capsys.readouterr().err
    assert f"argument {flag}: " in told and "geheim" not in told
    with pytest.raises(UsageError, match=f"^{variable}: ") as error:
        options(**{variable: wrong})
    assert "geheim" not in str(error.value)


def test_a_wrong_switch_is_named() -> None:
    with pytest.raises(UsageError, match="SFU_VERTICAL: 'perhaps' is neither yes nor no"):
        options(SFU_VERTICAL="perhaps")


def test_variables_of_serve_are_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFU_PORT", "many")
    assert main(["version"]) == 0
    assert main(["serve"]) == 2


def test_help_shows_variables_and_nothing_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SFU_TOKEN", "geheim")
    monkeypatch.setenv("SFU_UPSTREAM_TOKEN", "geheimer")
    monkeypatch.setenv("SFU_DIRECTORY", "redis://:geheim@x")
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
