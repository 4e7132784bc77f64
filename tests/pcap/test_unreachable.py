"""A request over UDP that ICMP says cannot be delivered: it ends then, and says why.

Codes are those of RFC 792, RFC 1122 (3.2.2.1), RFC 1812 (5.2.7.1) and RFC 4443 (3.1).
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from receiver.build import make_engine
from receiver.config import Config, Layer4, PcapReceiver, Receivers
from receiver.engine import Engine
from receiver.l7 import registry
from receiver.pcap.bpf import FilterPlan, build_filter
from receiver.telemetry.metrics import Metrics
from receiver.telemetry.pipeline import Telemetry
from receiver.telemetry.redact import Redactor
from receiver.telemetry.sampling import Sampler
from receiver.telemetry.spans import Identities, Spans
from receiver.wire.records import Roundtrip, Sink
from tests.pcap.packets import SYN, ip, udp
from tests.pcap.test_datagrams import ANSWER, QUESTION, error, syn

CLIENT, SERVER, ROUTER = "10.0.0.1", "10.0.0.2", "10.0.0.254"
CLIENT6, SERVER6, ROUTER6 = "fd00::1", "fd00::2", "fd00::fe"
START_NS = 1_700_000_000_000_000_000

CODES4 = {
    0: "network_unreachable", 1: "host_unreachable", 2: "protocol_unreachable", 3: "port_unreachable", 5: "unreachable",
    6: "network_unreachable", 7: "host_unreachable", 8: "host_unreachable", 9: "administratively_prohibited",
    10: "administratively_prohibited", 11: "network_unreachable", 12: "host_unreachable", 13: "administratively_prohibited",
    14: "unreachable", 15: "unreachable", 16: "unreachable", 255: "unreachable",
}
CODES6 = {
    0: "network_unreachable", 1: "administratively_prohibited", 2: "unreachable", 3: "host_unreachable", 4: "port_unreachable",
    5: "administratively_prohibited", 6: "administratively_prohibited", 7: "unreachable", 255: "unreachable",
}
CASES = [((CLIENT, SERVER, ROUTER), code, why) for code, why in CODES4.items()] + [
    ((CLIENT6, SERVER6, ROUTER6), code, why) for code, why in CODES6.items()
]


class Told:
    """What telemetry makes of datagrams at given times, in milliseconds."""

    def __init__(self, layer4: bool = True, local: Iterable[str] = (CLIENT, CLIENT6)) -> None:
        self.spans = Spans(Redactor())
        self.metrics = Metrics(registry.PROTOCOLS, emitted=("dns.lookup.duration",))
        telemetry = Telemetry(self.metrics, self.spans, Sampler("always_on"), Identities())
        config = Config(receivers=Receivers(pcap=PcapReceiver(layer4=Layer4(enabled=layer4))))
        packed = [ipaddress.ip_address(each).packed for each in local]
        self.engine: Engine = make_engine(config, telemetry, detail=True, local=packed)

    def packet(self, at_ms: int, frame: bytes) -> Told:
        seconds, rest = divmod(START_NS + at_ms * 1_000_000, 1_000_000_000)
        self.engine.process_batch(frame, struct.pack("=IIII", seconds, rest // 1000, 0, len(frame)), 12)
        return self

    def read(self) -> list[Span]:
        self.engine.finish()
        pairing = self.engine.reading.pairing
        assert pairing.open == 0
        assert pairing.requests == pairing.paired + pairing.one_way + pairing.unanswered + pairing.repeated
        assert self.engine.packets == self.engine.parsed + sum(self.engine.skipped_packets().values())
        scope = ScopeSpans()
        scope.ParseFromString(bytes(self.spans.lend()[0]))
        return list(scope.spans)


def outcome(span: Span) -> tuple[Any, ...]:
    """Outcome, error.type, milliseconds."""
    found = {pair.key: pair.value.string_value for pair in span.attributes}
    lasted_ms = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6
    return found.get("pcap_receiver.outcome", "answered"), found.get("error.type"), lasted_ms


def question(identity: int = 7, client: str = CLIENT, server: str = SERVER, port: int = 40000) -> bytes:
    return ip(client, server, 17, udp(port, 53, struct.pack("!H", identity) + QUESTION[2:]), identity)


def answer(identity: int = 7) -> bytes:
    return ip(SERVER, CLIENT, 17, udp(53, 40000, struct.pack("!H", identity) + ANSWER[2:]), identity)


@pytest.mark.parametrize("layer4", [True, False], ids=["layer 4", "no layer 4"])
@pytest.mark.parametrize(("names", "code", "why"), CASES)
def test_a_request_that_does_not_arrive_ends_at_once_and_says_why(
    names: tuple[str, str, str], code: int, why: str, layer4: bool
) -> None:
    client, server, router = names
    about = question(client=client, server=server)
    told = Told(layer4).packet(0, about).packet(2, error(about, router, client, code))
    (span,) = told.read()
    assert outcome(span) == ("unreachable", why, 2.0)
    assert span.status.code == 2
    assert told.engine.parsed == 2
    (point,) = [point for metric in told.metrics.durations() for point in metric.points]
    assert (dict(point.attributes)["error.type"], point.sum) == (why, 0.002)
    counted = {dict(point.attributes)["outcome"]: point.value for point in told.metrics.roundtrips(0).points}
    assert counted == {"unreachable": 1}


def test_all_that_waits_on_those_ports_ends() -> None:
    """One error stands for A and AAAA: a kernel sends few of them."""
    told = Told().packet(0, question(1)).packet(1, question(2)).packet(3, error(question(1), code=3))
    why = "port_unreachable"
    assert [outcome(span) for span in told.read()] == [("unreachable", why, 3.0), ("unreachable", why, 2.0)]


def test_what_has_its_answer_stays_answered() -> None:
    told = Told().packet(0, question()).packet(1, answer()).packet(2, error(question(), code=3))
    assert [outcome(span) for span in told.read()] == [("answered", None, 1.0)]


def test_a_question_after_the_error_is_another_one() -> None:
    told = Told().packet(0, question()).packet(1, error(question(), code=1)).packet(5, question(8)).packet(6, answer(8))
    assert [outcome(span) for span in told.read()] == [("unreachable", "host_unreachable", 1.0), ("answered", None, 1.0)]


@pytest.mark.parametrize(
    "about",
    [
        question(port=40001),  # of nobody
        question(client="10.0.0.9"),
        question(server="10.0.0.9"),
        answer(),  # the answer did not arrive
        syn((40000, 53)),  # the same ports of TCP
    ],
    ids=["other port", "other client", "other server", "the answer", "tcp"],
)
def test_an_error_about_something_else_ends_nothing(about: bytes) -> None:
    told = Told().packet(0, question()).packet(1, error(about, code=3)).packet(9, answer())
    assert [outcome(span) for span in told.read()] == [("answered", None, 9.0)]


def test_an_error_that_says_be_smaller_ends_nothing() -> None:
    told = Told().packet(0, question()).packet(1, error(question(), code=4)).packet(9, answer())
    assert [outcome(span) for span in told.read()] == [("answered", None, 9.0)]


def test_seen_beside_the_server_it_is_the_same() -> None:
    told = Told(local=(SERVER,)).packet(0, question()).packet(1, error(question(), SERVER, CLIENT, 3))
    assert [outcome(span) for span in told.read()] == [("unreachable", "port_unreachable", 1.0)]


def test_an_error_ends_no_request_of_a_connection() -> None:
    """TCP tries on (RFC 5461); it says itself when it gives up."""

    class Kept(Sink):
        def roundtrip(self, roundtrip: Roundtrip) -> int:
            raise AssertionError("nothing has ended")

    engine = make_engine(Config(), Kept(), detail=False, local=())
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    about = ip(CLIENT, SERVER, 6, struct.pack("!HHIIBBHHH", 40000, 8080, 1, 0, 0x50, SYN, 500, 0, 0), 1)
    sent = ip(CLIENT, SERVER, 6, struct.pack("!HHIIBBHHH", 40000, 8080, 2, 1, 0x50, 0x18, 500, 0, 0) + request, 2)
    for frame in (about, sent, error(sent)):
        engine.process_batch(frame, struct.pack("=IIII", 1_700_000_000, 0, 0, len(frame)), 12)
    assert engine.reading.pairing.open == 1


def test_the_kernel_lets_errors_through_also_where_nobody_counts_layer_4() -> None:
    assert "icmp" in build_filter(FilterPlan(layer4=False), 1)
