"""python -m tests.fuzz [DECODER ...] [--minutes N]: fuzzes one after another, each in a process of its own.

What is found stays in build/fuzz, so the next run goes on from there; its essence goes to tests/fuzz/corpus. Exit code 1 with a
finding: an input that breaks a rule of `targets.py` (its file is named), or one that the compiled modules read otherwise than the
plain ones.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys

from tests.fuzz.plain import ROOT
from tests.fuzz.replay import CORPUS, inputs, results
from tests.fuzz.targets import INPUT_MAX, TARGETS

WORK = ROOT / "build" / "fuzz"
HANGS_S = 10
MINIMISE = """
import sys
from pathlib import Path
from tests.fuzz.plain import only_source
only_source()
from tests.fuzz.replay import inputs
from tests.fuzz.smallest import smallest
from tests.fuzz.targets import TARGETS
for text in smallest(TARGETS[sys.argv[2]].check, inputs(Path(sys.argv[1]), sys.argv[2]).values()):
    print(text.hex())
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev fuzz", description="Fuzzes decoders, guided by coverage of the plain source.")
    parser.add_argument("decoders", nargs="*", metavar="DECODER", help=f"{', '.join(TARGETS)}; default: all")
    parser.add_argument("--minutes", type=float, default=10, metavar="N", help="for each decoder; 0 only checks what is there")
    arguments = parser.parse_args()
    decoders = arguments.decoders or list(TARGETS)
    if unknown := [decoder for decoder in decoders if decoder not in TARGETS]:
        parser.error(f"unknown decoder {unknown[0]!r}, takes {', '.join(TARGETS)}")
    findings = sum([fuzz(decoder, arguments.minutes) for decoder in decoders])
    findings += differences(decoders)
    if not findings:
        for decoder in decoders:
            keep(decoder)
    print(f"{findings} findings")
    return 1 if findings else 0


def fuzz(decoder: str, minutes: float) -> int:
    """How many findings a run has: 0 or 1."""
    folder = WORK / decoder
    folder.mkdir(parents=True, exist_ok=True)
    for text in (*TARGETS[decoder].seeds(), *inputs(CORPUS, decoder).values()):
        (folder / hashlib.sha1(text).hexdigest()).write_bytes(text)
    if minutes <= 0:
        return 0
    options = [f"-max_total_time={minutes * 60:.0f}", f"-max_len={INPUT_MAX}", f"-timeout={HANGS_S}", "-print_final_stats=1"]
    log = WORK / f"{decoder}.log"
    print(f"{decoder}: {minutes:g} minutes, log in {log.relative_to(ROOT)}", flush=True)
    command = [sys.executable, "-m", "tests.fuzz.run", decoder, str(folder), f"-artifact_prefix={WORK}/{decoder}-", *options]
    with log.open("wb") as output:
        code = subprocess.run(command, cwd=ROOT, stdout=output, stderr=output, check=False).returncode
    text = log.read_text(errors="replace")
    runs = [line for line in text.splitlines() if line.startswith(("Done ", "stat::number_of_executed_units"))]
    print(f"{decoder}: {'; '.join(runs) or 'did not run'}", flush=True)
    if code:
        print(text[-3000:])
    return 1 if code else 0


def differences(decoders: list[str]) -> int:
    """How many inputs the compiled modules read otherwise than the plain ones, or break a rule in either."""
    command = [sys.executable, "-m", "tests.fuzz.replay", str(WORK)]
    plain = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    found = 0
    for decoder, said in results(WORK).items():
        if decoder not in decoders:
            continue
        for name, digest in said.items():
            if digest != plain[decoder][name] or ":" in digest:
                found += 1
                print(f"{decoder}: {WORK / decoder / name}: compiled {digest}, plain {plain[decoder][name]}")
        print(f"{decoder}: {len(said)} inputs read by the compiled modules and by the plain ones")
    return found


def keep(decoder: str) -> None:
    """Replace what is kept of a decoder's corpus by the least that goes everywhere."""
    command = [sys.executable, "-c", MINIMISE, str(WORK), decoder]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    texts = [bytes.fromhex(line) for line in done.stdout.split()]
    folder = CORPUS / decoder
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*"):
        path.unlink()
    for text in texts:
        (folder / hashlib.sha1(text).hexdigest()[:16]).write_bytes(text)
    print(f"{decoder}: {len(texts)} inputs of {sum(map(len, texts))} bytes kept in {folder.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main())
