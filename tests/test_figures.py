"""Every figure that leaves is the same from compiled modules and from the source as it is written.

C's arithmetic differs from Python's where nobody looks for it: `/` and `//` between integers, a shift that leaves 32 bits, a
negative remainder. So all that is exported is compared; and what may differ is looked for in the source.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from receiver.telemetry.semconv import OVERFLOW
from tests.figures import CONFIGURATIONS, EVERYTHING, Receiver, differences, inputs, packets
from tests.l7.harness import COMPILED

ROOT = Path(__file__).resolve().parent.parent
PLAIN = "from tests.fuzz.plain import only_source; only_source(); "
RUN = "import sys; from tests.figures import main; main(sys.argv[1:])"


def both(*arguments: str) -> tuple[list[str], list[str]]:
    """What `tests.figures` prints, by compiled modules and by plain source, each in a process of its own."""
    runs = [
        subprocess.Popen([sys.executable, "-c", script, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for script in (RUN, PLAIN + RUN)
    ]
    compiled, plain = (run.communicate()[0].splitlines() for run in runs)
    assert [run.returncode for run in runs] == [0, 0]
    assert (compiled[0], plain[0]) == ("compiled", "plain")
    return compiled[1:], plain[1:]


@pytest.mark.skipif(not COMPILED, reason="NOT RUN: the run on compiled modules compares both")
def test_every_figure_is_the_same_compiled_and_plain() -> None:
    """All vectors and captures, layer 4 on; spans, OTLP, both versions of remote write, each bucket scheme, the metrics page."""
    compiled, plain = both("digests")
    assert len(compiled) == len(plain) == len(CONFIGURATIONS) * (len(inputs()) + 1)
    for mine, true in zip(compiled, plain, strict=True):
        if mine != true:
            _, name, path = true.split(" ", 2)
            found = differences(*both("rows", name, path))
            raise AssertionError("\n".join((f"compiled (-) and plain (+) differ: {name}, {path}", *found[:8])))


def test_inputs_are_there() -> None:
    """Of every folder of vectors, and the case captures of the project."""
    assert {path.parent.name for path in inputs()} >= {"dns", "http1", "http2", "kafka", "mysql", "postgresql", "redis"}
    assert EVERYTHING not in map(str, inputs())


def test_cap_of_series_was_hit_as_often_as_something_was_counted_beyond_it() -> None:
    """Not as often as the series had to be looked up: that depends on where objects lie in memory."""
    receiver = Receiver("vmrange")
    (path,) = (path for path in inputs() if path.name == "hiredis-resp3.jsonl")
    for packet in packets(path):
        receiver.take(packet)
    receiver.engine.finish()
    metrics = receiver.telemetry.metrics
    points = [point for metric in metrics.durations() for point in metric.points]
    assert metrics.overflowed == sum(point.count for point in points if point.attributes == ((OVERFLOW, True),)) > 20


# --- what C and Python mean differently, looked for in every module that is compiled ---


@cache
def compiled_sources() -> list[tuple[str, ast.Module]]:
    sources = [pxd.with_suffix(".py") for pxd in sorted((ROOT / "receiver").rglob("*.pxd"))]
    return [(str(source.relative_to(ROOT / "receiver")), ast.parse(source.read_text(encoding="utf-8"))) for source in sources]


def operations(tree: ast.AST, *kinds: type[ast.operator]) -> Iterator[tuple[str, ast.expr, ast.expr]]:
    """The text, left and right of every binary operation of these kinds."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, kinds):
            yield ast.unparse(node), node.left, node.right
        elif isinstance(node, ast.AugAssign) and isinstance(node.op, kinds):
            yield ast.unparse(node), node.target, node.value


def is_visibly_float(node: ast.expr, floats: set[str]) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, float)
    if isinstance(node, ast.Name):
        return node.id in floats
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "float"


def doubles(tree: ast.AST) -> set[str]:
    """Names that are annotated as C doubles."""
    return {
        ast.unparse(node.target if isinstance(node, ast.AnnAssign) else ast.Name(node.arg))
        for node in ast.walk(tree)
        if isinstance(node, (ast.AnnAssign, ast.arg)) and node.annotation and ast.unparse(node.annotation) == "cython.double"
    }


def integer_divisions(tree: ast.AST) -> list[str]:
    floats = doubles(tree)
    return [
        text
        for text, left, right in operations(tree, ast.Div)
        if not (is_visibly_float(left, floats) or is_visibly_float(right, floats))
    ]


def test_no_true_division_of_integers_in_a_compiled_module() -> None:
    """With `cdivision` and inferred types `i / 18` is C's: 17 / 18 is 0. One side must be a float for all to see."""
    found = {name: integer_divisions(tree) for name, tree in compiled_sources()}
    assert {name: divisions for name, divisions in found.items() if divisions} == {}


def test_division_of_integers_is_found_where_it_stands() -> None:
    assert integer_divisions(ast.parse("A = tuple(10.0 ** (-9 + i / 18) for i in range(487))")) == ["i / 18"]
    assert integer_divisions(ast.parse("a /= b")) == ["a /= b"]
    assert integer_divisions(ast.parse("a / 2.0 + float(b) / c")) == []
    assert integer_divisions(ast.parse("unit: cython.double = u\nx = value / unit\ny = value / one")) == ["value / one"]


def test_no_power_in_a_compiled_module() -> None:
    """Of C integers `**` is an integer, or a double, by directive; and a large one overflows."""
    found = {name: [text for text, *_ in operations(tree, ast.Pow)] for name, tree in compiled_sources()}
    assert {name: powers for name, powers in found.items() if powers} == {}


# Where `//` and `%` stand, and why neither side is ever negative: C rounds towards zero, Python down. A divisor is a constant
# above 0, or said to be.
NEVER_NEGATIVE = {
    "engine.py": {"len(meta) // 16": "a length"},
    "l7/dns_text.py": {
        "len(value) % 2": "a length",
        "len(value) % 4": "a length",
        "len(value) % 16": "a length",
    },
    "l7/grpc.py": {"elapsed_ns // 64": "what is negative was made 0 before"},
    "l7/hpack.py": {
        "(end - start) * 8 // 5": "the caller has checked that the string ends behind its start",
        "self.table_limit // _ENTRY_OVERHEAD": "a limit, from an integer without sign",
    },
    "l7/http2.py": {"self.length % 6": "a length of 24 bits", "length % 6": "a length of 24 bits"},
    "l7/trace_context.py": {
        "len(value) % 4": "a length",
        "(4 - len(value) % 4) % 4": "1 to 4",
        "i // 2": "counts up from 0",
    },
    "pcap/flow.py": {"PORTS // 8": "a constant"},
    "pcap/layer4.py": {
        "(holes.following + 1) % HOLES_MAX": "counts up from 0",
        "(mine.smoothed_ns + theirs.smoothed_ns) // 4": "means of what is not negative, by _smooth",
        "value_ns // 2": "what is negative was made 0 before",
        "(off - half.variance_ns) // 4": "asked before: off is no less",
        "(half.variance_ns - off) // 4": "asked before: off is less",
        "(value_ns - half.smoothed_ns) // 8": "asked before: value_ns is no less",
        "(half.smoothed_ns - value_ns) // 8": "asked before: value_ns is less",
    },
    "pcap/layer4_rows.py": {"self.series_max // UNANSWERED_SHARE": "a limit, by the configuration above 0"},
    "pcap/clock.py": {"_size(self.shift_ns - self.other_ns) // 2": "a size"},
    "telemetry/metrics.py": {
        "id(operation) // 16": "plain Python alone",
        "id(target) // 32": "plain Python alone",
        "id(summary) // 32": "plain Python alone",
        "id(status) // 16": "plain Python alone",
    },
    "telemetry/pipeline.py": {"b' %d' % times": "text"},
    "telemetry/sampling.py": {
        "unit // 2": "a power of two",
        "(rejected + unit // 2) // unit": "a ratio of 0 to 1 rejects 0 to all",
    },
}


def test_no_floor_division_of_what_may_be_negative() -> None:
    """A new one is reviewed, and joins the table with its reason; one that is gone leaves it."""
    found = {
        name: {text for text, *_ in operations(tree, ast.FloorDiv, ast.Mod)} for name, tree in compiled_sources()
    }
    assert {name: texts for name, texts in found.items() if texts} == {name: set(why) for name, why in NEVER_NEGATIVE.items()}


def test_no_conversion_of_a_float_to_an_integer_in_a_compiled_module() -> None:
    """C cuts what does not fit and has another idea of halves: `int` and `round` stand where no C type is near."""
    reviewed = {
        "l7/origin.py": {"int(digits)"},  # text
        "l7/redis.py": {"int(index)"},  # text
        "l7/trace_context.py": {"int(value)"},  # text
        "telemetry/histogram.py": {"round(bound * 1000000000.0)"},  # Python's float
        "telemetry/routes.py": {"int(part[:2], 16)"},  # text
        "telemetry/sampling.py": {"int(part[3:], 16)", "round(ratio * whole)"},  # text; Python's float
    }
    found: dict[str, set[str]] = {}
    for name, tree in compiled_sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("int", "round", "divmod", "pow"):
                found.setdefault(name, set()).add(ast.unparse(node))
    assert found == reviewed
