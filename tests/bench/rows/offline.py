"""A file of 320 000 packets: the whole program over it, and its parts in a loop, compiled and plain."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from tests.bench.generate import Workload, packets, write_pcap
from tests.bench.measure import Bench
from tests.bench.observers import RECEIVER, ROOT
from tests.bench.report import Bars
from tests.bench.sinks import SINK

ORDER = 50
ROW = "offline, 320 000 packets"
PACKETS = 320_000
PLAIN_PACKETS = 16_000  # the plain interpreter takes some forty times as long

CONFIGURATION = """
receivers:
  pcap:
    files: ["{file}"]
    local_addresses: ["10.2.0.1"]
    ports: {{http: [8080]}}
exporters:
  debug: {{verbosity: basic}}
  otlp_grpc: {{endpoint: "127.0.0.1:{otlp}", tls: {{insecure: true}}}}
  prometheus_remote_write: {{endpoint: "http://127.0.0.1:{remote_write}/api/v1/write", interval: 5s}}
extensions:
  health_check: {{endpoint: "127.0.0.1:{health}"}}
service:
  telemetry: {{metrics: {{endpoint: "127.0.0.1:{own}"}}}}
  pipelines:
    metrics: {{receivers: [pcap], exporters: [{metrics}]}}
"""
TRACES = "    traces: {receivers: [pcap], exporters: [otlp_grpc]}\n"


def run(bench: Bench) -> None:
    with tempfile.TemporaryDirectory(prefix="pcapbench-") as name:
        directory = Path(name)
        files = {}
        for what, count in (("whole", PACKETS), ("small", PLAIN_PACKETS), ("one", 8)):
            workload = Workload.of_packets(count, 200 if count > 1000 else 1)
            write_pcap(directory / f"{what}.pcap", packets(workload), workload.link_type)
            files[what] = (directory / f"{what}.pcap", workload)
        for work in (parts, plain, replays):
            try:
                work(bench, directory, files)
            except RuntimeError as error:
                bench.report.skipped.append(f"offline, {work.__name__}: {error}")
                bench.say(f"skipped: {work.__name__}: {error}")


Files = dict[str, tuple[Path, Workload]]


def parts(bench: Bench, directory: Path, files: Files) -> None:
    """Reading, the core, and the core with spans, each on its own. Raises RuntimeError."""
    file, workload = files["whole"]
    for part, what, bars in (
        ("read", "reading with pcapy", None),
        ("core", "core", Bars(0.4)),
        ("spans", "core with spans built", None),
    ):
        found = [loop(bench, file, workload, part, 3, ROOT) for _ in range(bench.repeats)]
        bench.add(ROW, "ours", what, "us CPU a roundtrip", found, bars)


def plain(bench: Bench, directory: Path, files: Files) -> None:
    """The core on the plain interpreter, without the compiled modules, for the record. Raises RuntimeError."""
    copy = directory / "plain"
    shutil.copytree(ROOT / "receiver", copy / "receiver", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    file, workload = files["small"]
    found = [loop(bench, file, workload, "core", 1, copy) for _ in range(bench.repeats)]
    bench.add(ROW, "ours", "core, plain interpreter", "us CPU a roundtrip", found)


def loop(bench: Bench, file: Path, workload: Workload, part: str, times: int, package: Path) -> float:
    """Microseconds a roundtrip of one part, in a process of its own that imports the receiver from `package`."""

    def once() -> float:
        argv = [sys.executable, str(Path(__file__).parents[1] / "core.py"), str(file), part, str(times)]
        environment = {**os.environ, "PYTHONPATH": str(package)}
        done = subprocess.run(argv, capture_output=True, text=True, env=environment, cwd=package, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        said = json.loads(done.stdout)
        if part != "read" and said["roundtrips"] != workload.roundtrips:
            raise RuntimeError(f"{part}: {said['roundtrips']} roundtrips of {workload.roundtrips}")
        took: list[int] = said["took_ns"]
        return median(took) / 1000 / workload.roundtrips

    return bench.quietly(f"offline, {part}", once)[0]


def replays(bench: Bench, directory: Path, files: Files) -> None:
    """The whole program over the file: all its processor time, start and end included. Raises RuntimeError."""
    wanted = 0
    with sink() as (otlp, remote_write, spans):
        ports = {"otlp": otlp, "remote_write": remote_write, "health": free_port(), "own": free_port()}

        def replay(which: str, metrics: str, traces: str) -> float:
            configuration = directory / "replay.yaml"
            text = CONFIGURATION.format(file=files[which][0], metrics=metrics, **ports) + traces
            configuration.write_text(text)

            def once() -> float:
                nonlocal wanted
                wanted += files[which][1].roundtrips if traces else 0
                return whole_program(configuration)

            return bench.quietly(f"replay, {which}", once)[0] / files["whole"][1].roundtrips

        for what, metrics, traces, bars in (
            ("all in, metrics", "debug", "", Bars(1, None, 15.6)),
            ("all in, spans and metrics exported", "prometheus_remote_write", TRACES, None),
        ):
            found, empty = [], []
            for _ in range(bench.repeats):
                found.append(replay("whole", metrics, traces))
                empty.append(replay("one", metrics, traces))
            start = sorted(empty)[len(empty) // 2]
            note = f"of which {start:.2f} start and end ({start * files['whole'][1].roundtrips / 1000:.0f} ms)"
            bench.add(ROW, "ours", what, "us CPU a roundtrip", found, bars, note)
        counted = spans()
    missing = [float(abs(wanted - counted))]
    note = f"of {wanted}, as a process counted them that dropped what it got"
    bench.add(ROW, "ours", "spans lost or invented", "spans", missing, Bars(0, 0), note)


def whole_program(configuration: Path) -> float:
    """Microseconds of processor time of one run. Raises RuntimeError when it fails."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    log = configuration.with_suffix(".log")
    with log.open("w") as said:
        argv = [*RECEIVER, "--config", str(configuration)]
        started = subprocess.Popen(argv, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        # wait4 gives the times of this child alone; its sum of user and system time is the scheduler's, not the ticks'.
        _, status, usage = os.wait4(started.pid, 0)
        started.returncode = os.waitstatus_to_exitcode(status)
    if started.returncode:
        words = " | ".join(log.read_text().strip().splitlines()[-3:])
        raise RuntimeError(f"exit {started.returncode}: {words}")
    return (usage.ru_utime + usage.ru_stime) * 1e6


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextlib.contextmanager
def sink() -> Iterator[tuple[int, int, Callable[[], int]]]:
    """A process that takes both protocols on loopback: its ports, and what ends it and says how many spans it took."""
    otlp, remote_write = free_port(), free_port()
    argv = [sys.executable, str(SINK), "127.0.0.1", f"otlp={otlp}", f"remote-write={remote_write}"]
    started = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert started.stdout
        if started.stdout.readline() != "ready\n":
            raise RuntimeError("the sink did not start")
        yield otlp, remote_write, lambda: int(started.communicate()[0])
    finally:
        started.kill()
        started.wait()
