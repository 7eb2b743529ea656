"""Writes the mains of examples/porting, as differences from the one-core main, into their README.

python scripts/porting_diffs.py
"""

import re
from difflib import unified_diff
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "examples" / "porting"
README = FOLDER / "README.md"
FIRST = "one_core"
SLOT = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->\n)", re.S)


def body(name: str) -> list[str]:
    """Lines of a main below its docstring."""
    return (FOLDER / f"{name}.py").read_text().splitlines()[2:]


def shown(name: str) -> str:
    """What the README shows of a main."""
    if name == FIRST:
        return "\n".join(["```python", *body(name), "```", ""])
    lines = list(unified_diff(body(FIRST), body(name), lineterm="", n=1))[2:]
    text = "\n".join("" if line.startswith("@@") else line.rstrip() for line in lines)
    return "\n".join(["```diff", re.sub(r"\n{3,}", "\n\n", text).strip("\n"), "```", ""])


def updated(text: str) -> str:
    """The README as it should be."""
    return SLOT.sub(lambda match: match[1] + shown(match[2]) + match[3], text)


if __name__ == "__main__":
    README.write_text(updated(README.read_text()))
