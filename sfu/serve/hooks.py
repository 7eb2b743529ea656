"""What an operator adds to a server: functions of a module, all of them optional.

    def connection_payload() -> dict            # merged into the greeting of each client
    def methods(tell) -> dict[str, Callable]    # what clients may call; tell(method, *arguments) notifies this one
    def authenticate(credentials) -> bool | str # in addition to tokens; may be async
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

NAMES: Final = {
    "connection_payload": "extra_connection_payload",
    "methods": "extra_methods_factory",
    "authenticate": "authenticate",
}


def load(name: str | None) -> dict[str, Any]:
    """The hooks of a module or a file (`….py`), as the server's constructor calls them; ImportError or ValueError."""
    if name is None:
        return {}
    try:
        module = _file(name) if name.endswith(".py") else _module(name)
    except Exception as error:  # it is somebody else's code
        raise ImportError(f"{name}: {type(error).__name__}: {error}") from error
    found = {ours: hook for theirs, ours in NAMES.items() if callable(hook := getattr(module, theirs, None))}
    if not found:
        raise ValueError(f"{name} has none of {', '.join(NAMES)}")
    return found


def _module(name: str) -> ModuleType:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    return importlib.import_module(name)


def _file(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(name).stem, name)
    if spec is None or spec.loader is None:
        raise ValueError("no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
