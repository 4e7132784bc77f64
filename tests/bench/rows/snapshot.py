"""Snapshots of 2 000 combinations: how long the capture waits for one, and what it costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from statistics import median
from typing import Any

from tests.bench.measure import Bench
from tests.bench.observers import ROOT
from tests.bench.report import Bars

ORDER = 56
ROW = "a snapshot of 2 000 combinations"


def run(bench: Bench) -> None:
    for part in ("explicit", "native", "vmrange", "layer4"):
        try:
            found = [bench.quietly(f"snapshot, {part}", partial(once, part))[0] for _ in range(bench.repeats)]
        except RuntimeError as error:
            bench.report.skipped.append(f"snapshot, {part}: {error}")
            bench.say(f"skipped: snapshot, {part}: {error}")
            return
        bars = Bars(5.0) if part != "layer4" else None
        note = f"{found[0]['points']} points; {median(median(each['idle_longest_ms']) for each in found):.1f} ms without one"
        copied = [each["copy_ms"] for each in found]
        bench.add(ROW, "ours", f"{part}, copying on the capture thread", "ms CPU", copied, Bars(5.0))
        longest = [median(each["longest_ms"]) for each in found]
        bench.add(ROW, "ours", f"{part}, longest turn of the capture", "ms CPU", longest, bars, note=note)
        first = [each["first_ms"] for each in found]
        bench.add(ROW, "ours", f"{part}, the same when all series are new", "ms CPU", first)
        bench.add(ROW, "ours", f"{part}, cost", "ms CPU", [each["cpu_ms"] for each in found])


def once(part: str) -> dict[str, Any]:
    """One measurement, in a process of its own. Raises RuntimeError."""
    argv = [sys.executable, "-m", "tests.bench.snapshot", part]
    done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=ROOT, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    found: dict[str, Any] = json.loads(done.stdout)
    return found
