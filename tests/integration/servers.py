"""The real programs around the receiver, and the receiver itself, each in its namespace.

Every program has a folder with its log, is waited for until it answers, and is stopped by `close()`. What is not
installed skips the test and says which package brings it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from tests.integration import namespaces
from tests.integration.conservation import broken_laws
from tests.integration.namespaces import APPLICATION, BACKEND, Lab, Namespace
from tests.integration.prometheus_text import samples

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
T = TypeVar("T")
UPSTREAMS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pcap-receiver-upstreams"

PACKAGES = {
    "nginx": "Debian package nginx-light",
    "wrk": "Debian package wrk",
    "curl": "Debian package curl",
    "haproxy": "Debian package haproxy",
    "tcpdump": "Debian package tcpdump",
    "nft": "Debian package nftables",
    "ethtool": "Debian package ethtool",
    "dnsmasq": "Debian package dnsmasq-base",
    "unbound": "Debian package unbound",
    "kdig": "Debian package knot-dnsutils",
    "getent": "Debian package libc-bin",
    "mariadbd": "Debian package mariadb-server-core",
    "mariadb-install-db": "Debian package mariadb-server-core",
    "redis-server": "Debian package redis-server",
    "redis-cli": "Debian package redis-tools",
    "redis-benchmark": "Debian package redis-tools",
    "setpriv": "Debian package util-linux",
    "systemd-analyze": "Debian package systemd",
    "ss": "Debian package iproute2",
    "tinyproxy": "Debian package tinyproxy-bin",
    "jaeger": "./dev upstreams jaeger",
    "otelcol": "./dev upstreams otelcol",
    "victoria-metrics": "./dev upstreams victoria-metrics",
    "prometheus": "./dev upstreams prometheus",
    "grpc-lab": "./dev upstreams grpc-lab",
    "ferretdb-lab": "./dev upstreams ferretdb-lab",
}


def program(name: str) -> str:
    """The path of a program, from PATH or from what `./dev upstreams` brought; skips the test when there is none."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:{UPSTREAMS}")
    if found is None:
        pytest.skip(f"NOT RUN: {name} is missing ({PACKAGES[name]})")
    return found


def need(*names: str) -> None:
    """Skips the test where it may not make network namespaces, or where one of these programs is missing."""
    if not namespaces.available():
        pytest.skip("NOT RUN: needs root and network namespaces (iproute2)")
    for name in names:
        program(name)


def wait_for(function: Callable[[], T], what: str, timeout_s: float = 60) -> T:
    """The first true result of `function`. The time limit only ends what hangs; no test measures anything with it."""
    deadline = time.monotonic() + timeout_s
    while True:
        result = function()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: still {result!r} after {timeout_s} s")
        time.sleep(0.05)


def http_get(namespace: Namespace, url: str) -> tuple[int, str]:
    """Status and body of a GET from inside a namespace; (0, reason) when nobody answers."""
    parts = urllib.parse.urlsplit(url)

    def get() -> tuple[int, str]:
        connection = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=30)
        try:
            connection.request("GET", f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/")
            response = connection.getresponse()
            return response.status, response.read().decode()
        except (OSError, HTTPException) as error:
            return 0, str(error)
        finally:
            connection.close()

    return namespace.call(get)


class Program:
    """A running program. `start()` again after `stop()` brings it back with the same arguments."""

    def __init__(self, argv: list[str], namespace: Namespace, folder: Path, env: dict[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.argv = argv
        self.namespace = namespace
        self.folder = folder
        self.env = env or {}
        self.log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.namespace.command(self.argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | self.env,
                cwd=self.folder,
            )

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process

    def wait_ready(self, url: str) -> None:
        def answers() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"{self.argv[0]} ended with {self.process.returncode}:\n{self.output()}")
            return http_get(self.namespace, url)[0] == 200

        wait_for(answers, f"{self.argv[0]} at {url}")

    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait(self, timeout_s: float = 30) -> int:
        """Its exit code, once it has ended by itself."""
        return self.process.wait(timeout_s)

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 30) -> int:
        """Its exit code after a signal; killed when that does not end it."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(number)
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                raise
        return self._process.returncode


class Nginx(Program):
    """The watched server: port 8080 on every address; `/` answers 200, `/status/N` what it says, `/large` 1 MB."""

    CONFIG = """
user root; worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  log_format count '$request_method $uri $status'; access_log {folder}/access.log count buffer=256k flush=500ms;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 8080; root {folder}; default_type text/plain;
    location = /ready {{ access_log off; return 200; }}
    location = /large {{ }}
    location = /status/404 {{ return 404; }}
    location = /status/500 {{ return 500; }}
    location / {{ return 200 "hello\\n"; }}
  }}
}}
"""

    def __init__(self, namespace: Namespace, folder: Path) -> None:
        config = folder / "nginx.conf"
        super().__init__([program("nginx"), "-p", str(folder), "-c", str(config), "-e", "stderr"], namespace, folder)
        config.write_text(self.CONFIG.format(folder=folder))
        (folder / "large").write_bytes(b"x" * 1_000_000)

    def requests(self) -> int:
        """How many requests it has answered by its own log, when that has come to rest."""
        before = -1
        while (now := (self.folder / "access.log").read_bytes().count(b"\n")) != before:
            before = now
            time.sleep(1)  # twice the time after which nginx writes its buffer
        return now


Span = dict[str, Any]


def _value(any_value: dict[str, Any]) -> Any:
    """An AnyValue of OTLP/JSON as the Python value; 64-bit integers are strings there."""
    ((kind, value),) = any_value.items()
    if kind == "intValue":
        return int(value)
    if kind == "arrayValue":
        return [_value(item) for item in value.get("values", ())]
    return value


def _attributes(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return {pair["key"]: _value(pair["value"]) for pair in pairs}


class Collector(Program):
    """A real OpenTelemetry Collector that writes what it gets as OTLP/JSON, one request a line; see collector.yaml.

    With `counting` it only counts spans: for more of them than one wants to parse. `configs` are merged.
    """

    def __init__(self, namespace: Namespace, folder: Path, counting: bool = False, *configs: str) -> None:
        env = {"OUT": str(folder), "TRACES": "debug" if counting else "file/traces"}
        argv = [word for config in configs or ("collector.yaml",) for word in ("--config", str(HERE / config))]
        super().__init__([program("otelcol"), *argv], namespace, folder, env | {"GOMAXPROCS": "2"})

    def _requests(self, name: str) -> Iterator[dict[str, Any]]:
        path = self.folder / name
        for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
            if line.endswith(b"\n"):  # the last one may still be on its way
                yield msgspec.json.decode(line)

    def spans(self) -> list[Span]:
        """Every span that it got, in order; attributes as a dict, those of the resource under `resource`."""
        return [
            span
            | {
                "attributes": _attributes(span.get("attributes", [])),
                "resource": _attributes(group["resource"].get("attributes", [])),
                "scope": scope.get("scope", {}),
                "schemaUrl": scope.get("schemaUrl", ""),
            }
            for request in self._requests("traces.jsonl")
            for group in request["resourceSpans"]
            for scope in group["scopeSpans"]
            for span in scope["spans"]
        ]

    def all_points(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Name of the metric and data point of all that it got, in order; attributes as a dict, the metric under `metric`."""
        for request in self._requests("metrics.jsonl"):
            for group in request.get("resourceMetrics", ()):  # a connector with nothing to say says so
                for scope in group["scopeMetrics"]:
                    for item in scope["metrics"]:
                        (body,) = (item[kind] for kind in ("sum", "gauge", "histogram") if kind in item)
                        for point in body["dataPoints"]:
                            found = {"attributes": _attributes(point.get("attributes", [])), "metric": item}
                            yield item["name"], point | found

    def points(self, metric: str) -> list[dict[str, Any]]:
        """The data points of one metric."""
        return [point for name, point in self.all_points() if name == metric]

    def accepted_spans(self) -> int:
        """How many spans it has accepted, by its own count; since its start."""
        page = http_get(self.namespace, "http://127.0.0.1:8888/metrics")[1]
        return int(sum(samples(page, "otelcol_receiver_accepted_spans")))

    def exported(self) -> str:
        """Everything it wrote, as text, to search in."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("*.jsonl")))


class VictoriaMetrics(Program):
    """A real single-node VictoriaMetrics on port 8428."""

    def __init__(self, namespace: Namespace, folder: Path) -> None:
        argv = [program("victoria-metrics"), "-httpListenAddr=:8428", f"-storageDataPath={folder}/store"]
        super().__init__([*argv, "-retentionPeriod=1d", "-search.latencyOffset=0s"], namespace, folder)

    def query(self, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
        """What an instant query gives now: value by sorted labels. Flushes first: a fresh sample is not searched."""
        http_get(self.namespace, "http://127.0.0.1:8428/internal/force_flush")
        parameters = urllib.parse.urlencode({"query": expression, "nocache": "1"})
        status, text = http_get(self.namespace, f"http://127.0.0.1:8428/api/v1/query?{parameters}")
        assert status == 200, text
        return {
            tuple(sorted(series["metric"].items())): float(series["value"][1])
            for series in json.loads(text)["data"]["result"]
        }

    def value(self, expression: str) -> float | None:
        """The one value of a query that gives one, None when it gives none."""
        result = self.query(expression)
        assert len(result) <= 1, result
        return next(iter(result.values()), None)

    def exported(self, match: str = '{__name__!=""}') -> str:
        """Every sample that it holds, as JSON lines, to search in."""
        http_get(self.namespace, "http://127.0.0.1:8428/internal/force_flush")
        parameters = urllib.parse.urlencode({"match[]": match})
        return http_get(self.namespace, f"http://127.0.0.1:8428/api/v1/export?{parameters}")[1]


class Prometheus(Program):
    """A real Prometheus on port 9090 that takes remote write, 1.0 and 2.0."""

    def __init__(self, namespace: Namespace, folder: Path) -> None:
        argv = [program("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/store"]
        super().__init__(
            [*argv, "--web.listen-address=0.0.0.0:9090", "--web.enable-remote-write-receiver"], namespace, folder
        )
        (folder / "prometheus.yml").write_text("global: {}\n")

    def value(self, expression: str) -> float | None:
        parameters = urllib.parse.urlencode({"query": expression})
        status, text = http_get(self.namespace, f"http://127.0.0.1:9090/api/v1/query?{parameters}")
        assert status == 200, text
        result = json.loads(text)["data"]["result"]
        assert len(result) <= 1, result
        return float(result[0]["value"][1]) if result else None


class Jaeger(Program):
    """A real Jaeger that keeps traces in memory: OTLP on port 14317, its query API on 16686."""

    def __init__(self, namespace: Namespace, folder: Path) -> None:
        ports = {"collector.otlp.grpc": 14317, "collector.otlp.http": 14318, "query.http-server": 16686, "admin.http": 14269}
        argv = [program("jaeger"), *(f"--{name}.host-port=127.0.0.1:{port}" for name, port in ports.items())]
        super().__init__(argv, namespace, folder)

    def trace(self, trace_id: str) -> list[dict[str, Any]]:
        """The spans of a trace, as Jaeger tells them; none when it has none."""
        status, text = http_get(self.namespace, f"http://127.0.0.1:16686/api/traces/{trace_id}")
        return json.loads(text)["data"][0]["spans"] if status == 200 else []


def receiver_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "receiver", *arguments]


RECEIVER_ENV = {"PYTHONPATH": str(ROOT), "OTEL_SERVICE_NAME": "shop"}


class Receiver(Program):
    """pcap-receiver beside nginx; `settings` are `--set` arguments (`receivers.pcap.interfaces=[eth0]`)."""

    HEALTH = "http://localhost:13143/"

    # What an operator would write, with exporters that export every second.
    CONFIG = f"""
receivers:
  pcap: {{interfaces: [any], exclude: {{ports: [13143, 8898]}}}} # the tests ask for health and own metrics
exporters:
  otlp_grpc:
    endpoint: "{BACKEND}:4317"
    tls: {{insecure: true}}
    interval: 1s
    retry_on_failure: {{initial_interval: 500ms, max_interval: 1s}}
  prometheus_remote_write: {{endpoint: "http://{BACKEND}:8428/api/v1/write", interval: 1s}}
extensions:
  health_check: {{endpoint: "localhost:13143"}}
service:
  extensions: [health_check]
  pipelines:
    traces: {{receivers: [pcap], exporters: [otlp_grpc]}}
    metrics: {{receivers: [pcap], exporters: [otlp_grpc, prometheus_remote_write]}}
"""

    def __init__(self, namespace: Namespace, folder: Path, *settings: str) -> None:
        arguments = ["--config", str(folder / "config.yaml")]
        for setting in settings:
            arguments += ["--set", setting]
        super().__init__(receiver_command(*arguments), namespace, folder, dict(RECEIVER_ENV))
        self.config = folder / "config.yaml"
        self.config.write_text(self.CONFIG)
        self.reloaded = False

    def page(self) -> str:
        """Its page of own metrics now, "" when it does not answer. Each look at it is a check that everything adds up."""
        status, page = http_get(self.namespace, "http://localhost:8898/metrics")
        if status != 200:
            return ""
        broken = broken_laws(page, exporters=not self.reloaded)
        assert not broken, f"not conserved: {'; '.join(broken)}\n{page}"
        return page

    def own(self, name: str, **labels: str) -> int:
        """The sum of one of its own metrics now, over the labels not named; 0 when there is none."""
        return int(sum(samples(self.page(), f"pcap_receiver_{name}", **labels)))

    def reload(self, config: str | None, said: str) -> str:
        """Give it another configuration, or take the file away; what it logs about that until it has said `said`."""
        before = len(self.output())
        if config is None:
            self.config.unlink()
        else:
            self.config.write_text(config)
        self.reloaded = True
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: said in self.output()[before:], said)
        return self.output()[before:]

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 30) -> int:
        """As of every program, after a last look."""
        try:
            if self._process is not None and self._process.poll() is None:
                self.page()
        finally:
            status = super().stop(number, timeout_s)
        return status

    def roundtrips(self) -> int:
        return self.own("roundtrips_total")

    def spans_sent(self) -> int:
        return self.own("exporter_sent_spans_total")

    def spans_lost(self) -> int:
        return self.own("exporter_send_failed_spans_total") + self.own("exporter_enqueue_failed_spans_total")

    def packets_dropped(self) -> int:
        return sum(self.own("capture_dropped_total", reason=reason) for reason in ("kernel", "interface"))

    def settle(self) -> None:
        """Wait until it has seen all there is to see, and each span is sent or given up."""

        def figures() -> tuple[int, int]:
            return self.roundtrips(), self.spans_sent() + self.spans_lost()

        def at_rest() -> bool:
            before = figures()
            time.sleep(1.5)  # libpcap hands a block over up to its timeout late
            return before == figures() and before[0] == before[1]

        wait_for(at_rest, "roundtrips = spans sent + lost", timeout_s=120)


class Site(Lab):
    """A lab with its programs. Each is started by the method of its name and stopped, last first, by `close()`."""

    def __init__(self, folder: Path, routed: bool = False) -> None:
        self.folder = folder
        self.programs: list[Program] = []
        super().__init__(routed)

    def _start(self, one: Program, url: str) -> None:
        self.programs.append(one)
        one.start()
        one.wait_ready(url)

    def nginx(self) -> Nginx:
        (self.folder / "nginx").mkdir()
        nginx = Nginx(self.application, self.folder / "nginx")
        self._start(nginx, "http://127.0.0.1:8080/ready")
        return nginx

    def collector(self, counting: bool = False, namespace: Namespace | None = None, *configs: str) -> Collector:
        """In `backend`, or a second one elsewhere."""
        folder = self.folder / ("otelcol" if namespace is None else f"otelcol-{namespace.name}")
        collector = Collector(namespace or self.backend, folder, counting, *configs)
        self._start(collector, "http://127.0.0.1:13133/")
        return collector

    def victoria_metrics(self, namespace: Namespace | None = None) -> VictoriaMetrics:
        """In `backend`, or a second one elsewhere."""
        folder = self.folder / ("victoria-metrics" if namespace is None else f"victoria-metrics-{namespace.name}")
        store = VictoriaMetrics(namespace or self.backend, folder)
        self._start(store, "http://127.0.0.1:8428/health")
        return store

    def prometheus(self) -> Prometheus:
        (self.folder / "prometheus").mkdir()
        prometheus = Prometheus(self.backend, self.folder / "prometheus")
        self._start(prometheus, "http://127.0.0.1:9090/-/ready")
        return prometheus

    def jaeger(self) -> Jaeger:
        """Give its Collector `collector-jaeger.yaml` besides."""
        jaeger = Jaeger(self.backend, self.folder / "jaeger")
        self._start(jaeger, "http://127.0.0.1:14269/")
        return jaeger

    def receiver(self, *settings: str, env: dict[str, str] | None = None) -> Receiver:
        """A receiver that captures by now; `env` is added to its environment."""
        (self.folder / "receiver").mkdir()
        receiver = Receiver(self.application, self.folder / "receiver", *settings)
        receiver.env |= env or {}
        self._start(receiver, Receiver.HEALTH)
        return receiver

    def run_receiver(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A receiver that is expected to end by itself."""
        return self.run_in_application(receiver_command(*arguments))

    def run_in_application(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """A command with the receiver's environment, to its end; its exit code is the caller's to look at."""
        environment = (f"{key}={value}" for key, value in RECEIVER_ENV.items())
        return self.application.run("env", *environment, *command, check=False)

    def background(self, argv: list[str], namespace: Namespace, ready: str) -> Program:
        """A program that runs until it is stopped, once its output contains `ready`."""
        one = Program(argv, namespace, self.folder / f"{len(self.programs)}-{Path(argv[0]).name}")
        self.programs.append(one)
        one.start()

        def said() -> bool:
            if one.process.poll() is not None:
                raise AssertionError(f"{argv[0]} ended with {one.process.returncode}:\n{one.output()}")
            return ready in one.output()

        wait_for(said, f"{argv[0]}: {ready}")
        return one

    def delay(self, milliseconds: float) -> None:
        """From now on the router takes that long for each packet, in both directions."""
        if not Path("/dev/net/tun").exists():
            pytest.skip("NOT RUN: /dev/net/tun is missing (kernel module tun), which packets are delayed by")
        self.background([sys.executable, str(HERE / "delay.py"), str(milliseconds)], self.router, "ready")

    def curl(self, path: str = "/", *options: str) -> str:
        url = f"http://{APPLICATION}:8080{path}"
        return self.client.run(program("curl"), "-sS", "--max-time", "30", *options, url).stdout

    def wrk(self, seconds: int, connections: int = 16, pause_ms: int = 0, finish: bool = True) -> int:
        """How many responses wrk counted; each connection pauses before a request. With `finish` no request is in flight at the
        end, and the count is exact."""
        url = f"http://{APPLICATION}:8080/"
        # Without `finish` wrk ends before it would send no more.
        last_s, end_s = (seconds, seconds + 2) if finish else (2 * seconds, seconds)
        script = ["-s", str(HERE / "wrk-finish.lua"), url, "--", str(last_s), str(pause_ms)]
        wrk = [program("wrk"), "-t1", f"-c{connections}", f"-d{end_s}s", *script]
        output = self.client.run(*wrk, timeout_s=seconds + 60).stdout
        assert "Socket errors" not in output, output
        assert "Non-2xx" not in output, output
        count = re.search(r"(\d+) requests in", output)
        assert count, output
        return int(count[1])

    def close(self) -> None:
        """Raises AssertionError when a receiver's figures do not add up at its end, with everything taken down."""
        wrong: list[AssertionError] = []
        while self.programs:
            one = self.programs.pop()
            try:
                one.stop()
            except subprocess.TimeoutExpired:
                print(f"{one.folder.name}: had to be killed")
            except AssertionError as error:
                wrong.append(error)
            print(f"--- {one.folder.name}\n{one.output()[-3000:]}")  # pytest shows it when the test failed
        super().close()
        if wrong:
            raise wrong[0]
