"""Small captures of what is met on real networks, each for a kind, read by the whole receiver. What is right was told by whoever
made them, and held against the specification that each test names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from receiver.build import make_engine
from receiver.config import Config
from receiver.engine import Engine
from receiver.l7 import registry
from receiver.pcap.file import FileSource
from receiver.settings.loader import load
from receiver.telemetry.metrics import Metrics
from receiver.telemetry.pipeline import Telemetry
from receiver.telemetry.redact import Redactor
from receiver.telemetry.sampling import Sampler
from receiver.telemetry.spans import Identities, Spans
from receiver.wire.records import Roundtrip, Sink
from tests.l7.harness import Collector, Seen

CASES = Path(__file__).resolve().parent / "cases"


class Rows(Collector):
    """Of each roundtrip its client's port, what was asked, what was answered, and how many seconds it took."""

    def __init__(self) -> None:
        super().__init__()
        self.ports: list[int] = []
        self.seconds: list[float] = []

    def roundtrip(self, roundtrip: Roundtrip) -> int:
        assert roundtrip.endpoints is not None and roundtrip.request is not None
        self.ports.append(roundtrip.endpoints.client_port)
        self.seconds.append((roundtrip.end_ns - roundtrip.request.first_ns) / 1e9)
        return super().roundtrip(roundtrip)

    def told(self, *names: str) -> list[tuple[Any, ...]]:
        names = names or ("operation", "url.path", "status", "outcome")
        return [tuple(one[name] for name in names) for one in self.seen]


def read(name: str, settings: str = "{}") -> tuple[Rows, Engine]:
    rows = Rows()
    return rows, run(name, settings, rows)


def spans(name: str, settings: str = "{}") -> list[dict[str, Any]]:
    """The attributes of each span."""
    written = Spans(Redactor())
    run(name, settings, Telemetry(Metrics(registry.PROTOCOLS), written, Sampler(), Identities()))
    scope = ScopeSpans()
    scope.ParseFromString(bytes(written.lend()[0]))
    return [
        {one.key: one.value.string_value or one.value.int_value for one in span.attributes} for span in scope.spans
    ]


def run(name: str, settings: str, sink: Sink) -> Engine:
    config: Config = load([f"yaml:{{receivers: {{pcap: {settings}}}}}"], environ={}).config
    engine = make_engine(config, sink, detail=True, local=())
    source = FileSource([str(CASES / f"{name}.pcap")], lambda link_type: "")
    source.open()
    source.run(engine.process_batch, engine.tick, lambda: False)
    engine.finish()
    source.close()
    pairing = engine.reading.pairing
    assert pairing.open == 0
    return engine


def all_ok(seen: list[Seen]) -> list[str]:
    assert {(one.outcome, one["status"]) for one in seen} <= {("ok", 200)}
    return [one["url.path"] for one in seen]


def test_upload_that_takes_longer_than_the_timeout_is_answered() -> None:
    """A body of 45 s, a second between its pieces: once by its length, once in one chunk."""
    rows, engine = read("slow_upload")
    assert rows.told() == [("PUT", "/backup", 201, "ok"), ("GET", "/next", 200, "ok"), ("PUT", "/one-chunk", 201, "ok")]
    assert [round(seconds) for seconds in rows.seconds] == [45, 0, 45]
    assert [one["http.request.body.size"] for one in rows.seen] == [4500, None, 4500]
    assert engine.reading.pairing.unmatched == 0


def test_timeout_in_a_file_with_a_pause_of_a_day_took_the_timeout() -> None:
    rows, engine = read("pause_in_file")
    assert rows.told("url.path", "outcome") == [("/a", "ok"), ("/never", "timeout"), ("/b", "ok")]
    assert rows.seconds[1] == 30.0
    assert engine.reading.pairing.unmatched == 0


def test_joined_at_a_keep_alive_probe_the_first_request_is_read() -> None:
    """RFC 9293, 3.8.4: the probe's byte is an old one."""
    rows, engine = read("late_keepalive_probe")
    assert all_ok(rows.seen) == ["/c0-0", "/c1-0", "/c1-1", "/c2-0", "/c2-1", "/c2-2"]
    assert (engine.reading.pairing.unmatched, engine.reading.bytes_set_aside) == (0, 0)


def test_what_stands_behind_a_header_of_the_proxy_protocol_is_read() -> None:
    """v1, v2 and v1 UNKNOWN (proxy-protocol.txt, 2), in the request's segment and in one of its own."""
    paths = ["/v1-same", "/v1-own", "/v2-same", "/v2-own", "/v1u-same", "/v1u-own"]
    ours = ("10.0.0.1", None)
    for settings, client in (("{}", ours), ("{trusted_proxies: [10.0.0.1]}", ("198.51.100.7", 51111))):
        rows, engine = read("proxy_protocol", settings)
        assert all_ok(rows.seen) == paths
        assert engine.reading.pairing.unmatched == 0 and engine.reading.errors == {}
        assert engine.reading.bytes_set_aside == 0
        told = spans("proxy_protocol", settings)
        assert [(span["client.address"], span.get("client.port")) for span in told] == [client] * 4 + [ours] * 2
        assert {span["network.peer.address"] for span in told} == {"10.0.0.1"}


def test_what_stands_behind_socks_is_read() -> None:
    """RFC 1928: a greeting, a request by name, then HTTP."""
    rows, engine = read("socks5_http")
    assert all_ok(rows.seen) == ["/s0", "/s1", "/s2"]
    assert engine.reading.preambles == {"socks5": 1}
    assert (engine.reading.bytes_set_aside, engine.reading.undetected) == (0, {})
