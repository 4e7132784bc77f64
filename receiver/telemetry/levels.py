"""Levels that answers told -> Metrics.

Room: telemetry. Gauges: what is not known any more is not told. Beyond `series_max` series of a metric the rest is told in one
(metrics SDK specification, "Cardinality limits").
"""

from __future__ import annotations

from collections.abc import Mapping

from receiver.telemetry import semconv
from receiver.telemetry.snapshot import Attributes, Metric, NumberPoint

OVERFLOW: Attributes = ((semconv.OVERFLOW, True),)


class LevelMetrics:
    """Makes the Metrics. A series keeps its attributes from snapshot to snapshot, and nobody else gets its place."""

    def __init__(self, series_max: int = 2000) -> None:
        self._series_max = series_max
        self._known: dict[str, dict[tuple[str, ...], Attributes]] = {semconv.CONSUMER_LAG: {}, semconv.QUEUE_MESSAGES: {}}

    def metrics(self, behind: Mapping[tuple[str, str], int], waiting: Mapping[str, int]) -> list[Metric]:
        """`behind`: messages by topic and group, "" where that is not known; `waiting`: messages by queue."""
        lags = self._metric(semconv.CONSUMER_LAG, "kafka", behind)
        by_queue = {(queue,): messages for queue, messages in waiting.items()}
        queues = self._metric(semconv.QUEUE_MESSAGES, "rabbitmq", by_queue)
        return [metric for metric in (lags, queues) if metric.points]

    def _metric(
        self, name: str, system: str, levels: Mapping[tuple[str, str], int] | Mapping[tuple[str], int]
    ) -> Metric:
        definition = semconv.LEVELS[name]
        known = self._known[name]
        points: list[NumberPoint] = []
        rest: int | None = None
        for key, value in levels.items():
            attributes = known.get(key)
            if attributes is None and len(known) < self._series_max - 1:
                values = zip(definition.attributes, (system, *key), strict=True)
                attributes = known[key] = tuple((attribute, value) for attribute, value in values if value)
            if attributes is None:
                rest = (rest or 0) + value
            else:
                points.append(NumberPoint(attributes=attributes, start_ns=0, value=value))
        if rest is not None:
            points.append(NumberPoint(attributes=OVERFLOW, start_ns=0, value=rest))
        return Metric(
            name=name, unit=definition.unit, description=definition.description, kind="gauge", points=tuple(points)
        )
