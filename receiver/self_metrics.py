"""What is said about ourselves: on the metrics page, and with the other metrics over every exporter.

Room: service. Reads the counters of every room and gives them the names of `telemetry/semconv.py`. All of it is read at one moment
between two batches, so the laws of conservation hold in each snapshot:
packets = parsed + skipped; requests read = paired + one_way + unanswered + repeated + open; roundtrips = paired + one_way +
unanswered = the states of `pcap_receiver.spans`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping

import msgspec

from receiver.config import Config
from receiver.engine import Engine
from receiver.export.exporter import Exporter
from receiver.pcap.capture import CaptureStats
from receiver.remote_write.name import label_name, label_value, metric_name, number_text
from receiver.telemetry import semconv
from receiver.telemetry.pipeline import Telemetry
from receiver.telemetry.snapshot import Attributes, Metric, NumberPoint

_PAGE = os.sysconf("SC_PAGESIZE")


class SpanCounts(msgspec.Struct):
    """Spans between the open batch and the exporters' queues."""

    taken: int = 0  # handed to every exporter of the traces pipeline


class Accounts:
    """Where the counters are."""

    def __init__(self, config: Config, engine: Engine, telemetry: Telemetry, start_ns: int) -> None:
        self.config = config
        self.engine = engine
        self.telemetry = telemetry
        self.start_ns = start_ns
        self.began_s = time.monotonic()
        self.spans = SpanCounts()
        self.exporters: dict[str, Exporter] = {}
        self._known: dict[Attributes, Attributes] = {}

    def metrics(self, capture: CaptureStats) -> list[Metric]:
        """All self-metrics that have a value."""
        out = _Collector(self.start_ns, self._known)
        engine, table, reading = self.engine, self.engine.table, self.engine.reading
        pairing, limits = reading.pairing, table.reassembly
        out.add("pcap_receiver.capture.packets", engine.packets)
        out.add("pcap_receiver.capture.packets.parsed", engine.parsed)
        out.add_each("pcap_receiver.capture.packets.skipped", "reason", engine.skipped_packets())
        fragments = engine.fragments
        out.add_each("pcap_receiver.capture.fragments", "state", {**fragments.states, "waiting": fragments.waiting})
        out.add("pcap_receiver.capture.bytes", engine.bytes)
        out.add_each(
            "pcap_receiver.capture.dropped",
            "reason",
            {"kernel": capture.dropped_kernel, "interface": capture.dropped_interface},
        )
        out.add("pcap_receiver.capture.clock_steps", engine.clock.steps)
        out.add("pcap_receiver.flows.open", table.open)
        out.add("pcap_receiver.flows.opened", table.opened)
        ended = {"closed": table.closed, "evicted": table.evicted, "idle": table.expired}
        out.add_each("pcap_receiver.flows.ended", "reason", ended)
        out.add_each("pcap_receiver.flows.detected", "protocol", reading.detected)
        out.add_each("pcap_receiver.flows.undetected", "reason", {"undecided": 0, "unknown": 0, **reading.undetected})
        out.add_each("pcap_receiver.flows.preambles", "kind", reading.preambles)
        out.add("pcap_receiver.stream.gaps", limits.gaps)
        missing = {
            "unseen": limits.bytes_unseen,
            "unacknowledged": limits.bytes_missing - limits.bytes_unseen,
            "truncated": limits.bytes_truncated,
        }
        out.add_each("pcap_receiver.stream.bytes_missing", "reason", missing)
        odd = {
            "repeated": limits.retransmitted,
            "overlapped": limits.overlapped,
            "conflicting": limits.conflicting,
            "early": limits.reordered,
            "refilled": limits.refilled,
            "after_close": limits.after_close,
        }
        out.add_each("pcap_receiver.stream.segments", "kind", odd)
        out.add("pcap_receiver.stream.restarts", limits.restarted)
        out.add("pcap_receiver.stream.bytes_unread", reading.bytes_set_aside)
        out.add_each("pcap_receiver.decode.gaps", "protocol", reading.gaps)
        for (protocol, reason), count in sorted(reading.errors.items()):
            out.add("pcap_receiver.decode.errors", count, protocol=protocol, reason=reason)
        out.add_each("pcap_receiver.decode.messages", "direction", {"request": pairing.requests, "response": pairing.responses})
        requests = {
            "paired": pairing.paired,
            "one_way": pairing.one_way,
            "unanswered": pairing.unanswered,
            "repeated": pairing.repeated,
        }
        for state, count in {**requests, "open": pairing.open}.items():
            out.add("pcap_receiver.messages", count, direction="request", state=state)
        out.add("pcap_receiver.messages", pairing.paired, direction="response", state="paired")
        out.add("pcap_receiver.messages", pairing.unmatched, direction="response", state="unmatched")
        out.metrics.append(self.telemetry.metrics.roundtrips(self.start_ns))
        reached = {
            "pending_requests": pairing.refused,
            "series_per_metric": self.telemetry.metrics.overflowed
            + (engine.layer4.table.overflowed if engine.layer4 is not None else 0),
            "out_of_order": limits.forced,
            "flows": table.evicted,
            "fragments": fragments.evicted,
        }
        for counted in (table.reached, reading.limits):
            reached.update(counted)
        if self.telemetry.metrics.routes is not None:
            reached["routes"] = self.telemetry.metrics.routes.overflowed
        spans = self.telemetry.spans
        if spans is not None:
            reached["span_text"] = spans.cut + spans.redactor.truncations
            reached["span_batch"] = spans.crowded
        out.add_each("pcap_receiver.limits.hit", "limit", reached)
        out.add_each("pcap_receiver.telemetry.errors", "stage", dict(self.telemetry.errors))
        if spans is not None:
            out.add("pcap_receiver.redactions", spans.redactor.redactions)
            states = {
                "batched": spans.count,
                "exported": self.spans.taken,
                "not_sampled": self.telemetry.not_sampled,
                "not_emitted": self.telemetry.not_emitted,
                "instrumented": self.telemetry.instrumented,
                "failed": self.telemetry.errors.get("roundtrip", 0),
            }
            out.add_each("pcap_receiver.spans", "state", states)
        for name, exporter in self.exporters.items():
            self._exporter(out, name, exporter)
        out.add("pcap_receiver.process.uptime", time.monotonic() - self.began_s)
        out.add("pcap_receiver.process.cpu_seconds", time.process_time())
        out.add("pcap_receiver.process.memory_rss", resident_bytes())
        return out.metrics

    def _exporter(self, out: _Collector, name: str, exporter: Exporter) -> None:
        for signal, items, stats in exporter.signals():
            out.add(f"pcap_receiver.exporter.sent_{items}", stats.sent, exporter=name)
            failed = dict(stats.send_failed)
            if stats.rejected:
                failed["rejected"] = stats.rejected
            for reason, count in sorted(failed.items()):
                out.add(f"pcap_receiver.exporter.send_failed_{items}", count, exporter=name, reason=reason)
            out.add(f"pcap_receiver.exporter.enqueue_failed_{items}", sum(stats.enqueue_failed.values()), exporter=name)
            out.add("pcap_receiver.exporter.queue_size", stats.size_bytes, exporter=name, signal=signal)
            out.add("pcap_receiver.exporter.queue_capacity", stats.capacity_bytes, exporter=name, signal=signal)
            out.add("pcap_receiver.exporter.queue_items", stats.queued, exporter=name, signal=signal)


class _Collector:
    """Gathers points under their definitions, in the table's order of first use."""

    def __init__(self, start_ns: int, known: dict[Attributes, Attributes]) -> None:
        """`known` is kept from one gathering to the next: exporters know a series again by the identity of its attributes. Here
        they are words of our own, few, and strings all."""
        self._start_ns = start_ns
        self._known = known
        self._points: dict[str, list[NumberPoint]] = {}
        self._extra: list[Metric] = []

    @property
    def metrics(self) -> list[Metric]:
        if self._points:
            for name, points in self._points.items():
                definition = semconv.SELF[name]
                kind = definition.kind
                self._extra.append(
                    Metric(
                        name=name,
                        unit=definition.unit,
                        description=definition.description,
                        kind=kind,
                        points=tuple(points),
                    )
                )
            self._points = {}
        return self._extra

    def add(self, name: str, value: int | float, **labels: str) -> None:
        definition = semconv.SELF[name]
        attributes: Attributes = tuple(sorted(labels.items()))
        attributes = self._known.setdefault(attributes, attributes)
        start_ns = 0 if definition.kind == "gauge" else self._start_ns
        self._points.setdefault(name, []).append(NumberPoint(attributes=attributes, start_ns=start_ns, value=value))

    def add_each(self, name: str, label: str, values: Mapping[str, int]) -> None:
        for key, value in values.items():
            self.add(name, value, **{label: key})


def exposition(metrics: Iterable[Metric]) -> str:
    """Prometheus text format 0.0.4 of sums and gauges."""
    lines: list[str] = []
    for metric in metrics:
        name = metric_name(metric)
        lines.append(f"# HELP {name} {metric.description}")
        lines.append(f"# TYPE {name} {'counter' if metric.kind == 'sum' else 'gauge'}")
        for point in metric.points:
            if isinstance(point, NumberPoint):
                labels = ",".join(
                    f'{label_name(key)}="{_escape(label_value(value))}"' for key, value in point.attributes
                )
                lines.append(f"{name}{{{labels}}} {number_text(point.value)}" if labels else f"{name} {number_text(point.value)}")
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def resident_bytes() -> int:
    """Resident memory of this process; 0 where /proc is not there."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - Path would build objects each time
            return int(file.read().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0
