"""Clients that put load on the application and count truthfully."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from tests.bench.lab import APP_ADDRESS, PORT, Lab

WRK_COUNT = """
done = function(summary, latency, requests)
  local e = summary.errors
  local form = '{"requests": %d, "responses": %d, "bytes": %d, "elapsed_ns": %d, "refused": %d}\\n'
  io.write(string.format(form, summary.requests, summary.requests, summary.bytes, summary.duration * 1000,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True)
class Done:
    """What a client did. `late_ns` is the longest that a request was sent behind its time, `start_ns` monotonic."""

    requests: int
    responses: int
    refused: int
    bytes: int
    elapsed_ns: int
    start_ns: int = 0
    late_ns: int = 0

    @property
    def rate(self) -> float:
        return self.responses * 1e9 / self.elapsed_ns


@dataclass(frozen=True)
class FixedRate:
    """`rate` requests a second, evenly spaced, until `seconds` worth are answered. Rate 0: as fast as the answers come,
    and unlike wrk to the last answer: for counting losses."""

    rate: int
    seconds: float
    path: str = "/200"
    connections: int = 16

    @property
    def label(self) -> str:
        return f"{self.rate:,}/s".replace(",", " ") if self.rate else "full speed to the last answer"

    def argv(self, lab: Lab, total: int | None = None, hold: bool = False) -> list[str]:
        """The command line of the client."""
        count = round(self.rate * self.seconds) if total is None else total
        seconds = 0.0 if self.rate else self.seconds
        numbers = [str(self.connections), str(self.rate), str(count), str(seconds), str(int(hold))]
        return [str(client_program(lab.directory)), APP_ADDRESS, str(PORT), self.path, *numbers]

    def run(self, lab: Lab) -> Done:
        done = Done(**json.loads(lab.run("client", self.argv(lab))))
        if done.refused:
            raise RuntimeError(f"{done.refused} of {done.requests} requests were refused")
        return done


@dataclass(frozen=True)
class Wrk:
    """wrk at full speed; it stops with requests in flight, at most one for each connection."""

    seconds: float
    path: str = "/200"
    connections: int = 32

    @property
    def label(self) -> str:
        return "full speed"

    def run(self, lab: Lab) -> Done:
        script = lab.directory / "count.lua"
        script.write_text(WRK_COUNT)
        url = f"http://{APP_ADDRESS}:{PORT}{self.path}"
        argv = ["wrk", "-t1", f"-c{self.connections}", f"-d{max(1, round(self.seconds))}s", "-s", str(script), url]
        done = Done(**json.loads(lab.run("client", argv).strip().splitlines()[-1]))
        if done.refused:
            raise RuntimeError(f"{done.refused} of {done.requests} requests failed")
        return done


Load = FixedRate | Wrk


def client_program(directory: Path) -> Path:
    """The compiled client, in `directory`; compiled on first need. Raises RuntimeError where there is no C compiler."""
    program = directory / "client"
    if not program.exists():
        compiler = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0]) or shutil.which("cc")
        if compiler is None:
            raise RuntimeError("the fixed-rate client needs a C compiler")
        source = Path(__file__).with_name("client.c")
        subprocess.run([compiler, "-O2", "-o", str(program), str(source)], check=True)
    return program
