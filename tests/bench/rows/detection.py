"""Detection, offline: what it costs to find that a flow is nothing we know, in text and in random bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from tests.bench.generate import unknown_flows, write_pcap
from tests.bench.measure import Bench
from tests.bench.observers import ROOT
from tests.bench.report import Bars

ORDER = 90
ROW = "detection, offline"
FLOWS = 10_000


def run(bench: Bench) -> None:
    with tempfile.TemporaryDirectory(prefix="pcapbench-") as name:
        for what in ("text", "random bytes"):
            file = Path(name) / f"{what.split()[0]}.pcap"
            write_pcap(file, unknown_flows(FLOWS, what == "text"))
            costs = {part: [once(bench, file, part) for _ in range(bench.repeats)] for part in ("detect", "no-detect")}
            differences = [one - other for one, other in zip(costs["detect"], costs["no-detect"], strict=True)]
            bench.add(ROW, "ours", f"a flow of {what}", "us CPU a flow", costs["detect"], None, "its 14 packets, and all else")
            bench.add(ROW, "ours", f"a flow of {what}, not detected", "us CPU a flow", costs["no-detect"])
            bench.add(ROW, "ours", f"a flow of {what}, detection alone", "us CPU a flow", differences, Bars(2))


def once(bench: Bench, file: Path, part: str) -> float:
    """Microseconds a flow of the core with or without detection, in a process of its own."""

    def work() -> float:
        argv = [sys.executable, str(Path(__file__).parents[1] / "core.py"), str(file), part, "5"]
        done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        said = json.loads(done.stdout)
        if said["roundtrips"]:
            raise RuntimeError(f"{said['roundtrips']} roundtrips in flows that are nothing")
        took: list[int] = said["took_ns"]
        return median(took) / 1000 / FLOWS

    return bench.quietly(f"detection, {part}", work)[0]
