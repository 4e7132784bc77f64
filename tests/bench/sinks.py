"""Where the observer exports to: a real Collector and a real VictoriaMetrics when they are there, else a process that
takes both protocols and drops what it gets. They share the machine's cores with all the rest."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.bench.lab import SINK_ADDRESS, Lab

SINK = Path(__file__).with_name("sink.py")
OTLP_PORT, HEALTH_PORT, REMOTE_WRITE_PORT = 4317, 13133, 8428

COLLECTOR = f"""
extensions:
  health_check: {{endpoint: "0.0.0.0:{HEALTH_PORT}"}}
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: "0.0.0.0:{OTLP_PORT}"}}}}}}
exporters:
  debug: {{verbosity: basic}}  # one line a request, and the log level keeps that back
service:
  extensions: [health_check]
  telemetry: {{metrics: {{level: none}}, logs: {{level: error}}}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [debug]}}
    metrics: {{receivers: [otlp], exporters: [debug]}}
"""


def find(name: str) -> Path | None:
    """A program of the upstreams: on the PATH, or where the project's script puts it."""
    on_path = shutil.which(name)
    if on_path:
        return Path(on_path)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    program = cache / "pcap-receiver-upstreams" / name
    return program if program.exists() else None


class Sinks:
    """Both, started in the sinks' namespace. `description` says which they are, for the report."""

    def __init__(self, lab: Lab) -> None:
        collector, store = find("otelcol"), find("victoria-metrics")
        if collector:
            file = lab.directory / "collector.yaml"
            file.write_text(COLLECTOR)
            log = (lab.directory / "collector.log").open("w")
            self.collector = lab.popen("sink", [str(collector), "--config", str(file)], stderr=log)
            lab.await_answer("app", f"http://{SINK_ADDRESS}:{HEALTH_PORT}/", self.collector)
        if store:
            options = [f"-httpListenAddr=0.0.0.0:{REMOTE_WRITE_PORT}", f"-storageDataPath={lab.directory / 'store'}"]
            self.store = lab.popen("sink", [str(store), *options, "-retentionPeriod=1d"])
            lab.await_answer("app", f"http://{SINK_ADDRESS}:{REMOTE_WRITE_PORT}/health", self.store)
        wanted = [] if collector else [f"otlp={OTLP_PORT}"]
        wanted += [] if store else [f"remote-write={REMOTE_WRITE_PORT}"]
        if wanted:
            argv = [sys.executable, str(SINK), "0.0.0.0", *wanted]
            self.trivial = lab.popen("sink", argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            if self.trivial.stdout is None or self.trivial.stdout.readline() != "ready\n":
                raise RuntimeError("the sink did not start")
        names = (
            "Collector" if collector else "a process that drops it",
            "VictoriaMetrics" if store else "a process that drops it",
        )
        self.description = f"OTLP to {names[0]}, remote write to {names[1]}"
