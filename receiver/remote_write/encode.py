"""Snapshot -> remote write requests, versions 1.0 and 2.0, uncompressed.

Room: remote_write. Knows no protocol. Everything of a time series but its value and its time is made once and kept for
as long as the series lives:

    1.0   [0a len][labels ...][12 10][09 value: 8 bytes][10 time: 6 bytes]              prometheus.WriteRequest
    2.0   [2a len][0a len refs][2a len metadata][12 17][09 value][10 time][18 start]    io.prometheus.write.v2.Request

A series that is gone from the snapshot gets a stale marker, once; at the end all get one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, repeat
from typing import Literal

from receiver.remote_write.name import (
    label_name,
    label_value,
    labels_of,
    metric_name,
    number_text,
    unit_word,
)
from receiver.telemetry.snapshot import Attributes, HistogramPoint, Metric, NumberPoint, Resource, Snapshot
from receiver.telemetry.vmrange import LABELS
from receiver.wire.protobuf import integer, message, text, varint, zigzag

Histograms = Literal["explicit", "vmrange", "native"]

# Not any NaN: this one, a signalling NaN that a trip through a float may quieten. So it is bytes.
STALE = (0x7FF0000000000002).to_bytes(8, "little")

# VictoriaMetrics drops a series that has more than 40 labels, a name over 256 bytes or a value over 4096, and answers
# 2xx. So what it would drop silently is dropped here and counted; two labels of room are for what a proxy adds.
MAX_LABELS = 38
MAX_NAME_BYTES = 256
MAX_VALUE_BYTES = 1024
# As vmagent: what a store takes in one piece.
MAX_ROWS = 10_000
# Parts of a body are joined a few at a time: nothing else runs while bytes are joined, nor the capture.
JOINED = 2_000

LABEL_LIMIT = "label_limit"
COLLISION = "name_collision"
TOO_LARGE = "too_large"
NO_NAME = "no_name"

NHCB_SCHEMA = -53  # native histogram with custom buckets

_pack = struct.Struct("<d").pack
_TIME_SIZE = 6
_TIME_MAX = (1 << 7 * _TIME_SIZE) - 1  # in the year 2109

_COUNTER, _GAUGE, _HISTOGRAM, _INFO = 1, 2, 3, 6  # Metadata.MetricType of 2.0


def encode_time(field: int, time_ms: int) -> bytes:
    """A varint of always 6 bytes, so that lengths can be kept: canonical from 1971 to 2109, padded before."""
    time_ms = min(max(time_ms, 0), _TIME_MAX)
    return bytes((field << 3, *(time_ms >> shift & 0x7F | 0x80 for shift in range(0, 35, 7)), time_ms >> 35))


class _Wire1:
    """How 1.0 writes labels and samples."""

    def label(self, name: str, value: str) -> bytes:
        """WriteRequest.timeseries = 1 {labels = 1 {name = 1, value = 2}, samples = 2 {value = 1, timestamp = 2}}"""
        return message(1, text(1, name) + text(2, value))

    def head(self, labels: bytes, kind: int, help_text: str, unit: str) -> bytes:
        return b"\x0a" + varint(len(labels) + 18) + labels + b"\x12\x10\x09"

    def tail(self, time_ms: int, start_ms: int) -> bytes:
        return encode_time(2, time_ms)

    def prologue(self) -> bytes:
        return b""


class _Wire2:
    """How 2.0 does: texts are symbols, by number. The table outlives requests, so that what refers to it may be
    kept."""

    def __init__(self) -> None:
        self._numbers = {"": 0}
        self._prologue = b""
        self._written = -1

    def symbol(self, words: str) -> int:
        return self._numbers.setdefault(words, len(self._numbers))

    def label(self, name: str, value: str) -> bytes:
        return varint(self.symbol(name)) + varint(self.symbol(value))

    def described(self, labels: bytes, kind: int, help_text: str, unit: str) -> bytes:
        """TimeSeries {labels_refs = 1, metadata = 5 {type = 1, help_ref = 3, unit_ref = 4}}"""
        metadata = integer(1, kind) + integer(3, self.symbol(help_text)) + integer(4, self.symbol(unit))
        return message(1, labels) + message(5, metadata)

    def head(self, labels: bytes, kind: int, help_text: str, unit: str) -> bytes:
        # Request.timeseries = 5; TimeSeries.samples = 2 {value = 1, timestamp = 2, start_timestamp = 3}
        described = self.described(labels, kind, help_text, unit)
        return b"\x2a" + varint(len(described) + 25) + described + b"\x12\x17\x09"

    def tail(self, time_ms: int, start_ms: int) -> bytes:
        return encode_time(2, time_ms) + encode_time(3, start_ms)

    def prologue(self) -> bytes:
        """Request.symbols = 4, the first one empty."""
        if self._written != len(self._numbers):
            self._prologue = b"\x22\x00" + b"".join(text(4, words) for words in self._numbers if words)
            self._written = len(self._numbers)
        return self._prologue

    def __len__(self) -> int:
        return len(self._numbers)


class _Series:
    """One point of the snapshot as it is on the wire: the heads of its time series, or the reason why there are
    none."""

    __slots__ = ("attributes", "heads", "labels", "ranges", "reason", "sent", "size", "start", "start_ns")

    def __init__(self, attributes: Attributes) -> None:
        self.attributes = attributes  # holds the tuple alive, so that its id stays its own
        self.heads: tuple[bytes, ...] = ()
        self.size = 0  # of all its time series
        self.reason = ""
        self.labels: tuple[bytes, bytes, bytes] = (b"", b"", b"")  # before `__name__`, between, behind `vmrange`
        self.ranges: dict[int, bytes] = {}  # heads of the `vmrange` buckets that have been sent
        self.sent = False
        self.start_ns = -1
        self.start = b""

    def all_heads(self) -> Iterator[bytes]:
        return chain(self.heads, self.ranges.values())


class _Family:
    """One metric's part of all its series."""

    __slots__ = ("buckets", "described", "help", "kind", "name", "shape", "unit")

    def __init__(self, metric: Metric) -> None:
        self.described = (metric.unit, metric.kind, metric.monotonic, metric.bounds, metric.description)
        self.name = metric_name(metric)
        self.help = metric.description
        self.unit = unit_word(metric.unit)
        if metric.kind == "histogram":
            self.kind = _HISTOGRAM
        elif metric.kind == "sum" and metric.monotonic:
            self.kind = _COUNTER
        else:
            self.kind = _GAUGE
        self.buckets = (*(number_text(bound) for bound in metric.bounds), "+Inf")
        self.shape = struct.pack(f"<{len(metric.bounds)}d", *metric.bounds)


class _Request:
    """Requests being filled, and those that are full."""

    def __init__(self, prologue: bytes, max_size: int) -> None:
        self._prologue = prologue
        self._max_size = max_size
        self._room = max_size - len(prologue)
        self._body = bytearray(prologue)
        self._parts: list[bytes] = []  # not yet in the body
        self._size = self._rows = self._points = 0
        self.full: list[tuple[bytearray, int]] = []

    def fits(self, size: int) -> bool:
        return size <= self._room

    def add(self, parts: Iterable[bytes], size: int, rows: int, points: int) -> None:
        if self._rows and (self._size + size > self._room or self._rows + rows > MAX_ROWS):
            self.close()
        self._parts += parts
        if len(self._parts) > JOINED:
            self._join()
        self._size += size
        self._rows += rows
        self._points += points

    def close(self) -> None:
        if self._rows or self._points:
            # Points without rows (a vmrange histogram that has counted nothing yet) are done with, not lost.
            self._join()
            self.full.append((self._body if self._rows else bytearray(), self._points))
        self._body = bytearray(self._prologue)
        self._size = self._rows = self._points = 0

    def _join(self) -> None:
        self._body += b"".join(self._parts)
        self._parts.clear()


class WriteRequests:
    """Turns snapshots into requests of at most `max_size` bytes and MAX_ROWS time series. Not thread-safe.

    Series are known again by the identity of their attributes, and end by their labels: a series whose tuple was
    replaced by an equal one goes on. The cache holds what the last snapshot held, no more.
    """

    def __init__(
        self,
        *,
        max_size: int,
        version: Literal[1, 2] = 1,
        histograms: Histograms = "explicit",
        target_info: bool = True,
        external_labels: dict[str, str] | None = None,
    ) -> None:
        self._max_size = max_size
        self._histograms = histograms
        self._target_info = target_info
        self._external = external_labels or {}
        self._wire1 = _Wire1()
        self._wire2 = _Wire2() if version == 2 else None
        self._wire: _Wire1 | _Wire2 = self._wire1 if self._wire2 is None else self._wire2
        self._sample_size = 8 + len(self._wire.tail(0, 0))
        self._resource: Resource | None = None
        self._common: dict[str, str] = {}
        self._info = b""  # the head of target_info
        self._families: dict[str, _Family] = {}
        self._series: dict[str, dict[int, _Series]] = {}
        self._last_ms = 0
        self._symbols_wanted = 0  # more of them and the table is made anew; 0 while it is new

    def encode(self, snapshot: Snapshot) -> tuple[list[tuple[bytearray, int]], dict[str, int]]:
        """Requests with their numbers of points, and the points that cannot be sent, by reason.

        `target_info` and stale markers are beside the count: they are no points of the snapshot.
        """
        time_ms = snapshot.time_ns // 1_000_000
        ended_before: list[tuple[bytearray, int]] = []
        if snapshot.resource != self._resource:
            ended_before = self.end()  # what was sent under the old resource's labels
            self._begin(snapshot.resource)
        elif self._wire2 is not None and len(self._wire2) > self._symbols_wanted:
            self._renumber()
        self._last_ms = max(self._last_ms, time_ms)
        old = self._series
        fresh = self._resolve(snapshot)
        dropped: dict[str, int] = {}
        live: set[bytes] | None = None
        ended = any(old.values())
        if fresh or ended:
            self._make_ranges(snapshot)
            live = self._mark_collisions(snapshot)
        if self._wire2 is not None:
            # Twice what was needed at the start, and some: the rest belongs to series that have ended.
            self._symbols_wanted = self._symbols_wanted or 4096 + 2 * len(self._wire2)

        request = _Request(self._wire.prologue(), self._max_size)
        if self._info:
            request.add(
                (self._info, _pack(1.0), self._wire.tail(time_ms, 0)), len(self._info) + self._sample_size, 1, 0
            )
        for metric in snapshot.metrics:
            series = self._series[metric.name]
            if metric.kind == "histogram":
                if self._histograms == "vmrange":
                    self._write_ranges(metric, series, time_ms, request, dropped)
                elif self._histograms == "native":
                    self._write_native(metric, series, time_ms, request, dropped)
                else:
                    self._write_buckets(metric, series, time_ms, request, dropped)
            else:
                self._write_numbers(metric, series, time_ms, request, dropped)
        if ended and live is not None:
            stale = STALE + self._wire.tail(time_ms, 0)
            for entries in old.values():
                for entry in entries.values():
                    for head in self._sent_heads(entry):
                        if head not in live:
                            request.add((head, stale), len(head) + self._sample_size, 1, 0)
        request.close()
        return ended_before + request.full, dropped

    def end(self) -> list[tuple[bytearray, int]]:
        """A stale marker for every series that lives, a millisecond after the last snapshot; none lives thereafter."""
        request = _Request(self._wire.prologue(), self._max_size)
        stale = STALE + self._wire.tail(self._last_ms + 1, 0)
        heads = [self._info] if self._info else []
        for entries in self._series.values():
            for entry in entries.values():
                heads.extend(self._sent_heads(entry))
        for head in heads:
            request.add((head, stale), len(head) + self._sample_size, 1, 0)
        request.close()
        self._series = {}
        self._resource, self._info = None, b""
        return request.full

    # What is made once.

    def _begin(self, resource: Resource) -> None:
        self._resource = resource
        self._families = {}
        self._series = {}
        if self._wire2 is not None:
            self._wire = self._wire2 = _Wire2()
            self._symbols_wanted = 0
        attributes = dict(resource.attributes)
        common = {label_name(name): value for name, value in self._external.items()}
        scope = {
            "otel_scope_name": resource.scope_name,
            "otel_scope_version": resource.scope_version,
            "otel_scope_schema_url": resource.schema_url,
        }
        identity: dict[str, str] = {}
        service = attributes.pop("service.name", "")
        namespace = attributes.pop("service.namespace", "")
        if service:
            identity["job"] = f"{label_value(namespace)}/{label_value(service)}" if namespace else label_value(service)
        instance = attributes.pop("service.instance.id", "")
        if instance:
            identity["instance"] = label_value(instance)
        self._common = {name: value for name, value in (common | scope | identity).items() if name and value}
        self._strong = frozenset(
            scope | identity
        )  # win over attributes of the same name; those win over external labels
        self._info = b""
        rest = labels_of(tuple(attributes.items()))
        if self._target_info and identity and rest:
            labels = common | rest | identity
            # Unlike a series of ours it is alone under its job and instance, so what is too much for it can be left
            # out.
            cut = {
                name: value.encode("utf-8", "replace")[:MAX_VALUE_BYTES].decode("utf-8", "ignore")
                for name, value in sorted(labels.items(), key=lambda pair: (pair[0] not in identity, pair[0]))
                if len(name) <= MAX_NAME_BYTES and value
            }
            kept = dict(list(cut.items())[: MAX_LABELS - 1])
            before, between, behind, _ = self._encode_labels(kept)
            name = self._wire.label("__name__", "target_info")
            self._info = self._wire.head(before + name + between + behind, _INFO, "", "")

    def _renumber(self) -> None:
        """Drop the symbols of series that ended: the living ones are made anew, under the same keys."""
        assert self._resource is not None
        families, series = self._families, self._series
        self._begin(self._resource)
        self._families = families
        for name, entries in series.items():
            self._series[name] = {}
            for key, entry in entries.items():
                again = self._series[name][key] = self._make(families[name], entry.attributes)
                again.reason = entry.reason
                for index in entry.ranges:
                    again.ranges[index] = self._range_head(families[name], again, index)

    def _resolve(self, snapshot: Snapshot) -> int:
        """Find or make every series of the snapshot; the number made. What is left in the old table has ended."""
        old_series = self._series
        self._series = {}
        fresh = 0
        for metric in snapshot.metrics:
            family = self._families.get(metric.name)
            described = (metric.unit, metric.kind, metric.monotonic, metric.bounds, metric.description)
            old = old_series.get(metric.name, {})
            if family is None or family.described != described:
                family = self._families[metric.name] = _Family(metric)
                if old:
                    old_series[f"{metric.name} "] = old_series.pop(
                        metric.name
                    )  # they end, but for heads that stay the same
                old = {}
            new = self._series.setdefault(metric.name, {})
            for point in metric.points:
                attributes = point.attributes
                key = id(attributes)
                entry = old.get(key)
                if entry is None or entry.attributes is not attributes:
                    entry = self._make(family, attributes)
                    fresh += 1
                else:
                    del old[key]
                new[key] = entry
        return fresh

    def _make(self, family: _Family, attributes: Attributes) -> _Series:
        entry = _Series(attributes)
        own = labels_of(attributes)
        labels = self._common | {name: value for name, value in own.items() if name not in self._strong}
        if not family.name:
            entry.reason = NO_NAME
            return entry
        bucketed = family.kind == _HISTOGRAM and self._histograms != "native"
        if bucketed:
            labels.pop("vmrange" if self._histograms == "vmrange" else "le", None)
        before, between, behind, legal = self._encode_labels(labels)
        if not legal or len(labels) + 1 + bucketed > MAX_LABELS or len(family.name) + 7 > MAX_NAME_BYTES:
            entry.reason = LABEL_LIMIT
            return entry
        wire = self._wire

        def head(suffix: str, bucket: bytes = b"") -> bytes:
            name = wire.label("__name__", family.name + suffix)
            return wire.head(before + name + between + bucket + behind, family.kind, family.help, family.unit)

        if not bucketed:
            if family.kind == _HISTOGRAM:
                assert self._wire2 is not None
                labelled = before + wire.label("__name__", family.name) + between + behind
                entry.labels = (self._wire2.described(labelled, family.kind, family.help, family.unit), b"", b"")
            entry.heads = (head(""),)
        elif self._histograms == "vmrange":
            entry.labels = (before, between, behind)
            entry.heads = (head("_sum"), head("_count"))
        else:
            buckets = tuple(head("_bucket", wire.label("le", bound)) for bound in family.buckets)
            entry.heads = (*buckets, head("_sum"), head("_count"))
        entry.size = sum(map(len, entry.heads)) + len(entry.heads) * self._sample_size
        return entry

    def _encode_labels(self, labels: dict[str, str]) -> tuple[bytes, bytes, bytes, bool]:
        """Labels sorted by name: those before `__name__`, those up to the bucket's label, those behind it; and whether
        all are within the limits."""
        bucket = "vmrange" if self._histograms == "vmrange" else "le"
        before: list[bytes] = []
        between: list[bytes] = []
        behind: list[bytes] = []
        legal = True
        for name, value in sorted(labels.items()):
            if not name or not value:
                continue
            if len(name) > MAX_NAME_BYTES or len(value.encode("utf-8", "replace")) > MAX_VALUE_BYTES:
                legal = False
            part = before if name < "__name__" else between if name < bucket else behind
            part.append(self._wire.label(name, value))
        return b"".join(before), b"".join(between), b"".join(behind), legal

    def _mark_collisions(self, snapshot: Snapshot) -> set[bytes]:
        """All heads that live. Of series that fall together under one set of labels the first one stays."""
        live: set[bytes] = set()
        if self._info:
            live.add(self._info)
        for metric in snapshot.metrics:
            for entry in self._series[metric.name].values():
                if entry.reason == COLLISION:
                    entry.reason = ""
                if entry.heads and not entry.reason:
                    if entry.heads[0] in live:
                        entry.reason = COLLISION
                    else:
                        live.update(entry.all_heads())
        return live

    def _range_head(self, family: _Family, entry: _Series, index: int) -> bytes:
        before, between, behind = entry.labels
        wire = self._wire
        name = wire.label("__name__", family.name + "_bucket")
        labels = before + name + between + wire.label("vmrange", LABELS[index]) + behind
        return wire.head(labels, family.kind, family.help, family.unit)

    def _make_ranges(self, snapshot: Snapshot) -> None:
        """Every `vmrange` head of the snapshot: they must be known before it is decided which series have ended."""
        if self._histograms != "vmrange":
            return
        for metric in snapshot.metrics:
            family, series = self._families[metric.name], self._series[metric.name]
            for point in metric.points:
                if isinstance(point, HistogramPoint):
                    self._ranges(family, series[id(point.attributes)], point)

    def _ranges(self, family: _Family, entry: _Series, point: HistogramPoint) -> list[bytes]:
        ranges = entry.ranges
        if not entry.heads:
            return []
        for index, _ in point.vmrange:
            if index not in ranges:
                ranges[index] = self._range_head(family, entry, index)
        return [ranges[index] for index, _ in point.vmrange]

    def _sent_heads(self, entry: _Series) -> Iterable[bytes]:
        # A vmrange histogram has two heads, and is not sent while it has counted nothing: then it has no ranges.
        if entry.reason or (len(entry.heads) == 2 and self._histograms == "vmrange" and not entry.ranges):
            return ()
        return entry.all_heads()

    # What is made for each snapshot.

    def _write_numbers(
        self, metric: Metric, series: dict[int, _Series], time_ms: int, request: _Request, dropped: dict[str, int]
    ) -> None:
        tail = time_part = encode_time(2, time_ms)
        for point in metric.points:
            assert isinstance(point, NumberPoint)
            entry = series[id(point.attributes)]
            if self._lost(entry, entry.size, request, dropped):
                continue
            if self._wire2 is not None:
                tail = time_part + self._start(entry, point.start_ns)
            if metric.kind == "sum" and metric.monotonic:
                self._write_zeros(entry, point.start_ns, time_ms, request)
            request.add((entry.heads[0], _pack(point.value), tail), entry.size, 1, 1)

    def _write_buckets(
        self, metric: Metric, series: dict[int, _Series], time_ms: int, request: _Request, dropped: dict[str, int]
    ) -> None:
        tail = time_part = encode_time(2, time_ms)
        for point in metric.points:
            assert isinstance(point, HistogramPoint)
            entry = series[id(point.attributes)]
            if self._lost(entry, entry.size, request, dropped):
                continue
            if self._wire2 is not None:
                tail = time_part + self._start(entry, point.start_ns)
            self._write_zeros(entry, point.start_ns, time_ms, request)
            values = chain(accumulate(point.bucket_counts), (point.sum, point.count))
            parts = chain.from_iterable(zip(entry.heads, map(_pack, values), repeat(tail), strict=False))
            request.add(parts, entry.size, len(entry.heads), 1)

    def _write_zeros(self, entry: _Series, start_ns: int, time_ms: int, request: _Request) -> None:
        """A new counter's 0 at the time when it began to count: `increase` and `rate` know no other beginning, and would
        leave out whatever was counted until the first sample. Version 2.0 says that time in each sample instead."""
        start_ms = start_ns // 1_000_000
        if entry.sent or self._wire2 is not None or not 0 < start_ms < time_ms:
            return
        entry.sent = True
        zero = _pack(0.0) + encode_time(2, start_ms)
        for head in entry.heads:
            request.add((head, zero), len(head) + self._sample_size, 1, 0)

    def _write_ranges(
        self, metric: Metric, series: dict[int, _Series], time_ms: int, request: _Request, dropped: dict[str, int]
    ) -> None:
        """Buckets by `vmrange`, not cumulative, the empty ones left out; nothing while nothing was counted."""
        family = self._families[metric.name]
        tail = time_part = encode_time(2, time_ms)
        for point in metric.points:
            assert isinstance(point, HistogramPoint)
            entry = series[id(point.attributes)]
            heads = self._ranges(family, entry, point)
            size = entry.size + sum(map(len, heads)) + len(heads) * self._sample_size
            if self._lost(entry, size, request, dropped):
                continue
            if not point.count:
                request.add((), 0, 0, 1)
                continue
            if self._wire2 is not None:
                tail = time_part + self._start(entry, point.start_ns)
            values = chain((count for _, count in point.vmrange), (point.sum, point.count))
            parts = chain.from_iterable(zip((*heads, *entry.heads), map(_pack, values), repeat(tail), strict=False))
            request.add(parts, size, len(heads) + 2, 1)

    def _write_native(
        self, metric: Metric, series: dict[int, _Series], time_ms: int, request: _Request, dropped: dict[str, int]
    ) -> None:
        family = self._families[metric.name]
        for point in metric.points:
            assert isinstance(point, HistogramPoint)
            entry = series[id(point.attributes)]
            content = b""
            if not entry.reason:
                histogram = encode_native(
                    family.shape, point.bucket_counts, point.count, point.sum, time_ms, point.start_ns
                )
                content = message(5, entry.labels[0] + message(3, histogram))  # TimeSeries.histograms = 3
            if self._lost(entry, len(content), request, dropped):
                continue
            request.add((content,), len(content), 1, 1)

    @staticmethod
    def _start(entry: _Series, start_ns: int) -> bytes:
        """Sample.start_timestamp = 3 of 2.0, kept while the series counts from the same moment."""
        if entry.start_ns != start_ns:
            entry.start_ns, entry.start = start_ns, encode_time(3, start_ns // 1_000_000)
        return entry.start

    @staticmethod
    def _lost(entry: _Series, size: int, request: _Request, dropped: dict[str, int]) -> bool:
        reason = entry.reason
        if not reason:
            if request.fits(size):
                return False
            reason = TOO_LARGE
        dropped[reason] = dropped.get(reason, 0) + 1
        return True


def encode_native(bounds: bytes, counts: Sequence[int], count: int, total: float, time_ms: int, start_ns: int) -> bytes:
    """A native histogram with the explicit bounds as custom buckets; `bounds` are packed doubles.

    io.prometheus.write.v2.Histogram: count_int = 1, sum = 3, schema = 4, positive_spans = 11 {offset = 1, length = 2},
    positive_deltas = 12, timestamp = 15, custom_values = 16, start_timestamp = 17.
    """
    deltas = b"".join(zigzag(now - before) for before, now in zip((0, *counts), counts, strict=False))
    return b"".join(
        (
            b"\x08" + varint(count),
            b"\x19" + _pack(total),
            b"\x20" + zigzag(NHCB_SCHEMA),
            message(11, integer(2, len(counts))),
            message(12, deltas),
            integer(15, time_ms),
            message(16, bounds),
            integer(17, start_ns // 1_000_000),
        )
    )
