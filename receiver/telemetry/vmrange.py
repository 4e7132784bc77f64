"""VictoriaMetrics' histogram buckets: 18 a decade from 1e-9 to 1e18, and one on either side.

Room: snapshot. It says what the indexes of a snapshot mean, and imports nothing of ours. The one table of them: `histogram.py` and,
handed to it, `pcap/layer4.py` count by BOUNDS, remote write names what they counted by LABELS. Not compiled: C types by inference
would make its divisions integer ones.
Source: VictoriaMetrics/metrics, histogram.go (Update, getVMRange, initBucketRanges).
"""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from math import nextafter

_STEPS = tuple(Decimal(10) ** (Decimal(i) / 18) for i in range(18))
_EDGES = tuple(float(_STEPS[i % 18].scaleb(i // 18 - 9)) for i in range(27 * 18 + 1))

BOUNDS: tuple[float, ...] = (nextafter(_EDGES[0], 0.0), *_EDGES[1:-1], nextafter(_EDGES[-1], 0.0))
"""For bisect_left: the largest value of each bucket but the last, so that a value's index is the number of bounds below it. A
bucket's own upper edge belongs to it, but 1e-9 to the one above it, and 1e18 to the last: so it is in the source."""

LABELS: tuple[str, ...] = (
    f"0...{_EDGES[0]:.3e}",
    *(f"{lower:.3e}...{upper:.3e}" for lower, upper in pairwise(_EDGES)),
    f"{_EDGES[-1]:.3e}...+Inf",
)
"""The text of the `vmrange` label of each bucket, 0 to 487."""
