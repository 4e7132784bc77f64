"""Captures that others made, read by the whole receiver, beside what Zeek or tshark sees in them.

The captures lie in `../shared/pcaps` where the project is developed, and are no part of it; each test says so when they are absent.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from receiver.config import Config
from receiver.engine import Engine
from receiver.l7 import registry
from receiver.pcap.file import FileSource
from receiver.service import make_engine
from receiver.settings.loader import load
from receiver.telemetry.metrics import Metrics
from receiver.telemetry.pipeline import Telemetry
from receiver.telemetry.redact import Redactor
from receiver.telemetry.routes import RouteTable
from receiver.telemetry.sampling import Sampler
from receiver.telemetry.spans import Identities, Spans
from receiver.wire.records import OUTCOMES, Roundtrip, Sink

PCAPS = Path(__file__).resolve().parent.parent.parent / "shared" / "pcaps"
# One of the servers was typed by hand: a status line took 50 s.
PATIENT = load(["yaml:{receivers: {pcap: {request_timeout: 5m}}}"], environ={}).config
KNOWN = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"}

pytestmark = pytest.mark.skipif(not PCAPS.is_dir(), reason="NOT RUN: the captures are not beside the project (../shared/pcaps)")


class Kept(Sink):
    def __init__(self) -> None:
        self.rows: list[tuple[str, int, str | None, str | None, str]] = []

    def roundtrip(self, roundtrip: Roundtrip) -> int:
        request, response = roundtrip.request, roundtrip.response
        assert roundtrip.protocol and roundtrip.endpoints and request
        status = None if response is None else str(response.status)
        outcome = OUTCOMES[roundtrip.outcome]
        self.rows.append((roundtrip.protocol.name, roundtrip.endpoints.client_port, request.operation, status, outcome))
        return 0


def read(capture: Path, engine: Engine) -> None:
    source = FileSource([str(capture)], lambda link_type: "")
    source.open()
    source.run(engine.process_batch, engine.tick, lambda: False)
    engine.finish()
    source.close()


def seen(capture: Path) -> Kept:
    kept = Kept()
    engine = make_engine(PATIENT, kept, detail=True, local=())
    read(capture, engine)
    pairing = engine.reading.pairing
    assert engine.packets == engine.parsed + sum(engine.skipped_packets().values())
    known = pairing.paired + pairing.one_way + pairing.unanswered + pairing.repeated + pairing.open
    assert (pairing.open, pairing.requests) == (0, known)
    assert not [key for key in engine.reading.errors if key[1] == "internal"]
    return kept


def logged(capture: Path) -> Iterator[dict[str, str]]:
    """The rows of the log beside a capture: `#fields` names the columns."""
    log = capture.with_name(capture.name.rsplit(".", 1)[0] + ".zeek.log")
    fields: list[str] = []
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith("#fields"):
            fields = line.split("\t")[1:]
        elif line and not line.startswith("#") and fields:
            yield dict(zip(fields, line.split("\t"), strict=False))


def captures(folder: str) -> list[Path]:
    return sorted((PCAPS / folder).glob("*.pcap*")) if PCAPS.is_dir() else []


@pytest.mark.parametrize("capture", captures("http"), ids=lambda path: path.stem)
def test_http_transactions_are_those_of_the_log(capture: Path) -> None:
    """What differs by intent: a line that breaks the grammar is `_OTHER` here, `-` there; HTTP/0.9, whose answers have no status,
    is no HTTP any more (RFC 9112), so a server's own status counts where there is one."""
    rows = [row for row in logged(capture) if "method" in row]
    if not rows:
        pytest.skip(f"the log of {capture.name} has no HTTP transactions")
    ours = sorted((port, method, status) for protocol, port, method, status, _ in seen(capture).rows if protocol == "http")
    theirs = sorted((int(row["id.orig_p"]), row["method"], row["status_code"]) for row in rows)
    assert [port for port, *_ in ours] == [port for port, *_ in theirs]
    for (port, method, status), (_, zeek_method, zeek_status) in zip(ours, theirs, strict=True):
        if zeek_status != "0":
            assert status == zeek_status, port
        if method != "_OTHER":
            assert method == zeek_method, port
        else:
            assert zeek_method not in KNOWN or zeek_status in ("0", "400"), port


@pytest.mark.parametrize("capture", captures("redis"), ids=lambda path: path.stem)
def test_redis_commands_are_as_many_as_in_the_log(capture: Path) -> None:
    assert len([row for row in seen(capture).rows if row[0] == "redis"]) == len(list(logged(capture)))


@pytest.mark.parametrize("capture", captures("http"), ids=lambda path: path.stem)
def test_twice_read_is_byte_for_byte_the_same(capture: Path) -> None:
    def spans() -> bytes:
        protocols = registry.protocols()
        telemetry = Telemetry(
            Metrics(protocols, 2000, False, (), RouteTable()), Spans(Redactor()), Sampler(), Identities(lambda n: b"\x07" * n)
        )
        read(capture, make_engine(Config(), telemetry, detail=True, local=()))
        return bytes(telemetry.spans.lend()[0])

    first = spans()
    assert first
    assert spans() == first


@pytest.mark.parametrize(
    "capture", [path for folder in ("mysql", "postgresql") for path in captures(folder)], ids=lambda path: path.stem
)
def test_what_is_not_decoded_yet_is_named_nothing_else(capture: Path) -> None:
    """Protocols that have no decoder must not be taken for one that has."""
    decoded = {protocol.name for protocol in registry.PROTOCOLS}
    if capture.parent.name in decoded:
        pytest.skip("it is decoded, and has tests of its own")
    assert {row[0] for row in seen(capture).rows} <= {"dns", "http"} & decoded


@pytest.mark.skipif(shutil.which("tshark") is None, reason="NOT RUN: tshark is missing (Debian package tshark)")
@pytest.mark.parametrize(
    "capture", [path for folder in ("mysql", "postgresql") for path in captures(folder)], ids=lambda path: path.stem
)
def test_what_is_not_decoded_yet_is_counted_as_not_read_to_the_byte(capture: Path) -> None:
    if capture.parent.name in {protocol.name for protocol in registry.PROTOCOLS}:
        pytest.skip("it is decoded, and has tests of its own")
    engine = make_engine(PATIENT, Kept(), detail=True, local=())
    read(capture, engine)
    sent = tshark(capture, "-Y", "tcp.len > 0 && !tcp.analysis.retransmission", "-T", "fields", "-e", "tcp.len", "-e", "tcp.stream")
    rows = [line.split() for line in sent.splitlines()]
    assert engine.reading.bytes_set_aside == sum(int(size) for size, _ in rows)
    assert sum(engine.reading.undetected.values()) == len({stream for _, stream in rows})


# --- PostgreSQL, as tshark reads it ---


def postgresql_by_tshark(capture: Path) -> list[tuple[int, str, str | None]]:
    """Client port, what was asked, and its tag or code: of queries and logins in order, where each was answered before the next."""
    found: list[tuple[int, str, str | None]] = []
    waits: dict[int, int] = {}
    rows = tshark(
        capture, "-Y", "pgsql", "-T", "fields", "-E", "separator=;", "-e", "tcp.srcport", "-e", "tcp.dstport", "-e", "pgsql.type",
        "-e", "pgsql.tag", "-e", "pgsql.code",
    )  # fmt: skip
    for line in rows.splitlines():
        source, target, types, tag, code = line.split(";")
        for kind in types.split(","):
            port = int(source)
            if kind in ("Startup message", "Simple query"):
                waits[port] = len(found)
                found.append((port, "LOGIN" if kind == "Startup message" else "", None))
            elif kind == "Cancel request":
                found.append((port, "CANCEL", None))
            elif kind in ("Command completion", "Error", "Ready for query") and int(target) in waits:
                place = waits.pop(int(target))
                found[place] = (int(target), found[place][1], code if kind == "Error" else tag.rstrip("0123456789 ") or "ready")
    return found


class Statements(Kept):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[int, int, str, str | None]] = []

    def roundtrip(self, roundtrip: Roundtrip) -> int:
        request, response = roundtrip.request, roundtrip.response
        assert roundtrip.endpoints and request
        what: str | None = None
        if response is not None and response.error_side:
            done = (request.summary or "").split()[0].upper() if request.operation is None else "ready"
            what = response.status or done
        self.told.append((request.first_ns, roundtrip.endpoints.client_port, request.operation or "", what))
        return super().roundtrip(roundtrip)


@pytest.mark.skipif(shutil.which("tshark") is None, reason="NOT RUN: tshark is missing (Debian package tshark)")
@pytest.mark.parametrize("capture", captures("postgresql"), ids=lambda path: path.stem)
def test_postgresql_statements_are_those_that_tshark_sees(capture: Path) -> None:
    kept = Statements()
    engine = make_engine(PATIENT, kept, detail=True, local=())
    read(capture, engine)
    assert engine.reading.errors == {}
    theirs = postgresql_by_tshark(capture)
    assert theirs
    ours = [(port, operation, what) for _, port, operation, what in sorted(kept.told)]
    # The summary is of the text: COMMIT of a transaction that failed has the tag ROLLBACK.
    assert [(port, operation) for port, operation, _ in ours] == [(port, operation) for port, operation, _ in theirs]
    for (_, _, mine), (_, _, its) in zip(ours, theirs, strict=True):
        assert mine == its or (mine, its) == ("COMMIT", "ROLLBACK")


# --- HTTP/2, which Zeek does not log: tshark's reading ---

GRPC_STATUSES = {code.value[0]: code.name for code in grpc.StatusCode}
Transaction = tuple[int, str, str | None, str | None]


class Requests(Kept):
    """Client port, HTTP method, path and status of each roundtrip."""

    def __init__(self) -> None:
        super().__init__()
        self.transactions: list[Transaction] = []

    def roundtrip(self, roundtrip: Roundtrip) -> int:
        request, response = roundtrip.request, roundtrip.response
        assert roundtrip.protocol and roundtrip.endpoints and request
        method = "POST" if roundtrip.protocol.name == "grpc" else str(request.operation)
        path = None if request.path is None else request.path.decode()
        if path is not None and request.query is not None:
            path += f"?{request.query.decode()}"
        status = None if response is None else str(response.status)
        self.transactions.append((roundtrip.endpoints.client_port, method, path, status))
        return super().roundtrip(roundtrip)


def tshark(capture: Path, *more: str) -> str:
    argv = ["tshark", "-n", "-r", str(capture), *more]
    return subprocess.run(argv, capture_output=True, text=True, check=True, env={**os.environ, "HOME": "/nonexistent"}).stdout


def read_by_tshark(capture: Path) -> list[Transaction]:
    """Requests with the final status of each, HTTP/1 ones included: a connection may begin as that."""
    # tshark knows HTTP/2 by its port or by an upgrade: it is told the ports whose clients begin with the preface.
    preface = "tcp.seq == 1 && tcp.payload[0:14] == 50:52:49:20:2a:20:48:54:54:50:2f:32:2e:30"
    ports = set(tshark(capture, "-Y", preface, "-T", "fields", "-e", "tcp.dstport").split())
    as_http2 = [word for port in sorted(ports) for word in ("-d", f"tcp.port=={port},http2")]
    found: dict[tuple[int, int], dict[str, str]] = {}  # by client port and stream; HTTP/1: the number of the request, negative
    upgraded: set[int] = set()
    tunnels: set[int] = set()
    answered: dict[int, int] = {}
    for packet in ET.fromstring(tshark(capture, *as_http2, "-Y", "http || http2", "-T", "pdml")).iter("packet"):
        fields = {field.get("name"): field.get("show") or "" for field in packet.iter("field")}
        source, target = int(fields["tcp.srcport"]), int(fields["tcp.dstport"])
        if "http.request.method" in fields and target not in upgraded | tunnels:
            number = -1 - sum(port == source for port, _ in found)
            found[source, number] = {"method": fields["http.request.method"], "path": fields["http.request.uri"]}
            if fields["http.request.method"] == "CONNECT":
                del found[source, number]["path"]
        elif "http.response.code" in fields and target not in tunnels:
            if fields["http.response.code"] == "101":
                upgraded.add(target)
                found[target, 1] = found.pop((target, -1))  # RFC 7540, 3.2: it is stream 1 from here on
            else:
                answered[target] = answered.get(target, 0) + 1
                found[target, -answered[target]]["status"] = fields["http.response.code"]
                if found[target, -answered[target]]["method"] == "CONNECT":
                    tunnels.add(target)
        for frame in packet.iter("field"):
            if frame.get("name") != "http2.stream" or tunnels & {source, target}:
                continue
            headers: dict[str, str] = {}
            for header in frame.iter("field"):
                if header.get("name") == "http2.header":
                    pair = {part.get("name"): part.get("show") or "" for part in header.iter("field")}
                    headers[pair["http2.header.name"]] = pair["http2.header.value"]
            streams = [part.get("show") or "" for part in frame.iter("field") if part.get("name") == "http2.streamid"]
            stream = int(streams[0]) if streams else 0
            if ":method" in headers:
                found[source, stream] = {"method": headers[":method"], "path": headers[":path"]}
            elif "grpc-status" in headers:
                found[target, stream]["status"] = GRPC_STATUSES[int(headers["grpc-status"])]
            elif headers.get(":status", "100") >= "200":
                found[target, stream]["status"] = headers[":status"]
    return [(port, one["method"], one.get("path"), one.get("status")) for (port, _), one in found.items()]


@pytest.mark.skipif(shutil.which("tshark") is None, reason="NOT RUN: tshark is missing (Debian package tshark)")
@pytest.mark.parametrize("capture", captures("http2"), ids=lambda path: path.stem)
def test_http2_requests_are_those_that_tshark_sees(capture: Path) -> None:
    kept = Requests()
    engine = make_engine(Config(), kept, detail=True, local=())
    read(capture, engine)
    assert engine.reading.errors == {}
    theirs = read_by_tshark(capture)
    assert theirs
    assert sorted(kept.transactions, key=str) == sorted(theirs, key=str)
