"""The public API is what `api.txt` says: a change of it is a decision, seen in review.

python -m tests.rules.test_api      writes the file anew
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator
from pathlib import Path

from sfu_core import errors, mediasoup

SNAPSHOT = Path(__file__).with_name("api.txt")


def described() -> str:
    """Every public name with its signature, sorted."""
    lines = [f"mediasoup.{line}" for name in sorted(mediasoup.__all__) for line in describe(name)]
    kinds = (kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, Exception))
    lines += sorted(f"errors.{kind.__name__}({', '.join(base.__name__ for base in kind.__bases__)})" for kind in kinds)
    return "\n".join(lines) + "\n"


def describe(name: str) -> Iterator[str]:
    what = getattr(mediasoup, name)
    if inspect.isclass(what):
        yield f"{name}({', '.join(base.__name__ for base in what.__bases__ if base is not object)})"
        for member, value in sorted(own_members(what).items()):
            yield f"{name}.{member}{signature(value)}"
    elif callable(what):
        yield name + signature(what)
    else:
        yield f"{name}: {type(what).__name__}"


def own_members(kind: type) -> dict[str, object]:
    """Public members that the class or a base of this project defines."""
    found: dict[str, object] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("sfu_core"):
            found |= {member: value for member, value in vars(base).items() if not member.startswith("_")}
    return found


def signature(what: object) -> str:
    """Parameters without annotations, which Python versions print differently; mypy checks those."""
    what = getattr(what, "__func__", what)
    if not inspect.isroutine(what):
        return ""
    parameters = [p.replace(annotation=p.empty) for p in inspect.signature(what).parameters.values()]
    return str(inspect.Signature(parameters)) + (" async" if inspect.iscoroutinefunction(what) else "")


def test_public_api_is_the_recorded_one() -> None:
    recorded, now = SNAPSHOT.read_text(), described()
    changes = list(difflib.unified_diff(recorded.splitlines(), now.splitlines(), "api.txt", "now", lineterm="", n=0))
    assert not changes, "\n".join(["the public API changed; if on purpose: python -m tests.rules.test_api", *changes])


def test_every_public_thing_is_documented() -> None:
    for name in mediasoup.__all__:
        what = getattr(mediasoup, name)
        if inspect.isclass(what):
            assert what.__doc__, name
            for member, value in vars(what).items():
                if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                    assert inspect.getdoc(getattr(what, member)), f"{name}.{member}"


if __name__ == "__main__":
    SNAPSHOT.write_text(described())
