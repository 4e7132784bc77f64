"""The main job from end to end: what a client counted is in the Collector and in VictoriaMetrics, exactly.

nginx, wrk, curl, the OpenTelemetry Collector and VictoriaMetrics are the real ones; expected values are theirs.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from tests.integration.namespaces import APPLICATION, APPLICATION_TO_BACKEND, BACKEND
from tests.integration.servers import Collector, Receiver, Site, Span, VictoriaMetrics, program, wait_for

SERVER_DURATION = "http.server.request.duration"
REQUESTS = "http_server_request_duration_seconds_count"
SPAN_KIND_SERVER = 2
SPAN_KIND_CLIENT = 3
STATUS_ERROR = 2
FLAG_SAMPLED = 0x01
FLAGS_PARENT_IS_REMOTE = 0x300  # opentelemetry-proto, SpanFlags: CONTEXT_HAS_IS_REMOTE_MASK | CONTEXT_IS_REMOTE_MASK

# At full speed wrk, nginx and the receiver want more than the cores of a small or busy machine: what does not fit the ring is
# counted as dropped. Exact equality belongs to a rate that any machine holds: 16 connections that pause, 1 900 requests a second.
FULL_SPEED = ("exporters.otlp_grpc.sending_queue.queue_size=1GiB", "receivers.pcap.buffer_size=64MiB")
PAUSE_MS = 8


def increase(store: VictoriaMetrics) -> float | None:
    """What a dashboard asks for. It takes a first sample for an increase from 0 only if the next one grows much as well
    (`increase` in VictoriaMetrics' documentation), so it is exact for a load that lasts some export intervals."""
    return store.value(f'sum(increase({REQUESTS}{{job="shop"}}[10m]))')


def stored_requests(store: VictoriaMetrics) -> float | None:
    """The sum of the newest cumulative count of each series."""
    return store.value(f'sum(last_over_time({REQUESTS}{{job="shop"}}[10m]))')


def exported_requests(collector: Collector) -> int:
    """The sum of the newest cumulative count of each series of the request duration."""
    newest = {
        tuple(sorted(point["attributes"].items())): int(point["count"]) for point in collector.points(SERVER_DURATION)
    }
    return sum(newest.values())


def settled_spans(receiver: Receiver, collector: Collector, count: int) -> list[Span]:
    spans = wait_for(lambda: collector.spans() if len(collector.spans()) >= count else [], f"{count} spans")
    receiver.settle()
    assert len(collector.spans()) == len(spans)
    return spans


def test_every_request_of_wrk_is_a_span_and_a_count(site: Site) -> None:
    nginx = site.nginx()
    collector = site.collector(counting=True)
    store = site.victoria_metrics()
    receiver = site.receiver(*FULL_SPEED)

    sent = site.wrk(10, pause_ms=PAUSE_MS)

    assert nginx.requests() == sent
    receiver.settle()
    assert receiver.packets_dropped() == 0
    assert receiver.own("roundtrips_total", protocol="http", outcome="ok") == receiver.roundtrips() == sent
    assert receiver.spans_lost() == 0
    assert collector.accepted_spans() == sent
    wait_for(lambda: increase(store) == sent, f"increase of {REQUESTS} = {sent}")
    wait_for(lambda: exported_requests(collector) == sent, f"{SERVER_DURATION} of {sent}")


def test_full_speed_of_wrk_balances_with_what_was_dropped(site: Site) -> None:
    """Each request is one packet: what is not told was in a packet that the kernel counts as dropped. A roundtrip with one half in
    such a packet is told as lost, and none as an error, a timeout or another's answer."""
    nginx = site.nginx()
    collector = site.collector(counting=True)
    store = site.victoria_metrics()
    receiver = site.receiver(*FULL_SPEED)

    sent = site.wrk(10, connections=32)

    assert nginx.requests() == sent
    receiver.settle()
    dropped, told = receiver.packets_dropped(), receiver.roundtrips()
    ok = receiver.own("roundtrips_total", protocol="http", outcome="ok")
    print(f"{sent} requests, {told} told, {ok} of them ok; {dropped} packets dropped")
    assert sent - dropped <= told <= sent
    assert ok + receiver.own("roundtrips_total", protocol="http", outcome="lost") == told
    assert ok == sent if dropped == 0 else 0 < ok <= sent
    assert receiver.spans_lost() == 0
    assert collector.accepted_spans() == told
    wait_for(lambda: exported_requests(collector) == told, f"{SERVER_DURATION} of {told}")
    wait_for(lambda: stored_requests(store) == told, f"{REQUESTS} = {told}")


def test_wrk_that_leaves_requests_in_flight_differs_by_no_more_than_those(site: Site) -> None:
    """wrk as people run it: at the end each connection may be cut within one request that it does not count."""
    connections = 32
    site.nginx()
    collector = site.collector(counting=True)
    store = site.victoria_metrics()
    receiver = site.receiver(*FULL_SPEED)

    counted = site.wrk(10, connections, finish=False, pause_ms=2 * PAUSE_MS)

    receiver.settle()
    assert receiver.packets_dropped() == 0
    seen = receiver.roundtrips()
    assert counted <= seen <= counted + connections
    assert receiver.own("roundtrips_total", protocol="http", outcome="ok") >= counted
    assert collector.accepted_spans() == seen
    wait_for(lambda: increase(store) == seen, f"increase of {REQUESTS} = {seen}")


def test_packets_lost_on_the_way_lose_no_roundtrip_and_invent_none(routed_site: Site) -> None:
    """TCP sends again what the router dropped: retransmissions, swapped segments, and each request once."""
    nginx = routed_site.nginx()
    collector = routed_site.collector()
    receiver = routed_site.receiver("receivers.pcap.interfaces=[eth0]")
    routed_site.lose(1)

    sent = routed_site.wrk(5, connections=8, pause_ms=5)

    assert routed_site.lost() > 0
    assert nginx.requests() == sent
    spans = settled_spans(receiver, collector, sent)
    assert len(spans) == sent
    assert {span["attributes"]["http.response.status_code"] for span in spans} == {200}


def test_curl_with_a_traceparent_is_the_parent_of_the_span(site: Site) -> None:
    site.nginx()
    collector = site.collector()
    receiver = site.receiver()
    trace_id, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

    site.curl("/", "-H", f"traceparent: 00-{trace_id}-{parent}-01", "-H", "tracestate: vendor=a:b,other=1")

    (span,) = settled_spans(receiver, collector, 1)
    assert span["traceId"] == trace_id
    assert span["parentSpanId"] == parent
    assert span["spanId"] != parent
    assert span["traceState"] == "vendor=a:b,other=1"
    assert span["flags"] == FLAGS_PARENT_IS_REMOTE | FLAG_SAMPLED


def test_curl_without_a_traceparent_begins_a_trace(site: Site) -> None:
    site.nginx()
    collector = site.collector()
    receiver = site.receiver()

    site.curl("/")
    site.curl("/")

    first, second = settled_spans(receiver, collector, 2)
    assert first["traceId"] != second["traceId"]
    assert first.get("parentSpanId", "") == ""
    assert len(first["traceId"]) == 32
    assert len(first["spanId"]) == 16


def test_span_says_what_the_conventions_ask_for(site: Site) -> None:
    """Semantic conventions 1.44.0, docs/http/http-spans.md, server span; the values are what curl and nginx did."""
    site.nginx()
    collector = site.collector()
    receiver = site.receiver()
    before_ns = time.time_ns()

    site.curl("/basket?item=7", "-A", "shopper/1.0", "-o", "/dev/null")

    (span,) = settled_spans(receiver, collector, 1)
    attributes = span["attributes"]
    assert span["name"] == "GET /basket"
    assert span["kind"] == SPAN_KIND_SERVER
    assert span.get("status", {}).get("code", 0) == 0
    assert before_ns < int(span["startTimeUnixNano"]) < int(span["endTimeUnixNano"]) < time.time_ns()
    expected = {
        "http.request.method": "GET",
        "url.path": "/basket",
        "url.scheme": "http",
        "http.response.status_code": 200,
        "server.address": APPLICATION,
        "server.port": 8080,
        "client.address": site.client_address,
        "user_agent.original": "shopper/1.0",
        "network.protocol.version": "1.1",
        "network.peer.address": site.client_address,
    }
    assert expected.items() <= attributes.items()
    assert "error.type" not in attributes
    assert span["resource"]["service.name"] == "shop"
    assert span["resource"]["telemetry.sdk.name"] == "pcap-receiver"
    assert span["schemaUrl"] == "https://opentelemetry.io/schemas/1.44.0"


def test_only_a_server_error_is_an_error_of_the_server(site: Site) -> None:
    site.nginx()
    collector = site.collector()
    receiver = site.receiver()

    site.curl("/status/404")
    site.curl("/status/500")

    spans = {span["attributes"]["http.response.status_code"]: span for span in settled_spans(receiver, collector, 2)}
    assert spans[404].get("status", {}).get("code", 0) == 0
    assert spans[500]["status"]["code"] == STATUS_ERROR
    assert spans[500]["attributes"]["error.type"] == "500"


def test_requests_that_leave_are_client_spans(site: Site) -> None:
    """The watched side calls out: the call is a span, from the client's view; the receiver's own exports are not."""
    collector = site.collector()
    site.victoria_metrics()
    receiver = site.receiver()
    url = f"http://{BACKEND}:13133/"

    site.application.run(program("curl"), "-sS", "-o", "/dev/null", url)

    (span,) = settled_spans(receiver, collector, 1)
    assert span["kind"] == SPAN_KIND_CLIENT
    expected = {
        "http.request.method": "GET",
        "server.address": BACKEND,
        "server.port": 13133,
        "url.full": url,
        "http.response.status_code": 200,
        "network.peer.address": BACKEND,
    }
    assert expected.items() <= span["attributes"].items()
    assert APPLICATION_TO_BACKEND not in span["attributes"].values()


def test_collector_that_was_away_misses_spans_that_are_counted_and_no_metric(site: Site) -> None:
    """It is ended, so that what it has acknowledged is on its disk; the queue is too small for the time without it."""
    nginx = site.nginx()
    collector = site.collector()
    store = site.victoria_metrics()
    queue = "exporters.otlp_grpc.sending_queue"
    receiver = site.receiver(f"{queue}.queue_size=256KiB", f"{queue}.batch.max_size=64KiB")

    sent = site.wrk(2, connections=4, pause_ms=2)
    collector.stop()
    sent += site.wrk(30, connections=4, pause_ms=2)
    collector.start()
    collector.wait_ready("http://127.0.0.1:13133/")
    sent += site.wrk(5, connections=4, pause_ms=2)

    assert nginx.requests() == sent
    receiver.settle()
    assert receiver.roundtrips() == sent
    identities = {span["spanId"] for span in collector.spans()}
    assert len(collector.spans()) == len(identities)
    assert receiver.spans_lost() > 0
    assert receiver.spans_sent() == len(identities)
    assert len(identities) + receiver.spans_lost() == sent
    wait_for(lambda: exported_requests(collector) == sent, "all requests in the Collector's metrics")
    wait_for(lambda: stored_requests(store) == sent, "all requests in VictoriaMetrics")


def test_collector_that_is_absent_harms_nothing_else(site: Site) -> None:
    site.nginx()
    store = site.victoria_metrics()
    receiver = site.receiver()

    sent = site.wrk(2, connections=4, pause_ms=10)

    wait_for(lambda: receiver.roundtrips() == sent, f"{sent} roundtrips")
    wait_for(lambda: stored_requests(store) == sent, "all requests in VictoriaMetrics")
    assert receiver.process.poll() is None
    assert receiver.stop() == 0
    assert "Traceback" not in receiver.output()


def test_recorded_file_gives_the_same_spans_as_the_wire(site: Site, tmp_path: Path) -> None:
    site.nginx()
    collector = site.collector()
    receiver = site.receiver("receivers.pcap.interfaces=[eth0]")
    recording = tmp_path / "recording.pcap"
    tcpdump = [program("tcpdump"), "-i", "eth0", "-w", str(recording), "-U"]
    recorder = site.background(tcpdump, site.application, "listening on")

    for path in ("/", "/basket?item=7", "/status/500", "/large"):
        site.curl(path, "-o", "/dev/null")
    live = settled_spans(receiver, collector, 4)
    recorder.stop()
    receiver.stop()
    done = site.run_receiver(
        "--config", str(receiver.folder / "config.yaml"),
        "--set", f"receivers.pcap.files=[{recording}]", "--set", "receivers.pcap.interfaces=[]",
        "--set", f"receivers.pcap.local_addresses=[{APPLICATION}]",
        "--set", "service.pipelines.metrics.exporters=[otlp_grpc]",  # the other one has no store here, and would wait for it
    )

    assert done.returncode == 0, done.stderr
    replayed = wait_for(lambda: collector.spans()[4:] if len(collector.spans()) >= 8 else [], "the file's spans")
    assert without_identity(replayed) == without_identity(live)
    # The kernel stamps a packet that comes in anew for each socket that looks on, some microseconds apart.
    for there, here in zip(by_start(replayed), by_start(live), strict=True):
        for edge in ("startTimeUnixNano", "endTimeUnixNano"):
            assert abs(int(there[edge]) - int(here[edge])) < 5_000_000


def by_start(spans: Iterable[Span]) -> list[Span]:
    return sorted(spans, key=lambda span: int(span["startTimeUnixNano"]))


def without_identity(spans: Iterable[Span]) -> list[Span]:
    apart = {"traceId", "spanId", "startTimeUnixNano", "endTimeUnixNano"}
    return [{key: value for key, value in span.items() if key not in apart} for span in by_start(spans)]


def test_secrets_of_a_request_leave_in_no_way(site: Site) -> None:
    site.nginx()
    collector = site.collector()
    store = site.victoria_metrics()
    receiver = site.receiver("service.telemetry.logs.level=debug")

    options = ["-H", "Authorization: Bearer planted-1", "-H", "Cookie: session=planted-2", "-H", "X-Key: planted-3"]
    site.curl("/path?sig=planted-4&item=planted-5", "-d", "planted-6", "-o", "/dev/null", *options)

    settled_spans(receiver, collector, 1)
    wait_for(lambda: stored_requests(store) is not None, "the request in VictoriaMetrics")
    receiver.stop()
    everything = collector.exported() + store.exported() + receiver.output()
    assert "/path" in everything
    assert "planted" not in everything


def test_end_under_load_flushes_what_was_seen(site: Site) -> None:
    """SIGTERM: every roundtrip that the metrics count is a span that the Collector has."""
    site.nginx()
    collector = site.collector()
    receiver = site.receiver()
    site.wrk(1, connections=4, pause_ms=5)

    assert receiver.stop() == 0

    wait_for(lambda: exported_requests(collector) == len(collector.spans()) > 0, "as many spans as counted requests")
