"""Points made of what was copied of the counters of durations.

Room: telemetry. Not compiled, and not to be: it runs beside the capture. Threads change hands between two lines of Python; a loop
of compiled code over some thousand rows would keep the capture waiting until its end.
"""

from __future__ import annotations

from receiver.telemetry.histogram import Buckets
from receiver.telemetry.semconv import MetricDef
from receiver.telemetry.snapshot import Attributes, HistogramPoint, Metric

Copied = tuple[MetricDef, Buckets, list[tuple[int, Attributes, int]]]


def durations(copied: list[Copied], counted: list[Metric]) -> list[Metric]:
    """A metric of each name, and those that are `counted` already. Rows that have counted nothing yet make no point."""
    points: dict[str, list[HistogramPoint]] = {}
    definitions: dict[str, MetricDef] = {}
    for definition, buckets, series in copied:
        for row, attributes, start_ns in series:
            counts = buckets.counts_of(row)
            count = sum(counts)
            if count == 0:
                continue
            definitions[definition.name] = definition
            points.setdefault(definition.name, []).append(
                HistogramPoint(
                    attributes=attributes,
                    start_ns=start_ns,
                    count=count,
                    sum=buckets.sum_of(row),
                    bucket_counts=counts,
                    vmrange=buckets.ranges_of(row),
                )
            )
    return [
        Metric(
            name=name,
            unit=definitions[name].unit,
            description=definitions[name].description,
            kind="histogram",
            points=tuple(points[name]),
            bounds=definitions[name].bounds,
        )
        for name in sorted(points)
    ] + counted
