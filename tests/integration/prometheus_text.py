"""Reads Prometheus text: what a page of metrics says."""

from __future__ import annotations

import re
from collections.abc import Iterator

_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def samples(text: str, name: str, **labels: str) -> list[float]:
    """The values of a metric whose labels include those given."""
    return [value for found, value in _series(text, name) if labels.items() <= found.items()]


def values_of(text: str, name: str, label: str) -> set[str]:
    """The values of a label of a metric."""
    return {found[label] for found, _ in _series(text, name) if label in found}


def _series(text: str, name: str) -> Iterator[tuple[dict[str, str], float]]:
    for line in text.splitlines():
        match = _SAMPLE.match(line)
        if match and match[1] == name:
            yield dict(_LABEL.findall(match[2] or "")), float(match[3])
