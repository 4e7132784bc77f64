"""Small captures of what is met on real networks, each for a kind, read by the whole receiver. What is right was told by whoever
made them, and held against the specification that each test names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from receiver.config import Config
from receiver.engine import Engine
from receiver.pcap.source import FileSource
from receiver.service import make_engine
from receiver.settings.loader import load
from receiver.wire.records import Roundtrip
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
    config: Config = load([f"yaml:{{receivers: {{pcap: {settings}}}}}"], environ={}).config
    engine = make_engine(config, rows, detail=True, local=())
    source = FileSource([str(CASES / f"{name}.pcap")], lambda link_type: "")
    source.open()
    source.run(engine.process_batch, engine.tick, lambda: False)
    engine.finish()
    source.close()
    pairing = engine.reading.pairing
    assert pairing.open == 0
    return rows, engine


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
