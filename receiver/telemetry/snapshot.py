"""What the metrics look like at one moment: the one thing that both exporters read.

Room: snapshot. Knows no protocol and no exporter. `telemetry/metrics.py` fills it on the timer, `otlp_out/encode.py` and
`remote_write/encode.py` turn it into bytes; it is made a few times a minute, beside the capture, so it is plain immutable Structs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec

AttributeValue: TypeAlias = str | bool | int | float | tuple[str, ...]
Attributes: TypeAlias = tuple[tuple[str, AttributeValue], ...]
"""Pairs of dotted name and value, each name once. One series keeps one tuple object from snapshot to snapshot, so
that encoders may cache what they made of it."""


class Resource(msgspec.Struct, frozen=True):
    """The observed application, and the scope that all we say about it is said in."""

    attributes: Attributes
    scope_name: str
    scope_version: str
    schema_url: str


# Points come by the ten thousand and hold nothing that could lead back to them: without `gc` no collection, in which all threads
# stand still, looks at them.


class NumberPoint(msgspec.Struct, frozen=True, gc=False):
    """One series of a sum or a gauge. `start_ns` is when a sum began to count (0 for gauges)."""

    attributes: Attributes
    start_ns: int
    value: int | float


class HistogramPoint(msgspec.Struct, frozen=True, gc=False):
    """One series of a histogram, counted since `start_ns`.

    `bucket_counts` has one count for each bound of the metric, upper bounds inclusive, and one more for what is above
    the last. `vmrange` is empty unless asked for: pairs of an index from 0 to 487 and a count, ascending, only non-empty
    buckets; index 0 is `0...1.000e-09`, 1 to 486 are the 18 per decade from 1e-9 to 1e18, 487 is `1.000e+18...+Inf`.
    """

    attributes: Attributes
    start_ns: int
    count: int
    sum: float
    bucket_counts: tuple[int, ...]
    vmrange: tuple[tuple[int, int], ...] = ()


class Metric(msgspec.Struct, frozen=True):
    """`name` is dotted, `unit` is UCUM as in the conventions (`s`, `By`, `{request}`, `1`). `bounds` is for histograms,
    in the metric's unit. `monotonic` tells counters from up-down counters, both kind `sum`; all temporality is cumulative."""

    name: str
    unit: str
    description: str
    kind: Literal["sum", "gauge", "histogram"]
    points: tuple[NumberPoint, ...] | tuple[HistogramPoint, ...]
    monotonic: bool = True
    bounds: tuple[float, ...] = ()


Later: TypeAlias = Callable[[], list[Metric]]
"""Makes Metrics of what was copied, in any thread, but in one at a time."""


class Snapshot(msgspec.Struct, frozen=True):
    """All metrics at `time_ns` (Unix time in nanoseconds; the capture's clock when files are read)."""

    time_ns: int
    resource: Resource
    metrics: tuple[Metric, ...]
