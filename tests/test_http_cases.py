"""Small captures of HTTP/1 as it is met, each for a kind, read by the whole receiver. What is right was told by whoever made them,
and held against the specification that each test names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from receiver.build import make_engine
from receiver.engine import Engine
from receiver.pcap.file import FileSource
from receiver.settings.loader import load
from receiver.wire.records import Roundtrip
from tests.l7.harness import Collector

CASES = Path(__file__).resolve().parent / "cases"


class Rows(Collector):
    """Of each roundtrip its client's port as well."""

    def __init__(self) -> None:
        super().__init__()
        self.ports: list[int] = []

    def roundtrip(self, roundtrip: Roundtrip) -> int:
        assert roundtrip.endpoints is not None
        self.ports.append(roundtrip.endpoints.client_port)
        return super().roundtrip(roundtrip)

    def told(self, *names: str) -> list[tuple[Any, ...]]:
        return [(port, *(one[name] for name in names)) for port, one in zip(self.ports, self.seen, strict=True)]


def read(name: str) -> tuple[Rows, Engine]:
    rows = Rows()
    engine = make_engine(load(["yaml:{receivers: {pcap: {}}}"], environ={}).config, rows, detail=True, local=())
    source = FileSource([str(CASES / f"{name}.pcap")], lambda link_type: "")
    source.open()
    source.run(engine.process_batch, engine.tick, lambda: False)
    engine.finish()
    source.close()
    return rows, engine


def test_answers_with_doubled_or_contradicting_framing_have_their_status() -> None:
    """RFC 9110, 5.2 and 5.3; RFC 9112, 5.1 and 6.3. `/differ` has two lengths and no end that anybody knows."""
    rows, engine = read("response_framing")
    kinds = ("twice", "list", "empty-length", "two-lengths-te", "space-te")
    expected: list[tuple[Any, ...]] = [
        (40001 + i, f"/{kind}/{number}", 200, "ok", 5) for i, kind in enumerate(kinds) for number in (1, 2)
    ]
    expected += [(40010, "/gzip-last", 404, "ok", 5), (40011, "/differ", 503, "error", None)]
    assert rows.told("url.path", "status", "outcome", "http.response.body.size") == expected
    assert (engine.reading.pairing.unmatched, sum(engine.reading.errors.values())) == (0, 12)


def test_final_answer_in_place_of_100_leaves_the_body_with_the_client() -> None:
    """RFC 9110, 10.1.1: the client keeps its body and goes on (40001, 40002), or sends it anyway (40003)."""
    rows, engine = read("expect_final_status")
    assert rows.told("operation", "url.path", "status", "http.request.body.size") == [
        (40001, "POST", "/up", 417, None),
        (40001, "POST", "/up", 200, 2000),
        (40001, "GET", "/after", 200, None),
        (40002, "PUT", "/up", 401, None),
        (40002, "GET", "/n0", 200, None),
        (40002, "GET", "/n1", 200, None),
        (40002, "GET", "/n2", 200, None),
        (40003, "PUT", "/late", 401, None),
        (40003, "GET", "/m", 200, None),
    ]
    assert (engine.reading.pairing.unmatched, engine.reading.errors) == (0, {})
