"""The options of `sfu serve`: flags, and for each an environment variable that stands in where the flag is not given.

Pure but for reading the environment and the file of tokens. Lists are separated by spaces or commas in a variable.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

PREFIX: Final = "SFU_"
PORT: Final = 4443
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


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


class _Parser:
    """Adds options with their variables; `used` becomes the defaults that the environment gives."""

    def __init__(self, parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
        self._parser = parser
        self._environment = environment
        self._defaults = Options()

    def add(self, flag: str, help: str, type: Callable[[str], Any] = str, **more: Any) -> None:
        """An option with one value."""
        self._add(flag, help, type, type=type, **more)

    def add_list(self, flag: str, help: str, dest: str, **more: Any) -> None:
        """An option with several values."""
        self._add(flag, help, _words, dest=dest, **more)

    def add_switch(self, flag: str, help: str) -> None:
        """An option without a value."""
        self._add(flag, help, _truth, action=argparse.BooleanOptionalAction)

    def _add(self, flag: str, help: str, read: Callable[[str], Any], **more: Any) -> None:
        variable = PREFIX + flag[2:].upper().replace("-", "_")
        name = more.get("dest", flag[2:].replace("-", "_"))
        default = getattr(self._defaults, name)
        if variable in self._environment:
            try:
                default = read(self._environment[variable])
            except ValueError as error:
                self._parser.error(f"{variable}: {error}")
        shown = "" if default in (None, [], False) or "token" in flag else f"; default {default}"
        self._parser.add_argument(flag, default=default, help=f"{help} [{variable}{shown}]", **more)


def add_arguments(parser: argparse.ArgumentParser, environment: Mapping[str, str] = os.environ) -> None:
    """All options of `sfu serve`."""
    known = _Parser(parser, environment)
    known.add("--host", "address to listen on")
    known.add("--port", "port to listen on", int)
    known.add_switch("--vertical", "all cores as one worker: of this host, or of all that --proxy or --cluster reach")
    known.add("--cores", "how many cores --vertical uses; otherwise all", int, metavar="N")
    known.add("--watermark", "percent of a core above which --vertical gives it nothing new", float, metavar="PERCENT")
    known.add("--proxy", "pass everything on to another server", metavar="URL")
    known.add_list(
        "--cluster", "workers of several servers; without URL those of --directory", "cluster", nargs="*", metavar="URL"
    )
    known.add(
        "--directory",
        "the Redis where servers find each other; this one announces itself, unless --cluster",
        metavar="URL",
    )
    known.add("--directory-name", "tells clusters in one Redis apart", metavar="NAME")
    known.add("--announce", "how others reach this server, for --directory", metavar="URL")
    known.add_list(
        "--token", "a bearer token that clients may show (or --token-file)", "tokens", action="append", metavar="TOKEN"
    )
    parser.add_argument("--token-file", help="tokens, one a line [SFU_TOKEN_FILE]", metavar="FILE")
    known.add("--upstream-token", "what to show to the servers behind --proxy or --cluster", metavar="TOKEN")
    known.add("--upstream-ca", "who has signed their certificates (PEM)", metavar="FILE")
    known.add_switch("--allow-anonymous", "take clients without token, also from other hosts")
    known.add("--cert", "TLS certificate chain (PEM)", metavar="FILE")
    known.add("--key", "its private key (PEM)", metavar="FILE")
    known.add("--client-ca", "clients need certificates that this has signed (PEM)", metavar="FILE")
    known.add_list(
        "--announced-address",
        "where peers reach this host, best first",
        "announced_addresses",
        action="append",
        metavar="ADDRESS",
    )
    known.add("--grace", "seconds for which a client that was cut may come back", float, metavar="SECONDS")
    known.add_switch("--keep-workers", "workers stay when the client that wanted them goes")
    known.add(
        "--hooks",
        "module or file with connection_payload(), methods(tell), authenticate(credentials)",
        metavar="MODULE",
    )
    known.add("--status", "where to serve /health and /metrics", metavar="HOST:PORT")
    known.add("--drain", "seconds for which SIGTERM waits for workers to be closed", float, metavar="SECONDS")
    known.add("--log-level", "debug, info, warning or error", choices=("debug", "info", "warning", "error"))
    parser.set_defaults(token_file=environment.get(f"{PREFIX}TOKEN_FILE"))


def read(arguments: argparse.Namespace) -> Options:
    """The options; ValueError says what does not go together."""
    given = {name: getattr(arguments, name) for name in Options.__dataclass_fields__}
    if arguments.token_file:
        given["tokens"] = [*given["tokens"], *Path(arguments.token_file).read_text().split()]
    options = Options(**given)
    _check(options)
    return options


def _check(options: Options) -> None:
    if options.proxy is not None and options.cluster is not None:
        raise ValueError("--proxy and --cluster: one or the other")
    if options.cluster == [] and options.directory is None:
        raise ValueError("--cluster: needs URLs, or --directory")
    if options.proxy is not None and options.directory is not None and options.announce is None:
        raise ValueError("--directory: a proxy that is to be found needs --announce")
    if options.cluster is None and options.directory is not None and options.announce is None:
        raise ValueError("--directory: needs --announce, the URL under which others reach this server")
    if (options.cert is None) != (options.key is None):
        raise ValueError("--cert and --key: one without the other")
    if options.client_ca is not None and options.cert is None:
        raise ValueError("--client-ca: needs --cert")
    if options.cores is not None and not options.vertical:
        raise ValueError("--cores: only with --vertical")
    if options.status is not None:
        address(options.status)


def address(text: str) -> tuple[str, int]:
    """HOST:PORT, [HOST]:PORT or :PORT as a pair; ValueError if it is none."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 0xFFFF:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return host.strip("[]") or "0.0.0.0", int(port)


def _words(text: str) -> list[str]:
    return re.split(r"[\s,]+", text.strip()) if text.strip() else []


def _truth(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(f"{text!r} is neither yes nor no")
