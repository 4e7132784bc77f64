"""DNS roundtrips as spans and metrics: specs of the names, the opt-in metric, and its cap. Spans are read back with protobuf."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dns.message
import dns.rrset
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from receiver.config import Dns, PcapReceiver
from receiver.l7.conversation import Conversation
from receiver.l7.detect import Detector
from receiver.l7.matcher import Pairing
from receiver.l7.reading import Reading
from receiver.l7.registry import protocols
from receiver.l7.shared import Shared
from receiver.telemetry.metrics import Metrics
from receiver.telemetry.pipeline import Telemetry
from receiver.telemetry.redact import Redactor
from receiver.telemetry.sampling import Sampler
from receiver.telemetry.snapshot import HistogramPoint
from receiver.telemetry.spans import Identities, Spans
from receiver.wire.records import Connection, Endpoints

SERVER, CLIENT = 0, 1
NOW = 1_700_000_000_000_000_000


class Given(Connection):
    def __init__(self, endpoints: Endpoints) -> None:
        super().__init__()
        self.given = endpoints

    def swap_roles(self) -> int:
        raise AssertionError("the roles were right")

    def endpoints(self) -> Endpoints:
        return self.given


class Observed:
    """One client's datagrams, through telemetry."""

    def __init__(self, vantage: int = CLIENT, asked_for: tuple[str, ...] = (), spans: bool = True, series_max: int = 2000) -> None:
        rows = protocols(Shared(PcapReceiver(dns=Dns(lookup_duration="dns.lookup.duration" in asked_for))))
        self.metrics = Metrics(rows, series_max, emitted=asked_for)
        self.spans = Spans(Redactor()) if spans else None
        self.telemetry = Telemetry(self.metrics, self.spans, Sampler("always_on"), Identities())
        self.pairing = Pairing(self.telemetry)
        reading = Reading(self.pairing, Detector(rows), spans)
        endpoints = Endpoints("192.0.2.9", 40000, "192.0.2.53", 53, "udp", vantage, False, "ns.test")
        self.conversation = Conversation(reading, Given(endpoints), False, True)
        self.identity = 0

    def look_up(self, name: str, kind: str = "A", rcode: int = 0, tries: int = 1) -> None:
        self.identity += 1
        query = dns.message.make_query(name, kind, id=self.identity)
        answer = dns.message.make_response(query)
        answer.set_rcode(dns.rcode.Rcode(rcode))
        if kind == "A" and rcode == 0:
            answer.answer.append(dns.rrset.from_text(name + ".", 60, "IN", "A", "192.0.2.1", "192.0.2.2"))
        for direction, wire in [(0, query.to_wire())] * tries + [(1, answer.to_wire())]:
            self.conversation.feed(direction, wire, 0, len(wire), NOW)

    def read_spans(self) -> list[Span]:
        assert self.spans is not None
        scope = ScopeSpans()
        scope.ParseFromString(bytes(self.spans.lend()[0]))
        return list(scope.spans)

    def points(self) -> dict[str, list[HistogramPoint]]:
        return {metric.name: [p for p in metric.points if isinstance(p, HistogramPoint)] for metric in self.metrics.durations()}


def attributes(span: Span) -> Mapping[str, Any]:
    found = {}
    for pair in span.attributes:
        value = pair.value
        kind = str(value.WhichOneof("value"))
        found[pair.key] = getattr(value, kind)
        if kind == "array_value":
            found[pair.key] = [one.string_value for one in value.array_value.values]
    return found


def test_span_of_a_client() -> None:
    seen = Observed()
    seen.look_up("wWw.shop.test")
    (span,) = seen.read_spans()
    assert (span.name, span.kind, span.status.code) == ("DNS A", Span.SPAN_KIND_CLIENT, 0)
    found = attributes(span)
    assert sorted(found.pop("dns.answers")) == ["192.0.2.1", "192.0.2.2"]
    assert found == {
        "dns.question.name": "www.shop.test",
        "pcap_receiver.dns.question.type": "A",
        "pcap_receiver.dns.response_code": "NOERROR",
        "server.address": "ns.test",
        "server.port": 53,
        "network.peer.address": "192.0.2.53",
        "network.peer.port": 53,
        "network.transport": "udp",
    }


def test_span_of_a_server_has_the_client() -> None:
    seen = Observed(SERVER)
    seen.look_up("a.test", "AAAA")
    (span,) = seen.read_spans()
    assert (span.name, span.kind) == ("DNS AAAA", Span.SPAN_KIND_SERVER)
    assert attributes(span)["client.address"] == attributes(span)["network.peer.address"] == "192.0.2.9"


def test_an_error_names_its_response_code() -> None:
    seen = Observed()
    seen.look_up("no.test", rcode=2)
    (span,) = seen.read_spans()
    assert span.status.code == 2
    assert attributes(span)["error.type"] == attributes(span)["pcap_receiver.dns.response_code"] == "SERVFAIL"


def test_no_such_name_is_no_error_and_has_its_code() -> None:
    for vantage in (CLIENT, SERVER):
        seen = Observed(vantage, ("dns.lookup.duration",))
        seen.look_up("no.test", rcode=3)
        (span,) = seen.read_spans()
        assert span.status.code == 0
        assert attributes(span)["pcap_receiver.dns.response_code"] == "NXDOMAIN"
        assert "error.type" not in attributes(span)
        (points,) = seen.points().values()
        assert [dict(point.attributes).get("error.type") for point in points] == [None]


def test_a_request_sent_again_says_how_often() -> None:
    seen = Observed()
    seen.look_up("slow.test", tries=3)
    (span,) = seen.read_spans()
    assert attributes(span)["pcap_receiver.request.repeats"] == 2


def test_a_question_that_is_not_known_has_no_type_in_the_name() -> None:
    seen = Observed()
    query = b"\x00\x05\x20\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x04test\x00\x00\x06\x00\x01"  # NOTIFY
    for direction, wire in ((0, query), (1, b"\x00\x05\xa0" + query[3:])):
        seen.conversation.feed(direction, wire, 0, len(wire), NOW)
    assert [span.name for span in seen.read_spans()] == ["DNS NOTIFY"]


def test_the_clients_metric_is_there_only_when_asked_for() -> None:
    for asked_for, count in (((), 0), (("dns.lookup.duration",), 1)):
        seen = Observed(asked_for=asked_for)
        seen.look_up("a.test")
        assert len(seen.read_spans()) == 1
        assert len(seen.points()) == count


def test_the_clients_metric_is_split_by_name_and_error_and_by_nothing_else() -> None:
    """docs/dns/dns-metrics.md. Types and response codes that spans tell apart count in one series."""
    seen = Observed(asked_for=("dns.lookup.duration",))
    for kind in ("A", "AAAA", "MX"):
        seen.look_up("a.test", kind)
    seen.look_up("A.test", rcode=3)
    seen.look_up("A.test", rcode=5)
    seen.look_up("b.test")
    points = {point.attributes: point.count for point in seen.points()["dns.lookup.duration"]}
    assert points == {
        (("dns.question.name", "a.test"),): 4,
        (("dns.question.name", "a.test"), ("error.type", "REFUSED")): 1,
        (("dns.question.name", "b.test"),): 1,
    }
    assert {span.name for span in seen.read_spans()} == {"DNS A", "DNS AAAA", "DNS MX"}
    assert all(attributes(span)["dns.question.name"] in ("a.test", "b.test") for span in seen.read_spans())


def test_names_beyond_the_cap_share_the_overflow_series() -> None:
    seen = Observed(asked_for=("dns.lookup.duration",), spans=False, series_max=4)
    for i in range(6):
        seen.look_up(f"n{i}.test")
    points = {point.attributes: point.count for point in seen.points()["dns.lookup.duration"]}
    assert points[(("otel.metric.overflow", True),)] == 3
    assert len(points) == 4


def test_the_servers_metric_is_split_by_type_and_response_code() -> None:
    seen = Observed(SERVER)
    seen.look_up("a.test")
    seen.look_up("b.test")
    seen.look_up("c.test", rcode=2)
    points = {point.attributes: point.count for point in seen.points()["pcap_receiver.dns.server.lookup.duration"]}
    assert points == {
        (("pcap_receiver.dns.question.type", "A"), ("pcap_receiver.dns.response_code", "NOERROR")): 2,
        (
            ("error.type", "SERVFAIL"),
            ("pcap_receiver.dns.question.type", "A"),
            ("pcap_receiver.dns.response_code", "SERVFAIL"),
        ): 1,
    }
