"""Histograms of durations: one table of counters for all series of a metric.

Room: telemetry. Durations come in nanoseconds and are kept as integers; seconds appear only in a snapshot. Explicit bounds are
upper-inclusive (OTLP data model, "Histogram"). `vmrange` is VictoriaMetrics' scheme (`vmrange.py`), counted besides when asked
for.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left

import cython

from receiver.telemetry.vmrange import BOUNDS


class Buckets:
    """Rows of bucket counts over `bounds` (seconds, ascending)."""

    def __init__(self, bounds: tuple[float, ...], vmrange: cython.bint = False) -> None:
        self.bounds = bounds
        self._bounds_ns = array("q", [round(bound * 1e9) for bound in bounds])
        self.width = len(bounds) + 1
        self._room = 32
        self._counts = array("q", bytes(8 * self._room * self.width))
        self._sums = array("q", bytes(8 * self._room))
        self.rows = 0
        self.vmrange = vmrange
        self._ranges: list[dict[int, int]] = []

    def add_row(self) -> cython.Py_ssize_t:
        """A new series; returns its row."""
        if self.rows == self._room:
            counts = array("q", bytes(16 * self._room * self.width))
            sums = array("q", bytes(16 * self._room))
            counts[: self._room * self.width] = array("q", self._counts)
            sums[: self._room] = array("q", self._sums)
            self._counts = counts
            self._sums = sums
            self._room *= 2
        self.rows += 1
        if self.vmrange:
            self._ranges.append({})
        return self.rows - 1

    def record(self, row: cython.Py_ssize_t, value_ns: cython.longlong) -> cython.int:
        """Count one duration; a negative one (clocks that step back) counts as 0."""
        i: cython.int = 0
        last: cython.int = self.width - 1
        if value_ns < 0:
            value_ns = 0
        while i < last and value_ns > self._bounds_ns[i]:
            i += 1
        self._counts[row * self.width + i] += 1
        self._sums[row] += value_ns
        if self.vmrange:
            return self._record_range(row, value_ns)
        return 0

    def _record_range(self, row: cython.Py_ssize_t, value_ns: cython.longlong) -> cython.int:
        ranges: dict[int, int] = self._ranges[row]
        index = bisect_left(BOUNDS, value_ns / 1e9)
        ranges[index] = ranges.get(index, 0) + 1
        return 0

    def copy(self) -> Buckets:
        """All rows as they are now, for a thread that reads them while this one counts on."""
        other = Buckets(self.bounds, self.vmrange)
        other._counts = array("q", bytes(self._counts[: self.rows * self.width]))
        other._sums = array("q", bytes(self._sums[: self.rows]))
        other._ranges = [ranges.copy() for ranges in self._ranges]
        other.rows = self.rows
        return other

    def counts_of(self, row: cython.Py_ssize_t) -> tuple[int, ...]:
        """Bucket counts of a series, not cumulative, the last one above all bounds."""
        start: cython.Py_ssize_t = row * self.width
        return tuple([self._counts[start + i] for i in range(self.width)])

    def sum_of(self, row: cython.Py_ssize_t) -> float:
        """Sum of a series in seconds."""
        total: int = self._sums[row]
        return total / 1e9

    def ranges_of(self, row: cython.Py_ssize_t) -> tuple[tuple[int, int], ...]:
        """vmrange buckets of a series: (index, count), ascending; see `snapshot.HistogramPoint`."""
        if not self.vmrange:
            return ()
        ranges: dict[int, int] = self._ranges[row]
        return tuple(sorted(ranges.items()))
