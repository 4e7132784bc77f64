"""Rows of layer 4 -> Metrics.

Room: telemetry. Reads what `pcap/layer4.py` counts, row by row, and gives it names and attributes; knows of it no more than
`Rows` and `Row` say. Sides of a connection become directions here: receive and transmit are ours, and the server's where neither
side is. Beyond `series_max` series of a metric the rest is told in one (metrics SDK specification, "Cardinality limits").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from receiver.telemetry import semconv
from receiver.telemetry.snapshot import Attributes, AttributeValue, HistogramPoint, Later, Metric, NumberPoint

CLIENT = 1  # the vantage, as `wire/records.py` numbers it
SIDES = ("client", "server")
PAIRED = ("direction", "side", "leg")
LEGS = ("server", "client")  # of data to the server, and to the client
NANOSECONDS = 1e9  # of what is told in seconds

Counted = tuple[bytes, bytes, bytes, list[dict[int, int]] | None]
"""What a row has counted: native int64 of all counters, of all buckets, of the sums of all histograms; and `vmrange` buckets."""


class Row(Protocol):
    """The counters of one combination of attributes."""

    @property
    def start_ns(self) -> int: ...
    @property
    def vantage(self) -> int: ...
    @property
    def server_port(self) -> int: ...
    @property
    def ipv6(self) -> bool: ...
    @property
    def is_tcp(self) -> bool: ...
    @property
    def kind(self) -> int: ...
    @property
    def overflow(self) -> bool: ...
    @property
    def server_address(self) -> str | None: ...
    @property
    def peer_address(self) -> str | None: ...
    @property
    def client_address(self) -> str | None: ...
    @property
    def server_name(self) -> str | None: ...
    @property
    def alpn(self) -> str | None: ...
    def copy(self) -> Counted: ...


class Rows(Protocol):
    @property
    def widths(self) -> list[tuple[int, int]]: ...
    def everything(self) -> Sequence[Row]: ...


class Number(NamedTuple):
    """What a number means. `second` of two; `unit`: so many of what is counted make one of the metric's unit."""

    at: int
    name: str
    unit: float
    cause: str
    what: str
    second: int


def _numbers(kind: str) -> Iterator[Number]:
    at = 0
    for metric, splits in semconv.LAYER4_NUMBERS:
        if metric.kind != kind:
            continue
        unit = NANOSECONDS if metric.unit == "s" else 1
        for cause, what in splits:
            for second in (0, 1) if what in PAIRED else (0,):
                yield Number(at, metric.name, unit, cause, what, second)
                at += 1


COUNTERS = tuple(_numbers("sum"))
HISTOGRAMS = tuple(_numbers("histogram"))


def histograms() -> list[tuple[tuple[int, ...], float]]:
    """For whoever counts: the bounds of each histogram in what is counted, and how many of that make one of its unit."""
    return [
        (tuple(round(bound * each.unit) for bound in semconv.LAYER4[each.name].bounds), float(each.unit)) for each in HISTOGRAMS
    ]


class Layer4Metrics:
    """Makes the Metrics of `rows`."""

    def __init__(self, rows: Rows, series_max: int = 2000) -> None:
        self._rows = rows
        self._series_max = series_max
        self._open = next(each.at for each in COUNTERS if each.name == semconv.TCP_OPEN)
        self._ends = [each.at for each in COUNTERS if each.name in (semconv.TCP_ESTABLISHED, semconv.TCP_CLOSED)]
        # One tuple for each series from snapshot to snapshot; also, who was first, and so is not told in the rest.
        self._known: dict[tuple[int, bool, int], Attributes] = {}
        self._admitted: dict[str, int] = {}
        self.overflow: Attributes = ((semconv.OVERFLOW, True),)

    def metrics(self) -> list[Metric]:
        """Everything that was ever counted, by name."""
        return self.later()()

    def later(self) -> Later:
        """The same, of the rows that there are now. They are copied one by one when it is called, each of one moment: 2 000 of them
        would be 3 MB, and 8 ms that packets wait."""
        return partial(self._metrics, list(self._rows.everything()))

    def _metrics(self, rows: Sequence[Row]) -> list[Metric]:
        sums: dict[str, list[NumberPoint]] = {}
        shapes: dict[str, list[HistogramPoint]] = {}
        left: dict[str, tuple[int, int | float]] = {}
        rest: dict[str, list[HistogramPoint]] = {}
        for index, row in enumerate(rows):
            *numbers, ranges = row.copy()
            values, buckets, totals = (memoryview(each).cast("q").tolist() for each in numbers)
            for at, value in enumerate(values):
                # What never happened is left out; that nothing is open any more is worth saying.
                if not value and (at != self._open or not any(values[each] for each in self._ends)):
                    continue
                number = COUNTERS[at]
                amount: int | float = value / number.unit if number.unit > 1 else value
                attributes = None if row.overflow else self._attributes(index, row, False, number)
                if attributes is None:
                    start_ns, so_far = left.get(number.name, (row.start_ns, 0))
                    left[number.name] = (min(start_ns, row.start_ns), so_far + amount)
                else:
                    point = NumberPoint(attributes=attributes, start_ns=row.start_ns, value=amount)
                    sums.setdefault(number.name, []).append(point)
            for number in HISTOGRAMS:
                first, width = self._rows.widths[number.at]
                counts = tuple(buckets[first : first + width])
                count = sum(counts)
                if not count:
                    continue
                attributes = None if row.overflow else self._attributes(index, row, True, number)
                total = totals[number.at]
                shape = HistogramPoint(
                    attributes=attributes or self.overflow,
                    start_ns=row.start_ns,
                    count=count,
                    sum=total / number.unit,
                    bucket_counts=counts,
                    vmrange=tuple(sorted(ranges[number.at].items())) if ranges is not None else (),
                )
                (rest if attributes is None else shapes).setdefault(number.name, []).append(shape)
        for name, (start_ns, amount) in left.items():
            sums.setdefault(name, []).append(NumberPoint(attributes=self.overflow, start_ns=start_ns, value=amount))
        for name, points in rest.items():
            shapes.setdefault(name, []).append(_together(points))
        return [_metric(name, tuple(sums[name])) for name in sorted(sums)] + [
            _metric(name, tuple(shapes[name])) for name in sorted(shapes)
        ]

    def _attributes(self, index: int, row: Row, histogram: bool, number: Number) -> Attributes | None:
        """None for a series that came too late."""
        at, name, _, cause, what, second = number
        key = (index, histogram, at)
        known = self._known.get(key)
        if known is not None:
            return known
        if self._admitted.get(name, 0) >= self._series_max - 1:
            return None
        self._admitted[name] = self._admitted.get(name, 0) + 1
        pairs: list[tuple[str, AttributeValue]] = [
            (semconv.VANTAGE, "client" if row.vantage == CLIENT else "server"),
            (semconv.NETWORK_TYPE, "ipv6" if row.ipv6 else "ipv4"),
            (semconv.NETWORK_TRANSPORT, "tcp" if row.is_tcp else "udp"),
            (semconv.PEER_KIND, semconv.PEER_KINDS[row.kind]),
        ]
        if row.server_port:
            pairs.append((semconv.SERVER_PORT, row.server_port))
        for attribute, text in (
            (semconv.SERVER_ADDRESS, row.server_address),
            (semconv.NETWORK_PEER_ADDRESS, row.peer_address),
            (semconv.CLIENT_ADDRESS, row.client_address),
            (semconv.TLS_SERVER_NAME, row.server_name),
            (semconv.TLS_ALPN, row.alpn),
        ):
            if text is not None:
                pairs.append((attribute, text))
        if cause:
            pairs.append((semconv.CAUSE if name == semconv.TCP_RETRANSMITS else semconv.REASON, cause))
        if what == "direction":
            # To the server is received where the server is ours.
            pairs.append((semconv.IO_DIRECTION, "receive" if second == row.vantage else "transmit"))
        elif what == "leg":
            pairs.append((semconv.TCP_LEG, LEGS[second]))
        elif what == "side":
            pairs.append((semconv.TCP_SIDE, SIDES[second]))
        elif what:
            pairs.append((semconv.TCP_SIDE, what))
        attributes = tuple(sorted(pairs))
        self._known[key] = attributes
        return attributes


def _together(points: Sequence[HistogramPoint]) -> HistogramPoint:
    ranges: dict[int, int] = {}
    for point in points:
        for index, count in point.vmrange:
            ranges[index] = ranges.get(index, 0) + count
    return HistogramPoint(
        attributes=points[0].attributes,
        start_ns=min(point.start_ns for point in points),
        count=sum(point.count for point in points),
        sum=sum(point.sum for point in points),
        bucket_counts=tuple(map(sum, zip(*(point.bucket_counts for point in points), strict=True))),
        vmrange=tuple(sorted(ranges.items())),
    )


def _metric(name: str, points: tuple[NumberPoint, ...] | tuple[HistogramPoint, ...]) -> Metric:
    definition = semconv.LAYER4[name]
    return Metric(
        name=name,
        unit=definition.unit,
        description=definition.description,
        kind=definition.kind,
        points=points,
        monotonic=definition.monotonic,
        bounds=definition.bounds,
    )
