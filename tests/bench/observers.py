"""Who watches: a class with a name, a command line and a way to ask what it counted; another peer is another class."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

from tests.bench import process
from tests.bench.lab import PORT, SINK_ADDRESS, Lab

SELF_METRICS = "http://localhost:8898/metrics"
RECEIVER = [sys.executable, "-c", "import sys; from receiver.cli import main; sys.exit(main())"]
ROOT = Path(__file__).resolve().parents[2]


class Observer:
    """A program in the application's namespace.

    `settle_s` is how long after the load it may still have work that the load made: a read timeout, an open batch; what
    it does by the clock alone, as exports of metrics, is in its cost for as long as the load lasts. `exports` says
    whether it needs the sinks.
    """

    name: ClassVar[str]
    settle_s: ClassVar[float] = 1.0
    exports: ClassVar[bool] = False

    def __init__(self) -> None:
        self.lab: Lab
        self.started: subprocess.Popen[str]
        self.log: Path

    def argv(self) -> list[str]:
        """The command line; `self.lab` is there."""
        raise NotImplementedError  # abstract: each kind has its own

    def counted(self) -> int | None:
        """Roundtrips seen since its start; None when it cannot say while it runs."""
        return None

    def dropped(self) -> int | None:
        """Packets that the kernel had to drop, since its start; None when it cannot say while it runs."""
        return None

    def launch(self, lab: Lab) -> None:
        """Start it, and return at once."""
        self.lab = lab
        self.log = lab.directory / f"{self.name.replace(' ', '-')}.log"
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with self.log.open("w") as log:
            self.started = lab.popen("app", self.argv(), stdout=subprocess.DEVNULL, stderr=log, env=environment)

    def await_ready(self, patience_s: float = 30.0) -> None:
        """Wait until it captures: until it holds a bound packet socket. Raises RuntimeError when it does not."""
        end = time.monotonic() + patience_s
        while not self.captures():
            if self.started.poll() is not None:
                raise RuntimeError(f"exit {self.started.returncode}: {self.last_words()}")
            if time.monotonic() > end:
                self.lab.stop(self.started)
                raise RuntimeError(f"no capture after {patience_s} s: {self.last_words()}")
            time.sleep(0.002)

    def captures(self) -> bool:
        """Whether it is in its namespace, and that has a packet socket that takes packets."""
        here = Path("/run/netns", self.lab.names["app"])
        try:
            # Until `ip netns exec` has moved it there, it is among the packet sockets of this process's namespace.
            if not Path(f"/proc/{self.started.pid}/ns/net").samefile(here):
                return False
            # sk RefCnt Type Proto Iface R Rmem User Inode, of the namespace of the process
            lines = Path(f"/proc/{self.started.pid}/net/packet").read_text().splitlines()[1:]
        except OSError:
            return False
        return any(words[3] != "0000" and words[5] == "1" for words in map(str.split, lines))

    def cpu_ns(self) -> int:
        return process.tree_cpu_ns(self.started.pid)

    def settle(self, patience_s: float = 20.0) -> None:
        """Wait for the work that is left: `settle_s`, and then until it uses less than 2 % of a core."""
        time.sleep(self.settle_s)
        end = time.monotonic() + patience_s
        before = self.cpu_ns()
        while time.monotonic() < end:
            time.sleep(0.25)
            now = self.cpu_ns()
            if now - before < 5_000_000:
                return
            before = now

    def memory(self) -> process.Memory:
        return process.memory(self.started.pid)

    def last_words(self) -> str:
        """The last lines that it logged."""
        return " | ".join(self.log.read_text().strip().splitlines()[-3:])

    def stop(self) -> None:
        self.lab.stop(self.started)


class Tcpdump(Observer):
    """The floor: what the kernel's tap and a read of every packet cost."""

    name = "tcpdump"

    def argv(self) -> list[str]:
        return ["tcpdump", "-i", "any", "-n", "-Z", "root", "-w", "/dev/null"]

    def packets(self) -> tuple[int, int]:
        """Captured, and dropped by the kernel; after `stop()`."""
        said = self.log.read_text()
        captured = re.search(r"(\d+) packets? captured", said)
        dropped = re.search(r"(\d+) packets? dropped by kernel", said)
        if not captured or not dropped:
            raise RuntimeError(f"tcpdump said: {said}")
        return int(captured[1]), int(dropped[1])


class CaptureOnly(Observer):
    """pcapy's `next_batch` with the receiver's knobs, and nothing behind it: the part of the cost that is capture."""

    name = "capture only"
    snaplen: ClassVar[int] = 65_535

    def argv(self) -> list[str]:
        return [sys.executable, str(Path(__file__).with_name("capture_only.py")), "tcp", str(self.snaplen)]


class CaptureHeads(CaptureOnly):
    """The same with a snaplen that keeps heads and cuts bodies: what a large body costs beside being copied."""

    name = "capture, snaplen 512"
    snaplen = 512


class Receiver(Observer):
    """Ours, as it is configured by its users. Subclasses choose pipelines and exporters.

    `layer4`: with its figures of connections, which need every acknowledgement; the bars of layer 7 are meant without.
    """

    exporters: ClassVar[str]
    pipelines: ClassVar[str]
    layer4: ClassVar[bool] = False

    def argv(self) -> list[str]:
        file = self.lab.directory / "receiver.yaml"
        file.write_text(self.configuration())
        return [*RECEIVER, "--config", str(file)]

    def configuration(self) -> str:
        layer4 = str(self.layer4).lower()
        return RECEIVER_CONFIGURATION.format(port=PORT, layer4=layer4, exporters=self.exporters, pipelines=self.pipelines)

    def counted(self) -> int:
        return sum_of("pcap_receiver_roundtrips", self._metrics())

    def dropped(self) -> int:
        return sum_of("pcap_receiver_capture_dropped", self._metrics(), reasons=("kernel", "interface"))

    def await_ready(self, patience_s: float = 30.0) -> None:
        super().await_ready(patience_s)
        self.lab.await_answer("app", SELF_METRICS, self.started)

    def _metrics(self) -> str:
        return self.lab.get("app", SELF_METRICS)


REMOTE_WRITE = f'prometheus_remote_write: {{endpoint: "http://{SINK_ADDRESS}:8428/api/v1/write", interval: 5s}}'
OTLP = f'otlp_grpc: {{endpoint: "{SINK_ADDRESS}:4317", tls: {{insecure: true}}}}'


class ReceiverMetrics(Receiver):
    """Metrics only, by remote write every 5 s."""

    name = "ours, metrics"
    exports = True
    exporters = REMOTE_WRITE
    pipelines = "metrics: {receivers: [pcap], exporters: [prometheus_remote_write]}"


class ReceiverMetricsLayer4(ReceiverMetrics):
    """The same with layer 4."""

    name = "ours, metrics, layer 4"
    layer4 = True


class ReceiverSpans(Receiver):
    """Every span over OTLP gRPC, metrics by remote write every 5 s."""

    name = "ours, all spans"
    settle_s = 2.0  # an open batch of spans waits a second
    exports = True
    exporters = f"{OTLP}\n  {REMOTE_WRITE}"
    pipelines = """metrics: {receivers: [pcap], exporters: [prometheus_remote_write]}
    traces: {receivers: [pcap], exporters: [otlp_grpc]}"""


class ReceiverSpansBuilt(Receiver):
    """Every span written and then dropped, metrics by remote write every 5 s."""

    name = "ours, spans built"
    exports = True
    exporters = f"debug: {{verbosity: basic}}\n  {REMOTE_WRITE}"
    pipelines = """metrics: {receivers: [pcap], exporters: [prometheus_remote_write]}
    traces: {receivers: [pcap], exporters: [debug]}"""


class ReceiverBoth(ReceiverSpans):
    """Spans and metrics over OTLP gRPC, and metrics by remote write: everything on, both exporters at full work."""

    name = "ours, both exporters"
    layer4 = True
    exporters = f"{OTLP[:-1]}, interval: 5s}}\n  {REMOTE_WRITE}"
    pipelines = """metrics: {receivers: [pcap], exporters: [otlp_grpc, prometheus_remote_write]}
    traces: {receivers: [pcap], exporters: [otlp_grpc]}"""


RECEIVER_CONFIGURATION = """
receivers:
  pcap:
    interfaces: [any]
    ports: {{http: [{port}]}}
    layer4: {{enabled: {layer4}}}
exporters:
  {exporters}
service:
  pipelines:
    {pipelines}
"""


def sum_of(name: str, text: str, reasons: tuple[str, ...] = ()) -> int:
    """The sum over all series of a counter in Prometheus text, `_total` or not; of those with one of `reasons` if any.

    Raises RuntimeError when there is no such series: a count that is not there is not zero.
    """
    total, found = 0.0, False
    for line in text.splitlines():
        head, _, value = line.rpartition(" ")
        metric, _, labels = head.partition("{")
        if metric in (name, f"{name}_total"):
            found = True
            if not reasons or any(f'reason="{reason}"' in labels for reason in reasons):
                total += float(value)
    if not found:
        raise RuntimeError(f"no metric {name}")
    return round(total)
