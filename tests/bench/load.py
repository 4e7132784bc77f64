"""Clients that put load on the application and count truthfully."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from tests.bench.lab import APP_ADDRESS, PORT, Lab

HERE = Path(__file__).parent
WARM_UP_REQUESTS = 500

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


class Load(Protocol):
    """What puts load on the application: another client is another class."""

    @property
    def label(self) -> str: ...

    def warm_up(self, lab: Lab) -> None:
        """A few requests of the same kind, before anything is measured."""

    def run(self, lab: Lab) -> Done:
        """Make the requests. Raises RuntimeError when one failed."""


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

    def warm_up(self, lab: Lab) -> None:
        FixedRate(5_000, WARM_UP_REQUESTS / 5_000, self.path).run(lab)

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

    def warm_up(self, lab: Lab) -> None:
        FixedRate(5_000, WARM_UP_REQUESTS / 5_000, self.path).run(lab)

    def run(self, lab: Lab) -> Done:
        script = lab.directory / "count.lua"
        script.write_text(WRK_COUNT)
        url = f"http://{APP_ADDRESS}:{PORT}{self.path}"
        argv = ["wrk", "-t1", f"-c{self.connections}", f"-d{max(1, round(self.seconds))}s", "-s", str(script), url]
        done = Done(**json.loads(lab.run("client", argv).strip().splitlines()[-1]))
        if done.refused:
            raise RuntimeError(f"{done.refused} of {done.requests} requests failed")
        return done


@dataclass(frozen=True)
class H2load:
    """h2load, to the last answer: `requests` of them, over `connections` with `streams` at a time on each. `rate` a second, 0: as
    fast as it goes. `call`: a gRPC method, asked with a message of 5 bytes; else GET `path`. `frame`: the largest DATA frame that
    it takes."""

    port: int
    requests: int
    rate: int = 0
    path: str = ""
    call: str = ""
    connections: int = 16
    streams: int = 10
    frame: int = 16_384

    @property
    def label(self) -> str:
        return f"{self.rate:,}/s".replace(",", " ") if self.rate else "full speed"

    def warm_up(self, lab: Lab) -> None:
        replace(self, requests=max(WARM_UP_REQUESTS, self.connections) if self.requests > 5_000 else 50, rate=0).run(lab)

    def run(self, lab: Lab) -> Done:
        argv = ["h2load", f"-n{self.requests}", f"-c{self.connections}", f"-m{self.streams}", f"-f{self.frame}", "-w30", "-W30"]
        if self.rate:
            argv.append(f"--rps={self.rate / self.connections}")
        if self.call:
            message = lab.directory / "message"
            message.write_bytes(b"\0\0\0\0\x05hello")
            argv += ["-d", str(message), "-H", "content-type: application/grpc", "-H", "te: trailers"]
        said = lab.run("client", [*argv, f"http://{APP_ADDRESS}:{self.port}{self.path or '/' + self.call}"])
        # finished in 195.92ms, ... / requests: 200 total, ... 200 succeeded, 0 failed / status codes: 200 2xx / traffic: ... (9 ...
        took = re.search(r"finished in ([\d.]+)(us|ms|s)\b", said)
        done = re.search(r"(\d+) done, (\d+) succeeded", said)
        codes = re.search(r"status codes: (\d+) 2xx", said)
        traffic = re.search(r"traffic: \S+ \((\d+)\) total", said)
        if not (took and done and codes and traffic) or codes[1] != done[1] or int(done[1]) != self.requests:
            raise RuntimeError(f"h2load: {said.strip()[-400:]}")
        elapsed_ns = float(took[1]) * {"us": 1e3, "ms": 1e6, "s": 1e9}[took[2]]
        return Done(self.requests, int(done[1]), 0, int(traffic[1]), round(elapsed_ns))


@dataclass(frozen=True)
class RedisBenchmark:
    """redis-benchmark, `requests` of one command with `pipeline` at a time on each of 50 connections, as fast as it goes."""

    requests: int
    pipeline: int = 1
    command: str = "get"

    @property
    def label(self) -> str:
        return f"{self.command.upper()}, full speed" + (f", pipelines of {self.pipeline}" if self.pipeline > 1 else "")

    def warm_up(self, lab: Lab) -> None:
        replace(self, requests=WARM_UP_REQUESTS * self.pipeline).run(lab)

    def run(self, lab: Lab) -> Done:
        argv = ["redis-benchmark", "-h", APP_ADDRESS, "-t", self.command, "-n", str(self.requests), "-P", str(self.pipeline)]
        start_ns = time.monotonic_ns()
        said = lab.run("client", [*argv, "-c", "50", "--csv"])
        elapsed_ns = time.monotonic_ns() - start_ns
        row = said.strip().splitlines()[-1].split('","')  # "test","rps",...
        if len(row) < 2 or float(row[1]) <= 0:
            raise RuntimeError(f"redis-benchmark: {said.strip()[-400:]}")
        # Before that it asks for two settings, each by CONFIG GET.
        return Done(self.requests + 2, self.requests + 2, 0, 0, elapsed_ns, start_ns)


@dataclass(frozen=True)
class MysqlStatements:
    """`requests` of one statement on 8 connections, each behind the answer of the one before; `kind`: query or execute."""

    requests: int
    kind: str = "query"

    @property
    def label(self) -> str:
        return f"{self.kind}, full speed"

    def warm_up(self, lab: Lab) -> None:
        replace(self, requests=WARM_UP_REQUESTS).run(lab)

    def run(self, lab: Lab) -> Done:
        connections = 8
        script = [sys.executable, str(HERE / "mysql_load.py"), APP_ADDRESS, "3306", "bench", self.kind]
        start_ns = time.monotonic_ns()
        answered = int(lab.run("client", [*script, str(self.requests), str(connections)]))
        elapsed_ns = time.monotonic_ns() - start_ns
        # Each connection logs in and says SET NAMES, and prepares.
        more = connections * (3 if self.kind == "execute" else 2)
        return Done(self.requests + more, answered + more, 0, 0, elapsed_ns, start_ns)


@dataclass(frozen=True)
class MongodbFinds:
    """`requests` finds of one document on 8 connections, each behind the answer of the one before."""

    requests: int

    @property
    def label(self) -> str:
        return "find, full speed"

    def warm_up(self, lab: Lab) -> None:
        replace(self, requests=WARM_UP_REQUESTS).run(lab)

    def run(self, lab: Lab) -> Done:
        script = [sys.executable, str(HERE / "mongodb_load.py"), "load", APP_ADDRESS, "27017", str(self.requests), "8"]
        start_ns = time.monotonic_ns()
        answered = int(lab.run("client", script))
        return Done(self.requests, answered, 0, 0, time.monotonic_ns() - start_ns, start_ns)


@dataclass(frozen=True)
class KafkaProduces:
    """`requests` batches of one record on 8 connections, each behind the answer of the one before."""

    requests: int

    @property
    def label(self) -> str:
        return "produce, full speed"

    def warm_up(self, lab: Lab) -> None:
        replace(self, requests=WARM_UP_REQUESTS).run(lab)

    def run(self, lab: Lab) -> Done:
        script = [sys.executable, str(HERE / "kafka_load.py"), "load", APP_ADDRESS, "9092", str(self.requests), "8"]
        start_ns = time.monotonic_ns()
        answered = int(lab.run("client", script))
        return Done(self.requests, answered, 0, 0, time.monotonic_ns() - start_ns, start_ns)


@dataclass(frozen=True)
class AmqpPublishes:
    """`requests` messages of 200 bytes on 8 connections, each behind the confirm of the one before."""

    requests: int

    @property
    def label(self) -> str:
        return "publish and confirm, full speed"

    def warm_up(self, lab: Lab) -> None:
        replace(self, requests=WARM_UP_REQUESTS).run(lab)

    def run(self, lab: Lab) -> Done:
        script = [sys.executable, str(HERE / "amqp_load.py"), "load", APP_ADDRESS, "5672", str(self.requests), "8"]
        start_ns = time.monotonic_ns()
        answered = int(lab.run("client", script))
        return Done(self.requests, answered, 0, 0, time.monotonic_ns() - start_ns, start_ns)


@dataclass(frozen=True)
class Pgbench:
    """pgbench, a statement a transaction, `requests` of them on 8 connections, as fast as it and the server go."""

    requests: int
    mode: str = "simple"
    statement: str = "SELECT 1"

    @property
    def label(self) -> str:
        return f"pgbench -M {self.mode}, {'rows of 1 MB' if 'repeat' in self.statement else self.statement}, full speed"

    def warm_up(self, lab: Lab) -> None:
        replace(self, requests=WARM_UP_REQUESTS).run(lab)

    def run(self, lab: Lab) -> Done:
        script = lab.directory / "pgbench.sql"
        script.write_text(self.statement + ";\n")
        each = max(1, self.requests // 8)
        argv = ["pgbench", "-n", "-M", self.mode, "-f", str(script), "-c", "8", "-t", str(each), "-h", APP_ADDRESS, "-U", "lab"]
        start_ns = time.monotonic_ns()
        said = lab.run("client", [*argv, "postgres"])
        elapsed_ns = time.monotonic_ns() - start_ns
        if f"actually processed: {8 * each}/{8 * each}" not in said:
            raise RuntimeError(f"pgbench: {said.strip()[-400:]}")
        # It logs in once more than it has connections, and prepares the statement on each.
        done = 8 * each + 9 + (8 if self.mode == "prepared" else 0)
        return Done(done, done, 0, 0, elapsed_ns, start_ns)


@dataclass(frozen=True)
class DnsQueries:
    """Queries over UDP, each from a new port, as resolvers send them; `rate` a second, 0: as fast as the answers come."""

    requests: int
    rate: int = 0

    @property
    def label(self) -> str:
        return f"{self.rate:,}/s".replace(",", " ") if self.rate else "full speed"

    def warm_up(self, lab: Lab) -> None:
        DnsQueries(WARM_UP_REQUESTS).run(lab)

    def run(self, lab: Lab) -> Done:
        program = client_program(lab.directory, "dns_client")
        argv = [str(program), APP_ADDRESS, "53", str(self.requests), str(self.rate)]
        return Done(**json.loads(lab.run("client", argv)))


def client_program(directory: Path, name: str = "client") -> Path:
    """A compiled client, in `directory`; compiled on first need. Raises RuntimeError where there is no C compiler."""
    program = directory / name
    if not program.exists():
        compiler = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0]) or shutil.which("cc")
        if compiler is None:
            raise RuntimeError(f"the {name} needs a C compiler")
        source = Path(__file__).with_name(f"{name}.c")
        subprocess.run([compiler, "-O2", "-o", str(program), str(source)], check=True)
    return program
