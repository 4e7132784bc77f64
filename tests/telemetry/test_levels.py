"""Levels as metrics: names, attributes, and what is beyond the cap."""

from __future__ import annotations

from receiver.telemetry.levels import LevelMetrics


def test_levels_are_gauges_by_topic_group_and_queue() -> None:
    lag, queue = LevelMetrics().metrics({("orders", "billing"): 5, ("orders", ""): 0}, {"jobs": 7})
    assert (lag.name, lag.kind, lag.unit) == ("pcap_receiver.kafka.consumer.lag", "gauge", "{message}")
    topic = (("messaging.system", "kafka"), ("messaging.destination.name", "orders"))
    assert {point.attributes: point.value for point in lag.points} == {
        (*topic, ("messaging.consumer.group.name", "billing")): 5,
        topic: 0,
    }
    assert (queue.name, queue.kind, queue.unit) == ("pcap_receiver.amqp.queue.messages", "gauge", "{message}")
    named = (("messaging.system", "rabbitmq"), ("messaging.destination.name", "jobs"))
    assert [(point.attributes, point.value) for point in queue.points] == [(named, 7)]


def test_what_is_not_known_is_not_told_and_a_series_keeps_its_attributes() -> None:
    metrics = LevelMetrics()
    assert metrics.metrics({}, {}) == []
    (first,), (second,) = metrics.metrics({("a", "g"): 1}, {}), metrics.metrics({("a", "g"): 2}, {})
    assert first.points[0].attributes is second.points[0].attributes


def test_beyond_the_cap_the_rest_is_one_series() -> None:
    metrics = LevelMetrics(series_max=3)
    (queue,) = metrics.metrics({}, {"a": 1, "b": 2, "c": 3, "d": 4})
    assert [point.value for point in queue.points] == [1, 2, 7]
    assert queue.points[-1].attributes == (("otel.metric.overflow", True),)
    (queue,) = metrics.metrics({}, {"c": 3, "b": 0})
    assert [point.value for point in queue.points] == [0, 3]
