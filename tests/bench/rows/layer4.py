"""Layer 4 offline: what it costs a packet, an idle flow's packet, and a flood of SYNs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.bench.measure import Bench
from tests.bench.observers import ROOT
from tests.bench.report import Bars

ORDER = 55
ROW = "layer 4, offline"


def run(bench: Bench) -> None:
    for part, what in (("small", "requests and answers"), ("acks", "the same, an ACK behind each")):
        found = repeated(bench, part)
        if not found:
            return
        bench.add(ROW, "ours", f"layer 4, {what}", "us CPU a packet", [each["more_ns"] / 1000 for each in found], Bars(0.15))
        bench.add(ROW, "ours", f"everything, {what}", "us CPU a packet", [each["on_ns"] / 1000 for each in found])
    found = repeated(bench, "idle")
    bars = Bars(0.15)
    bench.add(ROW, "ours", "idle, unparsed flow, layer 4 off", "us CPU a packet", [each["off_ns"] / 1000 for each in found], bars)
    bench.add(ROW, "ours", "idle, unparsed flow, layer 4 on", "us CPU a packet", [each["on_ns"] / 1000 for each in found])
    found = repeated(bench, "flood")
    where = "200 000 SYNs/s beside 1 000 connections"
    bench.add(ROW, "ours", f"{where}, cost", "us CPU a SYN", [each["us_per_syn"] for each in found], Bars(5))
    bench.add(ROW, "ours", f"{where}, RSS", "MiB", [max(each["rss"]) / 2**20 for each in found], note="65 536 flows")
    # By then the table has been full ten times over, and its dict has found its size.
    grown = [(each["rss"][-1] - each["rss"][3]) / 2**20 for each in found]
    bench.add(ROW, "ours", f"{where}, RSS grown in the last 2 s", "MiB", grown, Bars(1))
    evicted = [each["conversations"] - min(each["open"], each["conversations"]) for each in found]
    bench.add(ROW, "ours", f"{where}, connections evicted", "connections", evicted, Bars(0, 0))
    bench.add(ROW, "ours", f"{where}, roundtrips lost", "roundtrips", [each["lost"] for each in found], Bars(0, 0))


def repeated(bench: Bench, part: str) -> list[dict[str, Any]]:
    found = []
    for _ in range(bench.repeats):
        try:
            work: Callable[[], dict[str, Any]] = partial(once, part)
            found.append(bench.quietly(f"layer 4, {part}", work)[0])
        except RuntimeError as error:
            bench.report.skipped.append(f"layer 4, {part}: {error}")
            bench.say(f"skipped: layer 4, {part}: {error}")
            break
    return found


def once(part: str) -> dict[str, Any]:
    """One measurement, in a process of its own. Raises RuntimeError."""
    argv = [sys.executable, "-m", "tests.bench.layer4", part]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    said: dict[str, Any] = json.loads(done.stdout)
    return said
