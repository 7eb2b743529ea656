"""`sfu serve` on the command line."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import sys

from sfu.serve import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of the command."""
    options.add_arguments(parser)


def main(arguments: argparse.Namespace) -> int:
    """Serves; 0 after an orderly end, 2 if it could not begin."""
    try:
        chosen = options.read(arguments)
        logging.basicConfig(level=chosen.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        from sfu.serve.run import Orders, serve
    except (ImportError, options.UsageError) as error:
        return _refused(error)

    async def run() -> None:
        orders = Orders()
        orders.listen()
        await serve(chosen, orders, _say)

    try:
        asyncio.run(run())
    except options.UsageError as error:
        return _refused(error)
    return 0


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # nobody may be listening any more, which must not end anything
        os.write(sys.stdout.fileno(), f"{line}\n".encode())


def _refused(error: Exception) -> int:
    missing = isinstance(error, ModuleNotFoundError) and error.name == "websockets"
    hint = ": pip install 'sfu-core[horizontal]'" if missing else ""
    print(f"sfu serve: {error}{hint}", file=sys.stderr)
    return 2
