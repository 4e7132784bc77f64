"""`python -m tests.bench [ROW...] [--quick] [--json FILE]`: what watching costs, beside the bars it is held to."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import signal
import sys
from pathlib import Path
from types import FrameType, ModuleType

from tests.bench import machine, rows
from tests.bench.lab import LabUnavailable
from tests.bench.measure import Bench, ObserverFailed
from tests.bench.report import Report


def main() -> int:
    available = {module.name: module.name for module in pkgutil.iter_modules(rows.__path__)}
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        epilog=describe(sorted(available)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help="all of them when none is named")
    parser.add_argument(
        "--quick", action="store_true", help="shorter loads and less patience with a busy machine; still three repeats"
    )
    parser.add_argument("--noisy", action="store_true", help="do not wait for a quiet machine; the figures are void")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write figures, samples and machine facts there")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="OBSERVER",
        help="in live rows measure only this observer; repeats",
    )
    args = parser.parse_args()
    unknown = [name for name in args.rows if name not in available]
    if unknown:
        parser.error(f"no row {', '.join(unknown)}; there are {', '.join(sorted(available))}")

    signal.signal(signal.SIGTERM, _end)
    chosen = sorted((load(name) for name in args.rows or available), key=lambda module: int(module.ORDER))
    idle = machine.await_idle(5.0)
    report = Report({**machine.facts(), "busy_share_at_start": round(idle, 3), "quick": args.quick, "noisy": args.noisy})
    try:
        with Bench(report, args.quick, args.noisy, args.only) as bench:
            for module in chosen:
                print(f"{name_of(module)}: {summary(module)}", file=sys.stderr, flush=True)
                try:
                    module.run(bench)
                except (LabUnavailable, ObserverFailed, OSError, RuntimeError) as error:
                    report.skipped.append(f"{name_of(module)}: {error}")
                    bench.say(f"skipped: {error}")
    finally:
        facts = report.facts
        compiled = "compiled" if facts["compiled"] else "PLAIN, not compiled"
        print(f"{facts['cores']} cores, {facts['cpu']}, Linux {facts['kernel']}, Python {facts['python']}, {compiled}")
        print(f"exports: {facts.get('sinks', 'none')}")
        print(report.table())
        if args.json:
            report.write_json(args.json)
    return 0 if report.figures else 1


def load(name: str) -> ModuleType:
    return importlib.import_module(f"{rows.__name__}.{name}")


def name_of(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


def summary(module: ModuleType) -> str:
    return (module.__doc__ or "").splitlines()[0]


def describe(names: list[str]) -> str:
    """The rows and what each measures, for --help."""
    return "\n".join(f"  {name:18} {summary(load(name))}" for name in names)


def _end(signal_number: int, frame: FrameType | None) -> None:
    sys.exit(128 + signal_number)


if __name__ == "__main__":
    sys.exit(main())
