"""Source that is not compiled runs where Cython is not installed, and says the same as where it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.bench.generate import write_pcap
from tests.damage.packets import ETHERNET, VECTORS, of_vector

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = Path(sysconfig.get_path("purelib"))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it is written, without compiled modules."""
    folder = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / "receiver", folder / "receiver", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    return folder


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is installed here, but Cython."""
    folder = tmp_path_factory.mktemp("libraries")
    for entry in LIBRARIES.iterdir():
        if not entry.name.lower().startswith(("cython", "pyximport")):
            (folder / entry.name).symlink_to(entry)
    return folder


def run(*arguments: str, path: tuple[Path, Path]) -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONDONTWRITEBYTECODE": "1", "TZ": "UTC"}
    command = [sys.executable, "-S", *arguments]  # -S: what PYTHONPATH names, and nothing installed besides
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120, cwd=path[0])
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_cython_is_hidden(source: Path, libraries: Path) -> None:
    text = run("-c", "import receiver, cython; print(cython.__file__, cython.compiled)", path=(source, libraries))
    assert text.split() == [str(source / "receiver" / "uncompiled.py"), "False"]


def test_cython_itself_goes_before_the_stand_in(source: Path) -> None:
    pytest.importorskip("Cython")
    text = run("-c", "import receiver, cython; print(cython.__file__)", path=(source, LIBRARIES))
    assert Path(text.strip()).is_relative_to(LIBRARIES)


def test_vectors_are_read_the_same_without_cython(source: Path, libraries: Path, tmp_path: Path) -> None:
    pytest.importorskip("Cython")
    arguments = ["-m", "receiver", "watch"]
    for folder in sorted(path for path in VECTORS.iterdir() if path.is_dir()):
        for vector in sorted(folder.glob("*.jsonl"))[:3]:
            capture = tmp_path / f"{folder.name}-{vector.stem}.pcap"
            frames = ((packet.ts_us * 1000, packet.frame()) for packet in of_vector(vector).packets)
            write_pcap(capture, frames, ETHERNET)
            arguments += ["-r", str(capture)]
    with_cython = run(*arguments, path=(source, LIBRARIES))
    assert {line.split("  ")[2] for line in with_cython.splitlines()} >= {"dns", "http", "http2", "redis"}
    assert run(*arguments, path=(source, libraries)) == with_cython


def test_every_module_can_be_imported_without_cython(source: Path, libraries: Path) -> None:
    names = [".".join(path.relative_to(source).with_suffix("").parts) for path in (source / "receiver").rglob("*.py")]
    names = [name for name in names if not name.endswith(("__main__", "__init__"))]
    run("-c", f"import importlib\nfor name in {names!r}: importlib.import_module(name)", path=(source, libraries))
