"""What the C compiler is told by `setup.py`, whatever calls it: asked of a compiler that only writes down its arguments."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("Cython", reason="Cython is not installed: nothing is compiled here")

ROOT = Path(__file__).resolve().parent.parent
COMPILER = """#!/bin/sh
echo "$*" >>"$0.log"
while [ $# -gt 1 ]; do [ "$1" = -o ] && touch "$2"; shift; done
"""


def compile_arguments(folder: Path, cflags: str | None) -> list[str]:
    """Those of the one compilation of a package with one module; the last of a kind is the one that counts."""
    (folder / "receiver").mkdir()
    (folder / "receiver" / "__init__.py").touch()
    (folder / "receiver" / "one.py").write_text("class One:\n    pass\n")
    (folder / "receiver" / "one.pxd").write_text("cdef class One:\n    cdef int number\n")
    (folder / "setup.py").write_text((ROOT / "setup.py").read_text())
    compiler = folder / "cc"
    compiler.write_text(COMPILER)
    compiler.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name not in ("CFLAGS", "PCAP_RECEIVER_PLAIN")}
    environment |= {"CC": str(compiler)} | ({} if cflags is None else {"CFLAGS": cflags})
    command = [sys.executable, "setup.py", "-q", "build_ext"]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, timeout=120)
    (line,) = [line for line in (folder / "cc.log").read_text().splitlines() if " -c " in line]
    return line.split()


def last(arguments: list[str], kind: str) -> str | None:
    return next((argument for argument in reversed(arguments) if argument.startswith(kind)), None)


@pytest.mark.parametrize(
    ("cflags", "debugging", "optimised"),
    [
        (None, "-g0", True),
        ("-g0 -march=native", "-g0", True),
        ("-ggdb -O1", "-ggdb", True),
        ("-g -O0", "-g", False),
    ],
)
def test_compiled_without_debugging_information_and_optimised_unless_cflags_say_otherwise(
    cflags: str | None, debugging: str, optimised: bool, tmp_path: Path
) -> None:
    arguments = compile_arguments(tmp_path, cflags)
    assert last(arguments, "-g") == debugging
    assert (last(arguments, "-O") or "-O0") != "-O0" if optimised else last(arguments, "-O") == "-O0"
    assert "-fwrapv" in arguments
    assert all(word in arguments for word in (cflags or "").split())
