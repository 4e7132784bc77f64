"""Writes docs/metrics.md from the table of names, so that the page cannot say what the program does not.

python -m tests.generate_metrics_page
"""

from __future__ import annotations

from pathlib import Path

from receiver.remote_write.name import metric_name, number_text
from receiver.telemetry import semconv
from receiver.telemetry.snapshot import Metric

PAGE = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"

HEAD = """\
<!-- Generated from receiver/telemetry/semconv.py: python -m tests.generate_metrics_page. A test fails when stale. -->
# Metrics

All sums are cumulative. Over OTLP the names are the dotted ones. Over Prometheus remote write and on our own metrics
page they are those with underscores, of attributes too, and a histogram adds `_bucket`, `_sum` and `_count` (with
`histograms: vmrange`, buckets in VictoriaMetrics' form). Beyond `receivers.pcap.limits.series_per_metric` series of a
metric, the rest is counted in one with `otel.metric.overflow=true`. Every roundtrip is counted, sampled or not; one
whose answer the capture lost has no duration.
"""

DURATIONS = """\
## Durations of roundtrips

From the request's first byte to the response's last one, by the packets' own clock. `server`: the observed side was
called; `client`: it called.
"""

TABLE = ("| metric | kind | unit | attributes | what |", "|---|---|---|---|---|")

LEVELS = """\
## What waits

Read from answers, not counted: the last that was said, for five minutes after it. Without a group where no client said
which one it is a member of.
"""

LAYER4 = f"""\
## TCP and UDP

Of every connection on any port, decoded or not; [layer4.md](layer4.md) says how each figure is made. Switched off by
`receivers.pcap.layer4.enabled: false`. All are split by {", ".join(f"`{name}`" for name in semconv.LAYER4_COMMON)};
`server.address` only where we are the client, or where `receivers.pcap.layer4.labels` asks for it, as it may for
`network.peer.address` and `client.address`.
"""

NETFLOW = """
### In the words of a netflow

The columns of a network flow table, as DataKit's and others' have it, and what gives them here.

| column | here |
|---|---|
| bytes_read, bytes_written | `pcap_receiver.network.io` with `network.io.direction` `receive`, `transmit` |
| retransmits | `pcap_receiver.tcp.retransmits`; of bytes, `pcap_receiver.tcp.retransmits.io` / `pcap_receiver.network.io` |
| rtt | `pcap_receiver.tcp.rtt`, by `pcap_receiver.tcp.leg`: quantiles of a histogram, no average |
| rtt_var | `pcap_receiver.tcp.rtt.variance` |
| tcp_established | `pcap_receiver.tcp.connections.established` as it happens, `pcap_receiver.tcp.connections.open` now |
| tcp_closed | `pcap_receiver.tcp.connections.closed`, by `reason` and `pcap_receiver.tcp.side` |
| direction (incoming, outgoing) | `pcap_receiver.vantage`: `server`, `client` |
| ip type (private, multicast, ...) | `pcap_receiver.peer.kind` |
| family, transport | `network.type`, `network.transport` |
| dst_domain | `server.address`: the name that a DNS answer gave |
| dst_ip, src_ip | `network.peer.address`, `client.address`, when asked for |
| dst_port | `server.port`; ephemeral ports are no attributes |
"""

ITSELF = """\
## About itself

Exported with the other metrics, and as text on `service.telemetry.metrics.endpoint`. At any moment packets = parsed +
skipped; requests = paired + one_way + unanswered + open; roundtrips = the states of `pcap_receiver.spans`.
"""


def prometheus(definition: semconv.MetricDef) -> str:
    """The Prometheus name of a metric's family."""
    return metric_name(
        Metric(
            name=definition.name,
            unit=definition.unit,
            description="",
            kind=definition.kind,
            points=(),
            monotonic=definition.monotonic,
        )
    )


def attributes_of(shape: semconv.Shape) -> list[str]:
    """What splits a shape's metric, in the table's order."""
    names = [name for name, _ in shape.system]
    names += [slot.attribute for slot in shape.slots if slot.metric]
    names.append(semconv.ERROR_TYPE)
    if shape.server_in_metric:
        names += [semconv.SERVER_ADDRESS, semconv.SERVER_PORT]
    return names


def section_of(shape: semconv.Shape) -> str:
    """Where the configuration asks for the server's side of it."""
    return "messaging" if shape.family in semconv.BROKERS else "db"


def row(metric: semconv.MetricDef) -> str:
    names = ", ".join(f"`{name}`" for name in metric.attributes)
    name = f"`{metric.name}`<br>`{prometheus(metric)}`"
    return f"| {name} | {metric.kind} | `{metric.unit}` | {names} | {metric.description} |"


def page() -> str:
    lines = [HEAD, DURATIONS]
    sections: list[list[str]] = []
    for shape in semconv.SHAPES:
        metric = shape.metric
        if metric is None:
            continue
        bounds = ", ".join(f"{bound:g}" for bound in metric.bounds)
        section = [
            f"### `{metric.name}`",
            "",
            f"`{prometheus(metric)}` - {metric.kind}, unit `{metric.unit}`, {metric.stability.replace('_', ' ')}"
            + ("" if shape.emitted else f", off unless `receivers.pcap.{section_of(shape)}.server_side`"),
            "",
            metric.description,
            "",
            f"- attributes: {', '.join(f'`{name}`' for name in attributes_of(shape))}",
            f"- buckets: {bounds}",
            "",
        ]
        if section not in sections:  # of all SQL databases it is the same
            sections.append(section)
        for kind, counter in shape.counted:
            counted = [
                f"### `{counter.name}`",
                "",
                f"`{prometheus(counter)}` - {counter.kind}, unit `{counter.unit}`, {counter.stability}",
                "",
                counter.description,
                "",
                f"- attributes: those of `{metric.name}`, of the operations of type `{kind}`",
                "",
            ]
            if counted not in sections:
                sections.append(counted)
    for section in sections:
        lines += section
    lines += [LEVELS, *TABLE, *map(row, semconv.LEVELS.values()), ""]
    lines += [LAYER4, "| metric | kind | unit | also split by | what |", "|---|---|---|---|---|"]
    for metric in semconv.LAYER4.values():
        names = ", ".join(f"`{name}`" for name in metric.attributes)
        kind = metric.kind if metric.monotonic else "sum, not monotonic"
        bounds = f"<br>buckets: {', '.join(number_text(bound) for bound in metric.bounds)}" if metric.bounds else ""
        name = f"`{metric.name}`<br>`{prometheus(metric)}`"
        lines.append(f"| {name} | {kind} | `{metric.unit}` | {names} | {metric.description}{bounds} |")
    lines += [NETFLOW, ITSELF, *TABLE, *map(row, semconv.SELF.values())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
