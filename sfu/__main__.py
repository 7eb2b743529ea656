"""The command line: `sfu serve`, `sfu bench` and `sfu version`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from sfu.bench import cli as bench
from sfu.serve import cli as serve
from sfu_core.version import VERSION


def parser() -> argparse.ArgumentParser:
    """All commands; each sets `run` to what it does."""
    root = argparse.ArgumentParser(prog="sfu", description="A media server for real-time video.")
    commands = root.add_subparsers(required=True, metavar="command")
    command = commands.add_parser("serve", help="offer this host's workers, or those of other servers, to clients")
    serve.add_arguments(command)
    command.set_defaults(run=serve.main)
    command = commands.add_parser("bench", help="packets per second per core that this machine forwards")
    bench.add_arguments(command)
    command.set_defaults(run=bench.main)
    command = commands.add_parser("version", help="print the version")
    command.set_defaults(run=print_version)
    return root


def print_version(_: argparse.Namespace) -> int:
    print(VERSION)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    try:
        result: int = arguments.run(arguments)
    except KeyboardInterrupt:
        return 130
    return result


if __name__ == "__main__":
    sys.exit(main())
