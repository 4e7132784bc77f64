"""Which roundtrips become spans. Metrics count every roundtrip, sampled or not.

Room: telemetry. The samplers are those of OTEL_TRACES_SAMPLER, with the meaning that the OpenTelemetry specification
gives them (trace/sdk.md, "Built-in samplers"; trace/tracestate-probability-sampling.md for the ratio): a trace id's
low 56 bits are compared with a threshold, so every participant that samples at least as much keeps the same traces.
"""

import cython

SAMPLERS = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)

_ON = 0
_OFF = 1
_RATIO = 2

_PRECISION = 4  # significant hexadecimal digits of a threshold: what the specification recommends


class Sampler:
    """Decides by trace id, and by the caller's decision where there is one."""

    def __init__(
        self, name: str = "parentbased_always_on", ratio: float = 1.0, respect_sampled: cython.bint = True
    ) -> None:
        """`ratio` is for the traceidratio samplers; with `respect_sampled` false the caller's decision is ignored.

        Raises ValueError for a name that is not in SAMPLERS, and for a ratio outside 0 to 1.
        """
        if name not in SAMPLERS:
            raise ValueError(f"unknown sampler {name!r}; known are {', '.join(SAMPLERS)}")
        if not 0.0 <= ratio <= 1.0:
            raise ValueError(f"the sampling ratio must be from 0 to 1, not {ratio!r}")
        self.name = name
        self.ratio = ratio
        self._follows_parent = respect_sampled and name.startswith("parentbased_")
        self.threshold = 0
        if name.endswith("always_on"):
            self._root = _ON
        elif name.endswith("always_off"):
            self._root = _OFF
        else:
            scaled = _threshold(ratio)
            # A ratio of 1 needs no trace id: it is what is sampled by unless somebody says otherwise.
            self._root = _OFF if scaled is None else _ON if scaled == 0 else _RATIO
            if scaled is not None:
                self.threshold = scaled

    def should_export(
        self, trace_id: bytes, has_parent: cython.bint, flags: cython.int, tracestate: bytes = b""
    ) -> cython.bint:
        """Whether this trace's spans leave.

        `has_parent`: the caller made a decision, and bit 0 of `flags` is it, with ids or without (`b3: 0`). Where the
        caller left it open, say that there is no parent.
        """
        if has_parent and self._follows_parent:
            return flags & 1 != 0
        if self._root != _RATIO:
            return self._root == _ON
        randomness: cython.longlong = -1
        if len(tracestate) > 0:
            randomness = _explicit_randomness(tracestate)
        if randomness < 0:
            if len(trace_id) != 16:
                raise ValueError("a trace id has 16 bytes")
            randomness = 0
            i: cython.Py_ssize_t
            for i in range(9, 16):
                randomness = randomness << 8 | trace_id[i]
        return randomness >= self.threshold


def _threshold(ratio: float) -> int | None:
    """The number of traces out of 2^56 that are rejected, rounded to the digits that tracestate carries; None: all."""
    whole = 1 << 56
    rejected = whole - round(ratio * whole)
    if rejected >= whole:
        return None
    # Leading f digits say nothing of a small ratio: they come on top of the precision.
    leading = len(f"{rejected:014x}") - len(f"{rejected:014x}".lstrip("f"))
    digits = min(leading + _PRECISION, 14)
    unit = 1 << 4 * (14 - digits)
    rounded = (rejected + unit // 2) // unit * unit
    return rounded if rounded < whole else rejected


def _explicit_randomness(tracestate: bytes) -> cython.longlong:
    """The value of `ot=...;rv:<14 hex>`, which stands for the trace id's own bits; -1 when there is none."""
    if b"rv:" not in tracestate:
        return -1
    for member in tracestate.split(b","):
        if not member.startswith(b"ot="):
            continue
        for part in member[3:].split(b";"):
            if len(part) == 17 and part.startswith(b"rv:") and not part[3:].strip(b"0123456789abcdef"):
                return int(part[3:], 16)
    return -1
