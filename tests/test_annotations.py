"""What Cython makes of the packet path: no line of it calls into Python that has not been reviewed in annotations.txt.

Cython's annotated report lists, for each line of a module, the C calls that the line became. Left out here are those
that are made only when something is wrong (bounds and None checks: PyErr_*), those that stay C, and `raise` itself.
"""

from __future__ import annotations

import ast
import html
import os
import re
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import NamedTuple

import pytest
from Cython.Build import cythonize

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = ROOT / "tests" / "annotations.txt"

# Only on the way to an exception, or plain C: an index into bytes with its bounds check, a size, a type compared.
HARMLESS = re.compile(
    r"PyErr_\w+|__Pyx_AddTraceback|__Pyx_Raise\w*|__Pyx_WriteUnraisable|__Pyx_ErrRestore\w*|__Pyx_ErrFetch\w*"
    r"|__Pyx_[GS]etItemInt_Byte\w+|__Pyx_Py\w+_GET_SIZE|__Pyx_PyBytes_As\w+|__Pyx_NewRef|__Pyx_TypeTest|__Pyx_RefNanny\w*"
)

_LINE = re.compile(
    r'<pre class="cython line score-\d+"[^>]*>(?:\+|&#xA0;)<span class="[^"]*">(?P<number>\d+)</span>: .*?</pre>\n'
    r"(?:<pre class='cython code[^>]*>(?P<code>.*?)</pre>)?",
    re.DOTALL,
)
_CALL = re.compile(r"<span class='py(?:x)?_c_api'>(\w+)</span>")


class Call(NamedTuple):
    """A line that calls into Python."""

    file: str
    function: str
    number: int
    text: str
    calls: str

    @property
    def entry(self) -> str:
        return f"{self.text}  <- {self.calls}"


def directives() -> dict[str, object]:
    """Those of the real build: read from setup.py, which cannot be imported."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DIRECTIVES":
            found: dict[str, object] = ast.literal_eval(node.value)
            return found
    raise AssertionError("setup.py: no DIRECTIVES")


def annotate(root: Path, files: list[str], output: Path) -> None:
    """Write Cython's report of each file to `output`; what is there and newer than its sources stays."""
    with chdir(root):
        cythonize(  # type: ignore[no-untyped-call]  # Cython has no types
            files, annotate=True, quiet=True, build_dir=str(output), compiler_directives=directives()
        )


def functions(source: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    def walk(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef):
                yield prefix + child.name, child
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                yield from walk(child, f"{prefix}{child.name}.")

    yield from walk(ast.parse(source), "")


def calls_into_python(root: Path, file: str, watched: set[str], output: Path) -> list[Call]:
    """The lines of the watched functions that call into Python. Fails for a name that the file does not have."""
    source = (root / file).read_text()
    lines = source.splitlines()
    report = (output / file).with_suffix(".html").read_text()
    made = {int(match["number"]): set(_CALL.findall(match["code"] or "")) for match in _LINE.finditer(report)}
    assert len(made) == len(lines), f"{file}: the report has another form than this test reads"
    found = []
    unknown = set(watched)
    for name, node in functions(source):
        matched = {name, name.rpartition(".")[0]} & watched
        if not matched or (name not in watched and node.name == "__init__"):
            continue
        unknown -= matched
        raising = {
            number
            for inner in ast.walk(node)
            if isinstance(inner, ast.Raise)
            for number in range(inner.lineno, (inner.end_lineno or inner.lineno) + 1)
        }
        for number in range(node.body[0].lineno, (node.end_lineno or 0) + 1):
            calls = sorted(call for call in made.get(number, ()) if not HARMLESS.fullmatch(call))
            if calls and number not in raising:
                found.append(Call(file, name, number, html.unescape(lines[number - 1].strip()), " ".join(calls)))
    assert not unknown, f"{file}: no function or class {', '.join(sorted(unknown))}"
    return found


def read_allowed(text: str) -> dict[str, dict[str, list[str]]]:
    """File, then watched name, then entries: by how deep a line is indented."""
    allowed: dict[str, dict[str, list[str]]] = {}
    file = name = ""
    for line in text.splitlines():
        depth = len(line) - len(line.lstrip())
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if depth == 0:
            file = line.strip()
            allowed[file] = {}
        elif depth == 2:
            name = line.strip()
            allowed[file][name] = []
        else:
            allowed[file][name].append(line.strip())
    return allowed


def differences(root: Path, allowed: dict[str, dict[str, list[str]]], output: Path) -> list[str]:
    """One line for each call that is not allowed and for each permission that nothing needs any more."""
    annotate(root, sorted(allowed), output)
    messages = []
    for file, names in allowed.items():
        left = {name: list(entries) for name, entries in names.items()}
        for call in calls_into_python(root, file, set(names), output):
            name = call.function if call.function in left else call.function.rpartition(".")[0]
            if call.entry in left[name]:
                left[name].remove(call.entry)
            else:
                messages.append(f"{file}:{call.number}: {call.function} calls into Python: {call.entry}")
        messages += [f"{file}: {name} no longer needs: {entry}" for name in left for entry in left[name]]
    return messages


@pytest.mark.skipif(os.environ.get("PCAP_RECEIVER_MODULES") == "plain", reason="the same source as in the compiled run")
def test_packet_path_calls_into_python_only_where_reviewed() -> None:
    allowed = read_allowed(ALLOWED.read_text())
    if not allowed:
        pytest.skip("NOT RUN: annotations.txt watches no function")
    assert differences(ROOT, allowed, ROOT / "build" / "annotated") == []


MODULE = '''
import cython


class Probe:
    """A docstring."""

    def __init__(self, items: dict) -> None:
        self.items = items
        self.count = 0

    def quick(self, buf: bytes, at: cython.Py_ssize_t) -> cython.int:
        if at < 0:
            raise IndexError("outside")
        self.count += 1
        return buf[at]

    def slow(self, buf: bytes, at: cython.Py_ssize_t) -> cython.int:
        self.count += 1
        piece = buf[at:].lower()
        return len(piece)
'''
LAYOUT = """
cdef class Probe:
    cdef dict items
    cdef int count
    cdef int quick(self, bytes buf, Py_ssize_t at) except -1
    cdef int slow(self, bytes buf, Py_ssize_t at) except -1
"""


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    (tmp_path / "planted").mkdir()
    (tmp_path / "planted" / "__init__.py").touch()
    (tmp_path / "planted" / "probe.py").write_text(MODULE)
    (tmp_path / "planted" / "probe.pxd").write_text(LAYOUT)
    return tmp_path


def test_checked_reads_and_raise_are_not_calls(planted: Path) -> None:
    assert differences(planted, {"planted/probe.py": {"Probe.quick": []}}, planted / "out") == []


def test_new_call_is_named_with_file_line_and_text(planted: Path) -> None:
    (message,) = differences(planted, {"planted/probe.py": {"Probe": []}}, planted / "out")
    number = MODULE.splitlines().index("        piece = buf[at:].lower()") + 1
    assert message.startswith(f"planted/probe.py:{number}: Probe.slow calls into Python: piece = buf[at:].lower()  <- ")


def test_reviewed_call_passes_and_a_stale_permission_fails(planted: Path) -> None:
    (message,) = differences(planted, {"planted/probe.py": {"Probe.slow": []}}, planted / "out")
    entry = message.partition("calls into Python: ")[2]
    allowed = read_allowed(f"# reviewed\nplanted/probe.py\n  Probe.quick\n  Probe.slow\n    {entry}\n")
    assert differences(planted, allowed, planted / "out") == []
    allowed["planted/probe.py"]["Probe.quick"].append(entry)
    assert differences(planted, allowed, planted / "out") == [f"planted/probe.py: Probe.quick no longer needs: {entry}"]


def test_name_that_the_file_does_not_have_fails(planted: Path) -> None:
    with pytest.raises(AssertionError, match=r"no function or class Probe\.gone"):
        differences(planted, {"planted/probe.py": {"Probe.gone": []}}, planted / "out")
