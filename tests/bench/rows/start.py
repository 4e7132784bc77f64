"""From start to first captured packet, live, and what waiting for packets costs."""

from __future__ import annotations

import json
import subprocess
import time
from functools import partial

from tests.bench import machine
from tests.bench.load import Done, FixedRate
from tests.bench.measure import Bench, ObserverFailed, ObserverKind
from tests.bench.observers import Receiver, ReceiverBoth, ReceiverMetrics, Tcpdump
from tests.bench.report import Bars

ORDER = 40
ROW = "start and rest, live"
OBSERVERS: tuple[ObserverKind, ...] = (Tcpdump, ReceiverMetrics, ReceiverBoth)
RATE = 1_000
SECONDS = 4.0
REST_S = 10.0


def run(bench: Bench) -> None:
    for kind in bench.chosen(OBSERVERS):
        if kind.exports:
            _ = bench.sinks
        try:
            times = [once(bench, kind) for _ in range(bench.repeats)]
        except ObserverFailed as error:
            bench.report.skipped.append(f"{kind.name}: {error}")
            continue
        bars = Bars(0.5) if issubclass(kind, Receiver) else None
        bench.add(ROW, kind.name, "to the open capture", "s", [opened for opened, _ in times])
        seen = [first for _, first in times if first is not None]
        bench.add(ROW, kind.name, "to the first roundtrip", "s", seen, bars, f"by what it missed of {RATE}/s")

    for kind in bench.chosen(OBSERVERS):
        try:
            rests = [bench.quietly(f"{kind.name}, at rest", partial(rest, bench, kind))[0] for _ in range(bench.repeats)]
        except ObserverFailed:
            continue  # said above
        bench.add(ROW, kind.name, "at rest", "ms CPU a second", rests)


def rest(bench: Bench, kind: ObserverKind) -> float:
    """Milliseconds of processor time a second, without traffic, exports included."""
    observer = bench.start(kind)
    try:
        observer.settle()
        before = observer.cpu_ns()
        time.sleep(REST_S)
        return (observer.cpu_ns() - before) / 1e6 / REST_S
    finally:
        observer.stop()


def once(bench: Bench, kind: ObserverKind) -> tuple[float, float | None]:
    """Seconds from its start until its packet socket takes packets, and until the first roundtrip that it counted:
    the client's requests are evenly spaced, so the number that it missed is a clock."""
    machine.await_idle(bench.patience_s)
    client = bench.lab.popen("client", FixedRate(RATE, SECONDS).argv(bench.lab), stdout=subprocess.PIPE)
    time.sleep(0.2)
    observer = kind()
    began_ns = time.monotonic_ns()
    observer.launch(bench.lab)
    try:
        try:
            while not observer.captures():
                if observer.started.poll() is not None:
                    raise ObserverFailed(f"exit {observer.started.returncode}: {observer.last_words()}")
                time.sleep(0.001)
            opened = (time.monotonic_ns() - began_ns) / 1e9
            observer.await_ready()
        except RuntimeError as error:
            raise ObserverFailed(str(error)) from error
        out, _ = client.communicate()
        done = Done(**json.loads(out))
        observer.settle()
        counted = observer.counted()
    finally:
        bench.lab.stop(client)
        observer.stop()
    if counted is None:
        return opened, None
    first_ns = done.start_ns + (done.responses - counted) * 1_000_000_000 // RATE
    return opened, (first_ns - began_ns) / 1e9
