"""Damages captures by many seeds. The seed and the file repeat what failed: python -m tests.damage --first SEED --seeds 1 FILE"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from pathlib import Path

from tests.damage.compare import Broken, Row, check, run
from tests.damage.generate import damage
from tests.damage.packets import Capture, inputs, load_input

# Some seeds run with room for little: then much is lost, nothing may be invented, and the limits hold.
SMALL = {"out_of_order": 4000, "memory": 8000, "flow_max": 4}


def truth_of(capture: Capture) -> list[Row]:
    return run(capture.packets, random.Random(0))


def once(capture: Capture, truth: list[Row], seed: int) -> tuple[int, list[str]]:
    """The number of untouched roundtrips, and what was done. Raises Broken."""
    damaged = damage(capture, seed)
    rng = random.Random(seed)
    small = SMALL if rng.random() < 0.15 else {}
    if small:
        damaged.said.append("[small]")
        damaged.hit |= {n for packet in capture.packets for n in packet.origins}
    try:
        return check(capture, truth, damaged, run(damaged.packets, rng, **small)), damaged.said
    except Exception as problem:
        problem.add_note("; ".join(damaged.said))
        raise


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.damage", description="Damage captures, and read them all the same.")
    parser.add_argument("files", nargs="*", type=Path, help="captures and vectors; all there are unless named")
    parser.add_argument("--seeds", type=int, default=10, help="how many for each file (10)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--stop", action="store_true", help="stop at the first failure of a file")
    options = parser.parse_args()
    began = time.monotonic()
    runs = safe = total = packets = failed = 0
    files = options.files or list(inputs())
    for path in files:
        capture = load_input(path)
        truth = truth_of(capture)
        for seed in range(options.first, options.first + options.seeds):
            runs += 1
            total += len(truth)
            packets += len(capture.packets)
            try:
                safe += once(capture, truth, seed)[0]
            except Exception as problem:
                failed += 1
                print(f"FAILED {path} --first {seed}: {problem}")
                for note in getattr(problem, "__notes__", ()):
                    print(f"  {note[:1500]}")
                if not isinstance(problem, Broken):
                    traceback.print_exc(file=sys.stdout)
                if options.stop:
                    break
    seconds = time.monotonic() - began
    print(
        f"{runs} runs of {len(files)} captures, {options.seeds} seeds from {options.first}: {failed} failed; {packets} packets, "
        f"{total} roundtrips, {safe} of them untouched; {seconds:.0f} s"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
