"""The options of `sfu serve`: flags, and for each an environment variable that stands in where the flag is not given.

Pure but for reading the environment and the file of tokens. Lists are separated by spaces or commas in a variable.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from sfu import values
from sfu_core.errors import SfuError

PREFIX: Final = "SFU_"
PORT: Final = 4443


class UsageError(Exception):
    """What is wrong with an option, which it names, or with what that leads to."""


@contextmanager
def blaming(option: str) -> Iterator[None]:
    """What goes wrong in the block is a UsageError that names the option."""
    try:
        yield
    except (ImportError, OSError, TypeError, ValueError, SfuError) as error:
        raise UsageError(f"{option}: {getattr(error, 'strerror', None) or error}") from None


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to serve, to whom, and where. Times in seconds; no address given means none."""

    host: str = "127.0.0.1"
    port: int = PORT
    vertical: bool = False
    cores: int | None = None
    watermark: float = 60.0
    proxy: str | None = None
    cluster: list[str] | None = None
    directory: str | None = None
    directory_name: str = "sfu"
    announce: str | None = None
    tokens: list[str] = field(default_factory=list)
    upstream_token: str | None = None
    upstream_ca: str | None = None
    allow_anonymous: bool = False
    allow_files: bool = False
    cert: str | None = None
    key: str | None = None
    client_ca: str | None = None
    announced_addresses: list[str] = field(default_factory=list)
    grace: float = 30.0
    keep_workers: bool = False
    hooks: str | None = None
    status: str | None = None
    drain: float = 30.0
    log_level: str = "warning"


@dataclass(frozen=True)
class _Option:
    """One of them: `read` makes a value of text; `several`: there may be many values, argparse's way of giving them."""

    flag: str
    help: str
    read: Callable[[str], Any] = values.text
    metavar: str | None = None
    dest: str = ""
    several: Literal["", "append", "*"] = ""

    @property
    def variable(self) -> str:
        return PREFIX + self._words.upper()

    @property
    def name(self) -> str:
        """Of the field in `Options`."""
        return self.dest or self._words

    @property
    def _words(self) -> str:
        return self.flag[2:].replace("-", "_")

    def add(self, parser: argparse.ArgumentParser) -> None:
        """To the command line; None if it is not given there."""
        default = getattr(_DEFAULTS, self.name, None)
        shown = "" if default in (None, [], False) else f"; default {default}"
        how: dict[str, Any] = {"dest": self.name, "help": f"{self.help} [{self.variable}{shown}]"}
        if self.read is values.truth:
            parser.add_argument(self.flag, action=argparse.BooleanOptionalAction, **how)
            return
        how |= {"type": values.argument(self.read), "metavar": self.metavar or self._words.upper()}
        how |= {"action": "append"} if self.several == "append" else {"nargs": self.several or None}
        parser.add_argument(self.flag, **how)

    def standing_in(self, text: str) -> Any:
        """What the variable says; UsageError if that is wrong."""
        with blaming(self.variable):
            if not self.several:
                return self.read(text)
            if self.several == "append" or text:
                return values.several(self.read)(text)
            return []


_DEFAULTS: Final = Options()
_ALL_CORES: Final = "all cores as one worker: of this host, or of all that --proxy or --cluster reach"
_FILES: Final = "clients may name files of this host: certificates for DTLS and their keys"
_FOLLOWED: Final = "the Redis where servers find each other; this one announces itself, unless --cluster"
_HOOKS: Final = "module or file with connection_payload(), methods(tell), authenticate(credentials)"
_MEMBERS: Final = "workers of several servers; without URL those of --directory"
_WATERMARK: Final = "percent of a core above which --vertical gives it nothing new"
_OPTIONS: Final = (
    _Option("--host", "address to listen on"),
    _Option("--port", "port to listen on", values.port),
    _Option("--vertical", _ALL_CORES, values.truth),
    _Option("--cores", "how many cores --vertical uses; otherwise all", values.count, "N"),
    _Option("--watermark", _WATERMARK, values.percent, "PERCENT"),
    _Option("--proxy", "pass everything on to another server", values.server, "URL"),
    _Option("--cluster", _MEMBERS, values.server, "URL", several="*"),
    _Option("--directory", _FOLLOWED, values.redis, "URL"),
    _Option("--directory-name", "tells clusters in one Redis apart", metavar="NAME"),
    _Option("--announce", "how others reach this server, for --directory", values.server, "URL"),
    _Option(
        "--token",
        "a bearer token that clients may show (or --token-file)",
        values.token,
        dest="tokens",
        several="append",
    ),
    _Option("--token-file", "tokens, one a line", metavar="FILE"),
    _Option("--upstream-token", "what to show to the servers behind --proxy or --cluster", values.token, "TOKEN"),
    _Option("--upstream-ca", "who has signed their certificates (PEM)", metavar="FILE"),
    _Option("--allow-anonymous", "take clients without token, also from other hosts", values.truth),
    _Option("--allow-files", _FILES, values.truth),
    _Option("--cert", "TLS certificate chain (PEM)", metavar="FILE"),
    _Option("--key", "its private key (PEM)", metavar="FILE"),
    _Option("--client-ca", "clients need certificates that this has signed (PEM)", metavar="FILE"),
    _Option(
        "--announced-address",
        "where peers reach this host, best first",
        metavar="ADDRESS",
        dest="announced_addresses",
        several="append",
    ),
    _Option("--grace", "seconds for which a client that was cut may come back", values.seconds, "SECONDS"),
    _Option("--keep-workers", "workers stay when the client that wanted them goes", values.truth),
    _Option("--hooks", _HOOKS, metavar="MODULE"),
    _Option("--status", "where to serve /health and /metrics", values.status, "HOST:PORT"),
    _Option("--drain", "seconds for which SIGTERM waits for workers to be closed", values.seconds, "SECONDS"),
    _Option("--log-level", ", ".join(values.LEVELS), values.level, "LEVEL"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """All options of `sfu serve`."""
    for option in _OPTIONS:
        option.add(parser)


def read(arguments: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Options:
    """The options; UsageError says what is wrong with them, or does not go together."""
    given: dict[str, Any] = {}
    for option in _OPTIONS:
        if (value := getattr(arguments, option.name)) is not None:
            given[option.name] = value
        elif option.variable in environment:
            given[option.name] = option.standing_in(environment[option.variable])
    if (file := given.pop("token_file", None)) is not None:
        given["tokens"] = [*given.get("tokens", []), *_tokens_of(file)]
    options = Options(**given)
    for wrong, complaint in _complaints(options):
        if wrong:
            raise UsageError(complaint)
    return options


def _tokens_of(file: str) -> list[str]:
    with blaming(f"--token-file {file}"):
        return [values.token(each) for each in values.text(Path(file).read_text()).split()]


def _complaints(options: Options) -> list[tuple[bool, str]]:
    """What does not go together, and whether it is so."""
    below = options.proxy is not None or options.cluster is not None
    return [
        (options.proxy is not None and options.cluster is not None, "--proxy and --cluster: one or the other"),
        (options.cluster == [] and options.directory is None, "--cluster: needs URLs, or --directory"),
        (
            options.directory is not None and options.cluster is None and options.announce is None,
            "--directory: needs --announce, the URL under which others reach this server",
        ),
        (options.announce is not None and options.directory is None, "--announce: only with --directory"),
        (options.announce is not None and options.cluster is not None, "--announce: a cluster would find itself"),
        ((options.cert is None) != (options.key is None), "--cert and --key: one without the other"),
        (options.client_ca is not None and options.cert is None, "--client-ca: needs --cert"),
        (options.cores is not None and not options.vertical, "--cores: only with --vertical"),
        (options.upstream_token is not None and not below, "--upstream-token: only with --proxy or --cluster"),
        (options.upstream_ca is not None and not below, "--upstream-ca: only with --proxy or --cluster"),
        (bool(options.tokens) and options.allow_anonymous, "--allow-anonymous and --token: one or the other"),
    ]
