"""One run: a quiet machine, an observer, a load; and its repetition when somebody disturbed it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import TypeVar

from tests.bench import machine
from tests.bench.lab import Lab
from tests.bench.load import Done, Load
from tests.bench.observers import Observer, Tcpdump
from tests.bench.process import Memory
from tests.bench.report import Bars, Figure, Report
from tests.bench.sinks import Sinks

VOID_ATTEMPTS = 4

ObserverKind = type[Observer]
T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """One load under one observer. Without an observer only `done` is there.

    `cpu_ns` is from the load's start until the observer was idle again; `memory` is right at the load's end. `counted`
    and `dropped` (by the kernel) are what the observer said of the load, without the warm-up; None where it cannot say.
    """

    who: str
    load: str
    done: Done
    cpu_ns: int = 0
    memory: Memory | None = None
    counted: int | None = None
    dropped: int | None = None
    quiet: bool = True

    @property
    def us_per_roundtrip(self) -> float:
        return self.cpu_ns / 1000 / self.done.responses

    @property
    def lost_percent(self) -> float | None:
        """Of the client's roundtrips; negative when the observer saw more: wrk stops with some in flight."""
        return None if self.counted is None else 100 * (1 - self.counted / self.done.responses)


class Bench:
    """What a row works with: settings, the report, and the laboratory, which is built when a row first asks for it.

    `noisy` takes the machine as it is: no waiting, no repeating, and figures that say so.
    `observers` limits whom live rows measure (names as in the table); empty: all that the row has.
    """

    def __init__(self, report: Report, quick: bool = False, noisy: bool = False, observers: Sequence[str] = ()) -> None:
        self.report = report
        self.quick = quick
        self.repeats = 3
        self.seconds = 2.0 if quick else 5.0
        self.patience_s = 0.0 if noisy else 20.0 if quick else machine.IDLE_PATIENCE_S
        self.noisy = noisy
        self._observers = observers
        self._stack = ExitStack()
        self._lab: Lab | None = None
        self._sinks: Sinks | None = None
        self._broken: dict[str, str] = {}

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def lab(self) -> Lab:
        """Raises LabUnavailable."""
        if self._lab is None:
            self._lab = self._stack.enter_context(Lab())
        return self._lab

    @property
    def sinks(self) -> Sinks:
        if self._sinks is None:
            self._sinks = Sinks(self.lab)
            self.report.facts["sinks"] = self._sinks.description
        return self._sinks

    def seconds_at(self, rate: int) -> float:
        """How long a load of `rate` roundtrips a second lasts: 50 000 of them, or 10 s, so that what is done by the clock (an
        export every 5 s, the end of a run) weighs no more than it does in an hour."""
        return max(self.seconds, min(10.0, 50_000 / rate)) if rate else self.seconds

    def chosen(self, kinds: Sequence[ObserverKind]) -> list[ObserverKind]:
        """Those of the row's observers that were asked for and that can be started."""
        return [kind for kind in kinds if (not self._observers or kind.name in self._observers) and kind.name not in self._broken]

    def say(self, what: str) -> None:
        print(f"  {what}", file=sys.stderr, flush=True)

    def add(
        self,
        row: str,
        who: str,
        what: str,
        unit: str,
        samples: Sequence[float],
        bars: Bars | None = None,
        note: str = "",
    ) -> None:
        """A line of the table; nothing when there is no sample."""
        if samples:
            self.report.add(Figure(row, who, what, unit, list(samples), bars or Bars(), note))

    def alternate(self, kinds: Sequence[ObserverKind | None], load: Load) -> dict[str, list[Run]]:
        """The load under each observer in turn (None: nobody), `repeats` times around. An observer that does not start
        is skipped, and the report says why."""
        runs: dict[str, list[Run]] = {}
        for _ in range(self.repeats):
            for kind in kinds:
                name = kind.name if kind else "nobody"
                if name in self._broken:
                    continue
                try:
                    runs.setdefault(name, []).append(self.measure(kind, load))
                except ObserverFailed as error:
                    self._broken[name] = str(error)
                    self.report.skipped.append(f"{name}: {error}")
                    self.say(f"skipped: {name}: {error}")
        return {name: found for name, found in runs.items() if found}

    def quietly(self, what: str, work: Callable[[], T]) -> tuple[T, bool]:
        """Do `work` on a quiet machine, and again when it was not quiet, VOID_ATTEMPTS times in all. The last answer
        is returned in any case; the second value says whether it counts."""
        attempt, attempts = 0, 1 if self.noisy else VOID_ATTEMPTS
        while True:
            attempt += 1
            share = machine.await_idle(self.patience_s)
            faults = [f"{share:.0%} busy beforehand"] if share > machine.IDLE_SHARE else []
            watch = machine.Watch()
            answer = work()
            faults += watch.faults()
            if not faults:
                return answer, True
            kept = "kept, no quiet moment came: " if attempt == attempts else "repeated: "
            self.report.void.append(f"{kept}{what}: {', '.join(faults)}")
            if attempt == attempts:
                return answer, False

    def quiet_run(self, what: str, work: Callable[[], Run]) -> Run:
        """`quietly`, for a run: marked where it does not count, and kept for the JSON file."""
        run, quiet = self.quietly(what, work)
        run = replace(run, quiet=quiet)
        self.report.runs.append({**asdict(run), "us_per_roundtrip": run.us_per_roundtrip})
        cost = f"{run.us_per_roundtrip:.2f} us a roundtrip, " if run.cpu_ns else ""
        self.say(f"{what}: {cost}{run.done.rate:.0f}/s" + ("" if run.quiet else "  (machine not quiet)"))
        return run

    def measure(self, kind: ObserverKind | None, load: Load) -> Run:
        """One run, on a quiet machine. Raises ObserverFailed."""
        if kind is None:
            return self.quiet_run(f"nobody, {load.label}", lambda: Run("nobody", load.label, load.run(self.lab)))
        if kind.exports:
            _ = self.sinks
        chosen = kind

        def work() -> Run:
            observer = self.start(chosen)
            try:
                load.warm_up(self.lab)
                observer.settle()
                counted, dropped = observer.counted(), observer.dropped()
                time.sleep(0.2)  # the work of having answered
                cpu = observer.cpu_ns()
                done = load.run(self.lab)
                memory = observer.memory()
                observer.settle()
                cpu = observer.cpu_ns() - cpu
                seen, lost = observer.counted(), observer.dropped()
            except (OSError, RuntimeError) as error:
                raise ObserverFailed(f"{error}; it said: {observer.last_words()}") from error
            finally:
                observer.stop()
            if isinstance(observer, Tcpdump):
                lost, dropped = observer.packets()[1], 0
            return Run(
                chosen.name, load.label, done, cpu, memory,
                None if seen is None or counted is None else seen - counted,
                None if lost is None or dropped is None else lost - dropped,
            )

        return self.quiet_run(f"{kind.name}, {load.label}", work)

    def start(self, kind: ObserverKind) -> Observer:
        """A started observer that captures. Raises ObserverFailed."""
        observer = kind()
        observer.launch(self.lab)
        try:
            observer.await_ready()
        except RuntimeError as error:
            observer.stop()
            raise ObserverFailed(str(error)) from error
        return observer

    def add_runs(self, row: str, runs: dict[str, list[Run]], what: str, bars: dict[str, Bars]) -> None:
        """CPU a roundtrip of each observer, with `bars` by its name."""
        for who, found in runs.items():
            if who != "nobody":
                cost = [run.us_per_roundtrip for run in found]
                self.add(row, who, what, "us CPU a roundtrip", cost, bars.get(who), remarks(found))


class ObserverFailed(Exception):
    """The observer did not start or did not answer, in its own words."""


def remarks(runs: Sequence[Run]) -> str:
    """What makes the figures of these runs less than they seem."""
    found = []
    losses = [run.lost_percent for run in runs if run.lost_percent is not None]
    if losses and max(losses) > 0:
        found.append(f"lost {max(losses):.2f} %")
    if losses and min(losses) < -0.1:
        found.append(f"{-min(losses):.2f} % too many")
    drops = sum(run.dropped or 0 for run in runs)
    if drops:
        found.append(f"{drops} packets dropped by the kernel")
    if not all(run.quiet for run in runs):
        found.append("machine not quiet")
    return ", ".join(found)


def ratios(runs: Sequence[float], base: Sequence[float]) -> list[float]:
    """Of neighbours in time: the n-th of one with the n-th of the other."""
    return [one / other for one, other in zip(runs, base, strict=False)]
