"""Reads mediasoup's schema files into plain facts: tables, enumerations and unions by full name.

`python tests/unit/channel/fbs.py NODE_MODULES` renews tests/data/flatbuffers from the npm library.
"""

import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "data" / "flatbuffers"
PEER = HERE / "flatbuffers_peer.cjs"


def read_schema(directory: Path) -> dict[str, Any]:
    """{"tables": {name: [[field, type, "required" | default | None]]}, "enums": {name: {member: number}},
    "unions": {name: [table]}}, all names with their namespace."""
    schema: dict[str, Any] = {"tables": {}, "enums": {}, "unions": {}}
    for file in sorted(directory.glob("*.fbs")):
        text = re.sub(r"//.*", "", file.read_text())
        match = re.search(r"namespace ([\w.]+);", text)
        assert match is not None
        namespace = match[1]
        for kind, name, body in re.findall(r"\b(table|enum|union) (\w+)[^{]*\{([^}]*)\}", text):
            full = f"{namespace}.{name}"
            if kind == "table":
                schema["tables"][full] = [_field(line, namespace) for line in body.split(";") if line.strip()]
            elif kind == "enum":
                schema["enums"][full] = _enum(body)
            else:
                schema["unions"][full] = [
                    _qualified(item.split(":")[-1].strip(), namespace) for item in body.split(",") if item.strip()
                ]
    return schema


def _qualified(name: str, namespace: str) -> str:
    scalar = re.fullmatch(r"u?int\d+|u?byte|float\d*|double|bool|string", name)
    return name if scalar or name.startswith("FBS.") else f"{namespace}.{name}"


def _field(line: str, namespace: str) -> list[str | None]:
    match = re.fullmatch(r"\s*(\w+):\s*(\[?)([\w.]+)\]?\s*(?:=\s*(\w+)|\((required)\))?\s*", line)
    assert match is not None, line
    name, bracket, of_type, default, required = match.groups()
    of_type = _qualified(of_type, namespace)
    return [name, f"[{of_type}]" if bracket else of_type, required or default]


def _enum(body: str) -> dict[str, int]:
    members: dict[str, int] = {}
    for item in body.split(","):
        if item.strip():
            name, _, number = (part.strip() for part in item.partition("="))
            members[name] = int(number) if number else max(members.values(), default=-1) + 1
    return members


def renew(modules: Path) -> None:
    DATA.mkdir(exist_ok=True)
    schema = read_schema(modules / "mediasoup" / "worker" / "fbs")
    sections = [
        f"{json.dumps(section)}: {{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in facts.items())
        for section, facts in schema.items()
    ]
    (DATA / "schema.json").write_text("{" + "\n},\n".join(sections) + "\n}}\n")
    output = subprocess.run(["node", str(PEER), str(modules), "samples"], capture_output=True, text=True, check=True)
    for line in output.stdout.splitlines():
        sample = json.loads(line)
        (DATA / f"{sample['name']}.bin").write_bytes(base64.b64decode(sample["base64"]))
        (DATA / f"{sample['name']}.json").write_text(json.dumps(sample["content"], indent=1) + "\n")


if __name__ == "__main__":
    renew(Path(sys.argv[1]))
