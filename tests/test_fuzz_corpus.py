"""What the fuzzers found, on this build: each input keeps every rule of `tests/fuzz/targets.py`, and plain source says the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import script
from tests.fuzz.replay import CORPUS, inputs, results
from tests.fuzz.targets import INPUT_MAX, TARGETS
from tests.l7.harness import COMPILED, load_all

ROOT = Path(__file__).resolve().parent.parent
SIZE_MAX = 50_000  # of each decoder


@pytest.mark.parametrize("decoder", TARGETS)
def test_nothing_but_malformed_and_pieces_change_nothing(decoder: str) -> None:
    found = inputs(CORPUS, decoder)
    assert found, f"no corpus: ./dev fuzz {decoder}"
    for name, text in found.items():
        try:
            TARGETS[decoder].check(text)
        except Exception as broken:
            raise AssertionError(f"{decoder}/{name}") from broken


@pytest.mark.skipif(not COMPILED, reason="there is nothing compiled to compare with")
def test_compiled_says_what_plain_says() -> None:
    command = [sys.executable, "-m", "tests.fuzz.replay", str(CORPUS)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert results(CORPUS) == json.loads(done.stdout)


def test_corpus_is_small() -> None:
    sizes = {decoder: sum(map(len, inputs(CORPUS, decoder).values())) for decoder in TARGETS}
    assert [decoder for decoder, size in sizes.items() if size >= SIZE_MAX] == []


@pytest.mark.parametrize("folder", ["http1", "http2", "dns", "kafka", "mongodb", "mysql", "postgresql", "redis"])
def test_script_says_what_was_recorded(folder: str) -> None:
    for vector in load_all(folder):
        plan = script.parse(script.write(0, vector.events, INPUT_MAX))
        assert plan.settings == 0
        for step, event in zip(plan.steps, vector.events, strict=False):
            assert step.direction == event.direction
            assert step.payload == (event.payload or b"")
            assert (step.kind == script.CLOSE) is (event.payload is None)


def test_any_bytes_are_a_script() -> None:
    plan = script.parse(b"\x03" + b"\x00\x05\x00ab")  # a length that promises more than there is
    assert plan.settings == script.JOINED | script.BY_CONTENT
    assert [(step.kind, step.payload) for step in plan.steps] == [(script.FEED, b"ab")]
    assert script.parse(b"") == script.Script(0, ())
    every = b"\x00" + b"".join(bytes((kind << 1, 0, 0)) for kind in range(8))
    assert [step.kind for step in script.parse(every).steps] == [script.FEED] * 5 + [script.GAP, script.CLOSE, script.WAIT]
