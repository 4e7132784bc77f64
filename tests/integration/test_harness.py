"""The harness itself: what the other tests conclude from is only worth something if these hold."""

from __future__ import annotations

import sys

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.integration.conservation import broken_laws
from tests.integration.namespaces import APPLICATION, BACKEND
from tests.integration.prometheus_text import samples, values_of
from tests.integration.servers import Site, http_get, wait_for

# In a process of its own: the threads of grpc open their sockets in the namespace in which the process started.
SEND = f"""
import grpc, sys
channel = grpc.insecure_channel("{BACKEND}:4317")
method = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
method(bytes.fromhex(sys.stdin.read()), timeout=20, wait_for_ready=True)
"""


def test_client_reaches_nginx_and_not_the_backend(site: Site) -> None:
    nginx = site.nginx()
    assert site.curl() == "hello\n"
    assert nginx.requests() == 1
    assert http_get(site.client, f"http://{BACKEND}:8428/")[0] == 0


def test_wrk_that_finishes_counts_as_nginx_does(site: Site) -> None:
    nginx = site.nginx()
    assert site.wrk(1, connections=4) == nginx.requests() > 100


def test_paced_wrk_keeps_its_rate_and_its_count(site: Site) -> None:
    nginx = site.nginx()
    count = site.wrk(2, connections=2, pause_ms=10)
    assert 0 < count <= 2 * 3 * 100
    assert count == nginx.requests()


def test_router_loses_packets_and_tcp_repairs(routed_site: Site) -> None:
    nginx = routed_site.nginx()
    routed_site.lose(3)
    assert routed_site.wrk(2, connections=4) == nginx.requests()
    assert routed_site.lost() > 0


def test_collector_gives_back_the_span_that_it_got(site: Site) -> None:
    collector = site.collector()
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    attribute = group.resource.attributes.add(key="service.name")
    attribute.value.string_value = "shop"
    span = group.scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="GET", kind=2, flags=0x301)
    span.attributes.add(key="server.port").value.int_value = 8080

    site.application.run(sys.executable, "-c", SEND, text_in=request.SerializeToString().hex())
    (got,) = wait_for(collector.spans, "a span")
    assert got["traceId"] == (b"t" * 16).hex()
    assert got["flags"] == 0x301
    assert got["attributes"] == {"server.port": 8080}
    assert got["resource"] == {"service.name": "shop"}
    assert collector.accepted_spans() == 1


def test_victoria_metrics_gives_back_the_sample_that_it_got(site: Site) -> None:
    store = site.victoria_metrics()
    url = f"http://{BACKEND}:8428/api/v1/import/prometheus"
    site.application.run("curl", "-sS", "-d", 'requests_total{path="/"} 3', url)
    wait_for(lambda: store.value("requests_total") == 3, "the sample")
    assert '"requests_total"' in store.exported()


def test_prometheus_answers(site: Site) -> None:
    assert site.prometheus().value("vector(3)") == 3


def test_samples_reads_prometheus_text() -> None:
    page = '# TYPE a counter\na{x="1",y="q\\"}"} 2\na{x="2"} 3e0\nab 7\nb 1\n'
    assert samples(page, "a") == [2, 3]
    assert samples(page, "a", x="2") == [3]
    assert samples(page, "b") == [1]
    assert values_of(page, "a", "x") == {"1", "2"}


# Of a receiver that read 7 packets, 3 requests and 2 answers, and made 2 spans of them.
CONSERVED = """
pcap_receiver_capture_packets_total 7
pcap_receiver_capture_packets_parsed_total 5
pcap_receiver_capture_packets_skipped_total{reason="protocol"} 2
pcap_receiver_decode_messages_total{direction="request"} 3
pcap_receiver_decode_messages_total{direction="response"} 2
pcap_receiver_messages_total{direction="request",state="paired"} 2
pcap_receiver_messages_total{direction="request",state="open"} 1
pcap_receiver_messages_total{direction="response",state="paired"} 2
pcap_receiver_roundtrips_total{outcome="ok",protocol="http"} 2
pcap_receiver_spans_total{state="exported"} 1
pcap_receiver_spans_total{state="not_sampled"} 1
pcap_receiver_exporter_sent_spans_total{exporter="a"} 1
"""


@pytest.mark.parametrize("law", ["", "packets", "requests", "pairs", "roundtrips", "spans", "exported by a", "responses"])
def test_a_figure_that_does_not_add_up_is_found(law: str) -> None:
    figure = {
        "packets": 'skipped_total{reason="protocol"}',
        "requests": 'messages_total{direction="request",state="open"}',
        "pairs": 'messages_total{direction="response",state="paired"}',
        "roundtrips": 'roundtrips_total{outcome="ok",protocol="http"}',
        "spans": 'spans_total{state="not_sampled"}',
        "exported by a": 'sent_spans_total{exporter="a"}',
        "responses": 'decode_messages_total{direction="response"}',
    }.get(law, "")
    page = CONSERVED.replace(f"{figure} ", f"{figure} 1") if figure else CONSERVED
    broken = broken_laws(page)
    assert [line.partition(":")[0] for line in broken if line.startswith(law)][:1] == ([law] if law else [])
    assert bool(broken) == bool(law)


def test_nginx_listens_where_the_tests_think(site: Site) -> None:
    site.nginx()
    assert http_get(site.client, f"http://{APPLICATION}:8080/status/404")[0] == 404
    assert len(http_get(site.client, f"http://{APPLICATION}:8080/large")[1]) == 1_000_000
