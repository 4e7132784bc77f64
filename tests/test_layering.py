"""The rooms of the house, kept: each file imports only from the rooms before it, in its `.py` and in its `.pxd`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.l7.registry import MODULES, PROTOCOLS

ROOT = Path(__file__).resolve().parent.parent


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def said_room(text: str) -> str:
    """The room that a module's docstring says it is in; "" where it does not."""
    said = re.search(r"^Room: (\w+)", ast.get_docstring(ast.parse(text)) or "", re.MULTILINE)
    return said[1] if said else ""


# Which room a module is in: its docstring says so.
ROOMS = {module_name(path, ROOT): said_room(path.read_text()) for path in ROOT.glob("receiver/**/*.py")}

# The rooms that a folder has, lest a module takes leave to import by a word in its docstring; no other folder has any of these.
FOLDERS = {
    "wire": {"wire"},
    "pcap": {"packets", "capture"},
    "l7": {"l7"},
    "telemetry": {"telemetry", "snapshot"},
    "export": {"export"},
    "otlp_out": {"otlp_out"},
    "remote_write": {"remote_write"},
    "settings": {"settings"},
}
# Modules beside the folders whose room is one of theirs.
BESIDE = {"receiver.privileges": "capture"}

# What a room may import besides itself. Every room may import `root` (the version) and `config` (Structs only).
MAY_IMPORT = {
    "root": set[str](),
    "config": set[str](),
    "uncompiled": set[str](),
    "wire": set[str](),
    "packets": {"wire"},
    "l7": {"wire"},  # does not know that packets exist
    "snapshot": {"wire"},
    "telemetry": {"wire", "snapshot"},  # does not know that protocols exist
    "engine": {"wire", "packets", "l7", "telemetry", "snapshot"},
    "capture": {"wire", "packets", "l7", "telemetry", "snapshot", "engine"},
    "export": {"wire", "snapshot"},
    "otlp_out": {"wire", "snapshot", "export"},
    "remote_write": {"wire", "snapshot", "export"},
    "settings": set[str](),
}
MAY_IMPORT["service"] = set(MAY_IMPORT)
MAY_IMPORT["cli"] = set(MAY_IMPORT)

# A library that only these modules may import.
ONLY_IN = {"pcapy": ("receiver.pcap.filter", "receiver.pcap.live", "receiver.pcap.file")}


def room(module: str) -> str | None:
    """The room of a module of ours; None for anybody else's."""
    if module != "receiver" and not module.startswith("receiver."):
        return None
    while module not in ROOMS:
        module = module.rpartition(".")[0]
    return ROOMS[module]


def imports(path: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Line and full module name of everything that a `.py` or `.pxd` imports, at any depth, by any spelling."""
    module = module_name(path, root)
    package = module if path.stem == "__init__" else module.rpartition(".")[0]

    def names(base: str, level: int, imported: list[str]) -> Iterator[str]:
        if level:  # from . import x, from ..wire import x
            above = package.split(".")[: len(package.split(".")) - (level - 1)]
            base = ".".join([*above, *([base] if base else [])])
        for prefix in ("cython.cimports.",):
            base = base.removeprefix(prefix)
        for name in imported:
            inner = f"{base}.{name}"
            place = root.joinpath(*inner.split("."))
            yield inner if place.is_dir() or place.with_suffix(".py").exists() else base

    text = path.read_text()
    if path.suffix == ".pxd":
        for line, statement in statements(text):
            if match := re.match(r"from\s+(\.*)([\w.]*)\s+c?import\s+\(?\s*(.+?)\s*\)?$", statement):
                imported = [name.split()[0] for name in match[3].split(",") if name.strip()]
                yield from ((line, name) for name in names(match[2], len(match[1]), imported))
            elif match := re.match(r"c?import\s+(.+)$", statement):
                yield from ((line, name.split()[0]) for name in match[1].split(","))
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found = names(node.module or "", node.level, [alias.name for alias in node.names])
            yield from ((node.lineno, name) for name in found)
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", getattr(node.func, "id", "")) in {"import_module", "__import__"}
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield node.lineno, str(node.args[0].value)


def statements(pxd: str) -> Iterator[tuple[int, str]]:
    """The statements of a `.pxd` with their first line: continuations joined, comments dropped."""
    held, first = "", 0
    for number, line in enumerate(pxd.splitlines(), 1):
        held, first = (held, first) if held else ("", number)
        held += line.partition("#")[0].strip() + " "
        if held.endswith("\\ "):
            held = held[:-2] + " "
        elif held.count("(") <= held.count(")"):
            yield first, held.strip()
            held = ""


def violations(root: Path) -> list[str]:
    """`file:line: text` of each import that the rules forbid."""
    found = []
    for path in sorted([*root.glob("receiver/**/*.py"), *root.glob("receiver/**/*.pxd")]):
        module = module_name(path, root)
        own = room(module)
        assert own is not None
        for line, target in imports(path, root):
            theirs = room(target)
            only = ONLY_IN.get(target.partition(".")[0], (module,))
            if theirs is not None and theirs not in {own, "root", "config"} | MAY_IMPORT[own]:
                reason = f"{own} may not import {theirs}"
            elif module not in only:
                reason = f"only {', '.join(only)} import {target}"
            else:
                continue
            text = path.read_text().splitlines()[line - 1].strip()
            found.append(f"{path.relative_to(root)}:{line}: {reason}: {text}")
    return found


def test_every_file_imports_only_from_the_rooms_before_it() -> None:
    assert violations(ROOT) == []


def test_every_file_says_which_room_it_is_in() -> None:
    """A new module is placed by a decision, and who opens it reads where it is."""
    assert {module: said for module, said in ROOMS.items() if said not in MAY_IMPORT} == {}
    in_folders = set[str]().union(*FOLDERS.values())
    for module, said in ROOMS.items():
        folder = module.split(".")[1] if module.count(".") else ""
        if folder in FOLDERS:
            assert said in FOLDERS[folder], module
        elif said in in_folders:
            assert BESIDE.get(module) == said, module


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('"""Reads.\n\nRoom: wire. More.\n"""\n', "wire"),
        ('"""Reads.\n\nRoom: wire, the first one.\n"""\n', "wire"),
        ('"""Reads.\n\nOther words. Room: wire.\n"""\n', ""),
        ('"""Room wire: reads."""\n', ""),
        ("# Room: wire.\n", ""),
        ("", ""),
    ],
)
def test_a_room_is_said_at_the_beginning_of_a_line(text: str, said: str) -> None:
    assert said_room(text) == said


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        ("receiver/wire/cursor.py", "import os\nfrom receiver.l7.decoder import Decoder\n", 2),
        ("receiver/wire/cursor.py", "from receiver import engine\n", 1),
        ("receiver/wire/cursor.py", "from .. import engine\n", 1),
        ("receiver/wire/cursor.py", "from ..l7 import decoder\n", 1),
        ("receiver/wire/cursor.py", "import receiver.l7.decoder as d\n", 1),
        ("receiver/wire/cursor.py", "def f():\n    from receiver.engine import Engine\n", 2),
        ("receiver/wire/cursor.py", "import importlib\nimportlib.import_module('receiver.engine')\n", 2),
        ("receiver/wire/cursor.py", "from cython.cimports.receiver.l7.decoder import Decoder\n", 1),
        ("receiver/wire/cursor.pxd", "cimport cython\nfrom receiver.l7.decoder cimport Decoder\n", 2),
        ("receiver/wire/cursor.pxd", "from receiver.l7 cimport decoder\n", 1),
        ("receiver/wire/cursor.pxd", "from receiver.l7.decoder cimport (\n    Decoder,\n    Other,\n)\n", 1),
        ("receiver/wire/cursor.pxd", "from receiver.l7.decoder cimport Decoder, \\\n    Other\n", 1),
        ("receiver/wire/cursor.pxd", "cimport receiver.l7.decoder\n", 1),
        ("receiver/wire/cursor.pxd", "from ..l7.decoder cimport Decoder\n", 1),
        ("receiver/l7/http1.py", "from receiver.pcap.flow import Flow\n", 1),
        ("receiver/l7/http1.py", "from receiver.telemetry.semconv import NAMES\n", 1),
        ("receiver/telemetry/spans.py", "from receiver.l7.decoder import Decoder\n", 1),
        ("receiver/pcap/flow.py", "from receiver.pcap.live import LiveSource\n", 1),
        ("receiver/pcap/flow.py", "import pcapy\n", 1),
        ("receiver/engine.py", "from receiver.pcap import live\n", 1),
        ("receiver/pcap/capture.py", "import pcapy\n", 1),
        ("receiver/engine.py", "from pcapy import open_live\n", 1),
        ("receiver/export/queue.py", "from receiver.telemetry.metrics import Metrics\n", 1),
        ("receiver/otlp_out/client.py", "from receiver.remote_write.client import Client\n", 1),
        ("receiver/remote_write/client.py", "from receiver.service import Service\n", 1),
        ("receiver/service.py", "from receiver.cli import main\n", 1),
        ("receiver/config.py", "from receiver.wire.cursor import Cursor\n", 1),
        ("receiver/__init__.py", "from receiver.cli import main\n", 1),
    ],
)
def test_forbidden_import_is_named_with_file_and_line(tmp_path: Path, file: str, text: str, line: int) -> None:
    _house(tmp_path)
    (tmp_path / file).write_text(text)
    found = violations(tmp_path)
    assert found
    assert all(message.startswith(f"{file}:{line}: ") for message in found)
    assert found[0].endswith(text.splitlines()[line - 1].strip())


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("receiver/wire/cursor.py", "import cython\nfrom receiver.wire.writer import Writer\n"),
        ("receiver/wire/cursor.pxd", "from receiver.wire.writer cimport Writer\nfrom libc.string cimport memchr\n"),
        ("receiver/wire/cursor.py", "from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize\n"),
        ("receiver/l7/http1.py", "from receiver import __version__\nfrom receiver.config import Http\n"),
        ("receiver/engine.py", "from receiver.pcap.flow import Flow\nfrom receiver.l7.decoder import Decoder\n"),
        ("receiver/otlp_out/client.py", "from receiver.export.queue import Queue\n"),
        ("receiver/remote_write/client.py", "from receiver.telemetry.snapshot import Metric\n"),
        ("receiver/pcap/live.py", "import pcapy\nfrom receiver.engine import Engine\n"),
        ("receiver/cli.py", "from receiver.service import Service\nfrom receiver.pcap import live\n"),
        ("receiver/l7/http1.pxd", "# from receiver.engine cimport E\nfrom receiver.wire.cursor cimport Cursor # (\n"),
    ],
)
def test_import_of_an_earlier_room_passes(tmp_path: Path, file: str, text: str) -> None:
    _house(tmp_path)
    (tmp_path / file).write_text(text)
    assert violations(tmp_path) == []


HOUSE = """
__init__ config engine service cli wire/cursor wire/writer l7/decoder l7/http1 pcap/flow pcap/capture pcap/live telemetry/spans
telemetry/metrics telemetry/semconv telemetry/snapshot export/queue otlp_out/client remote_write/client
"""


def _house(root: Path) -> None:
    for file in HOUSE.split():
        path = root / "receiver" / f"{file}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


# Who reads or writes the environment besides `settings`, and why.
ENVIRONMENT = {
    "watch.py",  # TERM and NO_COLOR tell what the terminal can do; nothing is configured by them
    "demo.py",  # its own HTTP and gRPC clients must not ask the proxy of whoever runs it
    "otlp_out/__init__.py",  # GRPC_VERBOSITY, which gRPC reads when it is loaded
}


def reads_environment(text: str) -> bool:
    return any(
        {getattr(node, "attr", ""), getattr(node, "id", ""), getattr(node, "name", "")} & {"environ", "environb", "getenv"}
        for node in ast.walk(ast.parse(text))
    )


def test_only_settings_read_the_environment() -> None:
    """Or `print-config` could not show what is in effect, and a variable could go over the file."""
    root = ROOT / "receiver"
    files = {str(path.relative_to(root)) for path in root.rglob("*.py") if reads_environment(path.read_text())}
    assert {file for file in files if not file.startswith("settings/")} == ENVIRONMENT


@pytest.mark.parametrize(
    "text",
    [
        "import os\nos.environ['A']", "from os import environ", "from os import getenv as g", "import os as o\no.getenv('A')",
        "import os\nos.environb", "from os import *\nenviron.get('A')",
    ],
)  # fmt: skip
def test_whoever_reads_the_environment_is_found(text: str) -> None:
    assert reads_environment(text)


# What all protocols share. Exporters speak HTTP and gRPC themselves; of what they carry they know nothing.
SHARED = (
    "engine.py", "l7/conversation.py", "l7/decoder.py", "l7/detect.py", "l7/detection.py", "l7/matcher.py",
    "l7/reading.py", "pcap/*.py",
    "telemetry/histogram.py", "telemetry/metrics.py", "telemetry/sampling.py", "telemetry/snapshot.py",
)
EXPORTERS = ("export/*.py", "otlp_out/*.py", "remote_write/*.py")
TRANSPORTS = {"http", "http2", "grpc", "tls", "dns"}  # `dns:` is a form of gRPC endpoints


def words(text: str) -> set[str]:
    """The words of a module's names and texts, not those of its docstrings and comments."""
    found = set()
    tree = ast.parse(text)
    sentences = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        for field in ("id", "attr", "name", "arg", "value"):
            value = getattr(node, field, None)
            if isinstance(value, bytes):
                value = value.decode("latin-1")
            if isinstance(value, str) and id(node) not in sentences:
                found |= {word.lower() for word in re.findall(r"[A-Za-z0-9]+", re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", value))}
    return found


def test_what_protocols_share_names_none_of_them() -> None:
    """A decoder that needs a line of its own there would be the first."""
    protocols = {protocol.name.partition("_")[0] for protocol in PROTOCOLS}
    named = []
    for patterns, allowed in ((SHARED, {"tls"}), (EXPORTERS, TRANSPORTS)):  # labels of layer 4 may be what TLS tells
        for path in sorted(each for pattern in patterns for each in (ROOT / "receiver").glob(pattern)):
            named += [(path.name, word) for word in words(path.read_text()) & protocols - allowed]
    assert named == []
    registered = [ROOT / "receiver/l7" / f"{module.__name__.rpartition('.')[2]}.py" for module in MODULES]
    assert protocols <= set[str]().union(*(words(path.read_text()) for path in registered))
