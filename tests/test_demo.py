"""`demo`, run as people run it; and its parts against dpkt and protobuf."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import dpkt
import pytest
import snappy

from receiver import privileges
from receiver.config import Config, PcapReceiver, Receivers
from receiver.demo import (
    CALLS,
    HTTP_CALLS,
    PARENT_ID,
    PASSWORD,
    TRACE_ID,
    Application,
    Backend,
    Caller,
    Page,
    Relay,
    Shown,
    recorded,
    write_capture,
)
from receiver.privileges import may_capture
from receiver.watch import Terminal, watch
from tests.generate_demo_recorded import MODULE, source
from tests.remote_write.conftest import V1

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 30  # its promise is 15; a machine may be slow


def run_demo(*, permitted: bool) -> subprocess.CompletedProcess[str]:
    """The demo in a process of its own, hasty where it would wait for a reader."""
    source = "import sys; from receiver.demo import demo; sys.exit(demo(pause_s=0.01))"
    hostile = {
        "OTEL_TRACES_SAMPLER": "always_off",
        "OTEL_SERVICE_NAME": "other",
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    return subprocess.run(
        [sys.executable, "-c", source],
        env={**os.environ, "PYTHONPATH": str(ROOT), **hostile},
        preexec_fn=None if permitted else privileges.drop_capabilities,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


def balance(text: str) -> dict[str, int]:
    rows = re.findall(r"^  (?:ok|!!) (\S.*?)  +(\d+)  ", text, re.MULTILINE)
    return {name: int(number) for name, number in rows}


WELL = {
    "calls that the client made": CALLS,
    "roundtrips that were seen": CALLS,
    "spans that the OTLP server got": CALLS,
    "requests in the metrics store": CALLS,
    "passwords in what was exported": 0,
}


OTHERS = {"dns", "redis", "mariadb", "postgresql", "mongodb", "kafka", "amqp", "amqp_delivery"}


def check(done: subprocess.CompletedProcess[str]) -> None:
    # Not compiled, the service says so; nothing else is to be said.
    assert [line for line in done.stderr.splitlines() if "plain interpreter" not in line] == []
    assert balance(done.stdout) == WELL
    assert done.returncode == 0
    live, _, others = done.stdout.partition("The other protocols")
    assert len(re.findall(r"^\d\d:\d\d:\d\d\.\d{3}  127\.0\.0\.1:\d+ -> ", live, re.MULTILINE)) == CALLS
    assert set(re.findall(r" -> 127\.0\.0\.1:\d+  (\w+)  ", others)) == OTHERS
    assert "hunter2" not in others
    span = done.stdout.partition("One span in full")[2].partition("Metrics as")[0]
    assert re.search(rf"trace id +{TRACE_ID}", span)
    assert re.search(rf"parent +{PARENT_ID}", span)
    assert re.search(r"flags +0x301 ", span)  # opentelemetry-proto, SpanFlags: 0x100 and 0x200 for a remote parent
    assert re.search(r"service.name +demo-shop", span)
    assert 'http_response_status_code="404"' in done.stdout
    assert re.search(r"grpc  demo\.shop\.v1\.Stock/Find  NOT_FOUND  .*  ok$", done.stdout, re.MULTILINE)
    assert re.search(r"grpc  demo\.shop\.v1\.Stock/Ship  UNAVAILABLE  .*  error$", done.stdout, re.MULTILINE)
    assert 'rpc_method="demo.shop.v1.Stock/Reserve", rpc_response_status_code="OK"} 4 ' in done.stdout
    assert PASSWORD not in done.stdout


@pytest.mark.skipif(not may_capture(), reason="NOT RUN: a live capture needs CAP_NET_RAW")
def test_live_demo_shows_and_counts_every_call() -> None:
    done = run_demo(permitted=True)
    check(done)
    assert "captured on lo" in done.stdout


def test_demo_without_the_capability_reads_its_own_capture_file() -> None:
    done = run_demo(permitted=False)
    check(done)
    assert "No live capture here (CAP_NET_RAW is missing)" in done.stdout


def test_recorded_conversations_are_those_of_the_vectors() -> None:
    assert MODULE.read_text() == source(), "stale: python -m tests.generate_demo_recorded"


@pytest.mark.parametrize("table", [False, True])
def test_watch_shows_every_protocol(table: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Application() as application, Relay(application.grpc_port) as relay:
        caller = Caller(application.port, relay.port)
        caller.call_all(0.0)
    calls, others = tmp_path / "calls.pcap", tmp_path / "others.pcap"
    write_capture(calls, sorted(caller.spoken + relay.spoken, key=lambda piece: piece.ts_ns))
    write_capture(others, recorded())
    assert watch(Config(receivers=Receivers(pcap=PcapReceiver(files=(str(calls), str(others))))), table=table) == 0
    shown = capsys.readouterr().out
    missing = [name for name in ("http", "grpc", *OTHERS) if not re.search(rf"(^|\s){name}\s", shown, re.MULTILINE)]
    assert not missing, shown


def test_capture_file_holds_what_was_spoken(tmp_path: Path) -> None:
    path = tmp_path / "calls.pcap"
    with Application() as application, Relay(application.grpc_port) as relay:
        caller = Caller(application.port, relay.port)
        caller.call_all(0.0)
    write_capture(path, sorted(caller.spoken + relay.spoken, key=lambda piece: piece.ts_ns))
    streams: dict[tuple[int, int], bytes] = {}
    expected: dict[tuple[int, int], int] = {}
    last_s = 0.0
    with path.open("rb") as file:
        reader = dpkt.pcap.Reader(file)
        assert reader.datalink() == 101  # LINKTYPE_RAW: tcpdump.org/linktypes.html
        for at_s, packet in reader:
            assert at_s >= last_s
            last_s = at_s
            ip = dpkt.ip.IP(packet)
            assert ip.len == len(packet)
            assert ip.src == ip.dst == socket.inet_aton("127.0.0.1")
            tcp = ip.data
            key = (tcp.sport, tcp.dport)
            assert tcp.seq == expected.get(key, tcp.seq)
            expected[key] = tcp.seq + len(tcp.data) + bool(tcp.flags & (dpkt.tcp.TH_SYN | dpkt.tcp.TH_FIN))
            streams[key] = streams.get(key, b"") + tcp.data
    assert len(streams) == 8  # three connections for HTTP and one for gRPC, both directions
    answers: Counter[str] = Counter()
    for (sender, _), text in streams.items():
        if sender == application.port:
            while text:
                answer = dpkt.http.Response(text)
                answers[answer.status] += 1
                text = answer.data
    assert answers.items() <= caller.made.items()
    assert answers.total() == HTTP_CALLS
    # RFC 9113, 3.4: the client's preface, and SETTINGS of each side first
    asked = next(text for (_, target), text in streams.items() if target == relay.port)
    answered = next(text for (source, _), text in streams.items() if source == relay.port)
    assert asked.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert asked[27] == answered[3] == 4


def test_backend_reads_remote_write_as_protobuf_writes_it() -> None:
    request = V1["WriteRequest"]()
    for name, value in (("a_total", 3.5), ("b_total", 0.0), ("c_total", float("nan"))):
        series = request.timeseries.add()
        series.labels.add(name="__name__", value=name)
        series.labels.add(name="empty", value="")
        series.labels.add(name="long", value="x" * 300)
        series.samples.add(value=value, timestamp=1_700_000_000_000)
    with Backend() as backend:
        backend.take_series(snappy.compress(request.SerializeToString()))
    assert sorted(backend.series.values()) == [0.0, 3.5]  # NaN is the stale marker
    assert backend.total("a_total", long="x" * 300, empty="") == 3.5


@pytest.mark.parametrize(("roundtrips", "received", "status"), [(0, b"", 0), (1, b"", 1), (0, PASSWORD.encode(), 1)])
def test_balance_that_is_not_even_is_said(
    roundtrips: int, received: bytes, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with Backend() as backend:
        backend.received = received
        shown = Shown(client=Counter(), roundtrips=roundtrips, packets=0, dropped=0)
        page = Page(Terminal(sys.stdout))
        assert page.balance(shown, backend) == status
        page.next(status)
    out = capsys.readouterr().out
    assert out.count("!!") == status
    assert ("The figures differ" in out) == bool(status)
