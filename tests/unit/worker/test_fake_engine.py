"""The fake engine has the real one's door: same methods, same arguments."""

import ast
import inspect
from pathlib import Path

import sfu_core

from .fake_engine import FakeEngine


def door() -> dict[str, list[str]]:
    tree = ast.parse((Path(sfu_core.__file__).parent / "_engine.pyi").read_text())
    (engine,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Engine"]
    methods = [node for node in engine.body if isinstance(node, ast.FunctionDef)]
    return {m.name: [a.arg for a in m.args.args + m.args.kwonlyargs if a.arg != "self"] for m in methods}


FOR_TESTS = {"__init__", "step", "slots_used"}
ANY_OPTIONS = {"add_producer", "add_send_stream"}


def test_same_methods() -> None:
    assert {name for name in door() if not hasattr(FakeEngine, name)} <= FOR_TESTS


def test_same_arguments() -> None:
    for name, arguments in door().items():
        if name not in FOR_TESTS | ANY_OPTIONS:
            parameters = list(inspect.signature(getattr(FakeEngine, name)).parameters)[1:]
            assert parameters == arguments, name
