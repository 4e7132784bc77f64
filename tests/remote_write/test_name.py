"""Expected names: OpenTelemetry's compatibility page, and what Prometheus documents for its own OTLP endpoint."""

import math

import pytest

from receiver.remote_write.name import label_name, label_value, labels_of, metric_name, number_text
from receiver.telemetry.snapshot import Metric


@pytest.mark.parametrize(
    ("name", "unit", "kind", "monotonic", "expected"),
    [
        ("http.server.request.duration", "s", "histogram", True, "http_server_request_duration_seconds"),
        ("rpc.client.call.duration", "s", "histogram", True, "rpc_client_call_duration_seconds"),
        ("db.client.response.returned_rows", "{row}", "histogram", True, "db_client_response_returned_rows"),
        ("messaging.client.sent.messages", "{message}", "sum", True, "messaging_client_sent_messages_total"),
        ("http.server.request.body.size", "By", "histogram", True, "http_server_request_body_size_bytes"),
        ("otel.sdk.exporter.span.exported", "{span}", "sum", True, "otel_sdk_exporter_span_exported_total"),
        ("requests.count", "1", "sum", True, "requests_count_total"),
        ("requests.total", "1", "sum", True, "requests_total"),
        ("memory.usage", "By", "gauge", True, "memory_usage_bytes"),
        ("cpu.utilization", "1", "gauge", True, "cpu_utilization_ratio"),
        ("flows.open", "{flow}", "sum", False, "flows_open"),
        ("net.speed", "By/s", "gauge", True, "net_speed_bytes_per_second"),
        ("net.rate", "{request}/s", "gauge", True, "net_rate_per_second"),
        ("uptime.seconds", "s", "gauge", True, "uptime_seconds"),
        ("a..b__c", "", "gauge", True, "a_b_c"),
        ("2xx", "", "gauge", True, "_2xx"),
        ("job:rate", "", "gauge", True, "job:rate"),
        ("žluť", "", "gauge", True, "lu"),
        ("ěšč", "", "gauge", True, ""),
    ],
)
def test_metric_name(name, unit, kind, monotonic, expected):
    assert metric_name(Metric(name, unit, "", kind, (), monotonic=monotonic)) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("http.request.method", "http_request_method"),
        ("a-b", "a_b"),
        ("2xx", "key_2xx"),
        ("__name__", "key_name_"),
        ("_x", "key_x"),
        ("..", ""),
        ("", ""),
    ],
)
def test_label_name(name, expected):
    assert label_name(name) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, "true"),
        (False, "false"),
        (200, "200"),
        (0.5, "0.5"),
        (2.0, "2"),
        ("x", "x"),
        (("a", 'b"'), '["a","b\\""]'),
    ],
)
def test_label_value(value, expected):
    assert label_value(value) == expected


def test_names_that_fall_together_are_joined_in_the_order_of_the_originals():
    assert labels_of((("b_c", "2"), ("b.c", "1"), ("a", "x"))) == {"b_c": "1;2", "a": "x"}


def test_empty_label_is_none():
    assert labels_of((("a", ""), ("b", ()), ("c", 0))) == {"b": "[]", "c": "0"}


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0.005, "0.005"),
        (1.0, "1"),
        (10, "10"),
        (7.5, "7.5"),
        (10000, "10000"),
        (1e-9, "0.000000001"),
        (1e20, "100000000000000000000"),
        (math.inf, "+Inf"),
    ],
)
def test_number_text(number, expected):
    assert number_text(number) == expected
