"""OTel names -> Prometheus names, units, labels and numbers.

Room: remote_write. Source: OpenTelemetry specification, "Prometheus and OpenMetrics Compatibility"; where it leaves a
choice, what Prometheus' own OTLP endpoint makes of a name, so that one metric has one name whichever way it came.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal

from receiver.telemetry.snapshot import Attributes, AttributeValue, Metric

UNITS = {
    "d": "days",
    "h": "hours",
    "min": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "By": "bytes",
    "KiBy": "kibibytes",
    "MiBy": "mebibytes",
    "GiBy": "gibibytes",
    "TiBy": "tibibytes",
    "KBy": "kilobytes",
    "MBy": "megabytes",
    "GBy": "gigabytes",
    "TBy": "terabytes",
    "m": "meters",
    "V": "volts",
    "A": "amperes",
    "J": "joules",
    "W": "watts",
    "g": "grams",
    "Cel": "celsius",
    "Hz": "hertz",
    "1": "",
    "%": "percent",
}
UNITS_PER = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}

_NOT_METRIC = re.compile(r"[^a-zA-Z0-9:]+")
_NOT_LABEL = re.compile(r"[^a-zA-Z0-9]+")


def metric_name(metric: Metric) -> str:
    """The family's name, without `_bucket`, `_sum`, `_count`; empty when nothing of the name is legal."""
    words = [word for word in _NOT_METRIC.split(metric.name) if word]
    main, _, per = metric.unit.partition("/")
    for word in (_unit_word(main, UNITS), _per(per)):
        if word and word not in words:
            words.append(word)
    if metric.kind == "sum" and metric.monotonic:
        words = [word for word in words if word != "total"] + ["total"]
    if metric.kind == "gauge" and metric.unit == "1":
        words = [word for word in words if word != "ratio"] + ["ratio"]
    name = "_".join(words)
    return "_" + name if name[:1].isdigit() else name


def unit_word(unit: str) -> str:
    """The unit as metadata tells it: `seconds`."""
    return _unit_word(unit.partition("/")[0], UNITS)


def _unit_word(unit: str, words: dict[str, str]) -> str:
    unit = unit.strip()
    if "{" in unit:  # an annotation, `{request}`: not a unit
        return ""
    return "_".join(word for word in _NOT_METRIC.split(words.get(unit, unit)) if word)


def _per(unit: str) -> str:
    word = _unit_word(unit, UNITS_PER)
    return f"per_{word}" if word else ""


def label_name(name: str) -> str:
    """Runs of anything illegal are one `_`, so that no name begins with the reserved `__`; empty when nothing is
    left."""
    label = _NOT_LABEL.sub("_", name)
    if label in ("", "_"):
        return ""
    if label[0].isdigit():
        return "key_" + label
    return "key" + label if label[0] == "_" else label


def label_value(value: AttributeValue) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return number_text(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def number_text(number: float) -> str:
    """The shortest decimal, without exponent and without `.0`: `0.005`, `1`, `+Inf`; the form of `le`."""
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    if math.isnan(number):
        return "NaN"
    decimal = format(Decimal(repr(number)), "f")
    if "." in decimal:
        decimal = decimal.rstrip("0").rstrip(".")
    return decimal


def labels_of(attributes: Attributes) -> dict[str, str]:
    """Labels without the empty ones, which are the same as none. Names that fall together are joined with `;`, values
    in the order of their original names."""
    labels: dict[str, str] = {}
    for name, value in sorted(attributes, key=lambda pair: pair[0]):
        label, words = label_name(name), label_value(value)
        if not label or not words:
            continue
        labels[label] = f"{labels[label]};{words}" if label in labels else words
    return labels
