"""`sfu serve` on the command line."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys

from sfu.serve import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of the command."""
    options.add_arguments(parser)


def main(arguments: argparse.Namespace) -> int:
    """Serves; 0 after an orderly end, 2 if it could not begin."""
    try:
        logging.basicConfig(level=arguments.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        chosen = options.read(arguments)
        from sfu.serve.run import Orders, serve
    except (ImportError, OSError, ValueError) as error:
        return _refused(error)

    async def run() -> None:
        orders = Orders()
        orders.listen()
        await serve(chosen, orders, lambda line: print(line, flush=True))

    try:
        asyncio.run(run())
    except (ImportError, OSError, TypeError, ValueError) as error:
        return _refused(error)
    return 0


def _refused(error: Exception) -> int:
    missing = isinstance(error, ModuleNotFoundError) and error.name == "websockets"
    hint = ": pip install 'sfu-core[horizontal]'" if missing else ""
    print(f"sfu serve: {error}{hint}", file=sys.stderr)
    return 2
