"""The tutorial's protocol passes what every protocol passes; compiled like one, where the package is."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from receiver.wire.records import Protocol
from tests.l7.harness import COMPILED, TO_CLIENT, TO_SERVER, Run, Vector, check_vector, exchange

ROOT = Path(__file__).resolve().parent.parent.parent
ASK, TELL, REPLY = 1, 2, 3
BUILD = """
import ast, pathlib
from Cython.Build import cythonize
from setuptools import Extension, setup
tree = ast.parse(pathlib.Path({setup!r}).read_text())
directives = next(ast.literal_eval(n.value) for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "DIRECTIVES")
setup(ext_modules=cythonize([Extension("tests.tutorial.parcel", ["tests/tutorial/parcel.py"])], include_path=[{root!r}],
      compiler_directives=directives))
"""


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    if not COMPILED:
        from tests.tutorial.parcel import ParcelDecoder

        return ParcelDecoder
    pytest.importorskip("Cython", reason="NOT RUN: Cython is not installed")
    folder = tmp_path_factory.mktemp("tutorial")
    package = folder / "tests" / "tutorial"
    package.mkdir(parents=True)
    for name in ("__init__.py", "parcel.py", "parcel.pxd"):
        (package / name).write_bytes((ROOT / "tests" / "tutorial" / name).read_bytes())
    (folder / "tests" / "__init__.py").touch()
    (folder / "setup.py").write_text(BUILD.format(setup=str(ROOT / "setup.py"), root=str(ROOT)))
    subprocess.run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=folder, check=True, timeout=300)
    (found,) = package.glob("parcel.*.so")
    spec = importlib.util.spec_from_file_location("tests.tutorial.parcel", found)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ParcelDecoder


def frame(kind: int, said: int, text: bytes) -> bytes:
    return (2 + len(text)).to_bytes(2, "big") + bytes((kind, said)) + text


def test_the_example_passes_the_harness(decoder: Any) -> None:
    turns = [
        (TO_SERVER, frame(ASK, 0, b"red")),
        (TO_CLIENT, frame(REPLY, 0, b"here it is" * 40)),
        (TO_SERVER, frame(TELL, 0, b"blue") + frame(ASK, 0, b"green")),
        (TO_CLIENT, frame(REPLY, 2, b"no green")),
        (TO_SERVER, frame(ASK, 0, b"red")),
        (TO_CLIENT, frame(REPLY, 0, b"once more")),
    ]
    expected = [
        {"operation": "red", "status": 0, "outcome": "ok"},
        {"operation": "blue", "status": None, "outcome": "one_way"},
        {"operation": "green", "status": 2, "outcome": "error"},
        {"operation": "red", "status": 0, "outcome": "ok"},
    ]
    check_vector((Protocol("parcel", "parcel", decoder),), Vector("parcel", "parcel", exchange(*turns), expected))


def test_the_answer_is_read_by_its_request(decoder: Any) -> None:
    run = Run((Protocol("parcel", "parcel", decoder),))
    for flag in (1, 0):
        run.feed(TO_SERVER, frame(ASK, flag, b"red")).feed(TO_CLIENT, frame(REPLY, 0, (7).to_bytes(4, "big")))
    counted, told = run.end()
    assert counted["db.response.returned_rows"] == 7 and told["db.response.returned_rows"] is None


def test_a_message_of_the_other_side_is_an_error(decoder: Any) -> None:
    run = Run((Protocol("parcel", "parcel", decoder),)).feed(TO_SERVER, frame(ASK, 0, b"red"))
    run.feed(TO_CLIENT, frame(ASK, 0, b"blue"))
    assert run.reading.errors == {("parcel", "message of the other side"): 1}
