"""`watch`: what it prints of files, pipes and a live loopback, on terminals of several widths and on none.

The captures are written by dpkt; what must stand in a line follows from the bytes in them.
"""

from __future__ import annotations

import fcntl
import http.client
import os
import pty
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import termios
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import dpkt
import pytest

from receiver.config import Config, PcapReceiver, Receivers
from receiver.privileges import may_capture
from receiver.telemetry.redact import Redactor
from receiver.watch import LINES_A_SECOND, ROWS_MAX, UNREAD_SHOWN, Row, View, amount, call_of, duration, watch
from receiver.wire.records import Message, Roundtrip
from tests.bench.generate import write_pcap
from tests.damage.packets import ETHERNET, UDP, VECTORS, Wire, of_vector
from tests.pcap.packets import Line, engine
from tests.pcap.packets import Wire as LiveWire

ROOT = Path(__file__).resolve().parent.parent
SYN, FIN, ACK, PUSH = dpkt.tcp.TH_SYN, dpkt.tcp.TH_FIN, dpkt.tcp.TH_ACK, dpkt.tcp.TH_PUSH
BEGIN_S = 1_700_000_000.25  # 2023-11-14T22:13:20.250Z
CLIENT, SERVER = ("10.1.2.3", 40001), ("10.9.8.7", 8080)


class Tape:
    """A TCP connection, packet by packet, into a capture file."""

    def __init__(self, path: Path, snaplen: int = 65535) -> None:
        self.path = path
        self.now_s = BEGIN_S
        self.packets = 0
        self._file = path.open("wb")
        self._writer = dpkt.pcap.Writer(self._file, snaplen=snaplen, linktype=dpkt.pcap.DLT_EN10MB)
        self._seq = {True: 100, False: 900}

    def send(self, to_server: bool, payload: bytes = b"", flags: int = ACK, *, lost: bool = False) -> None:
        (source, sport), (destination, dport) = (CLIENT, SERVER) if to_server else (SERVER, CLIENT)
        tcp = dpkt.tcp.TCP(
            sport=sport, dport=dport, seq=self._seq[to_server], ack=self._seq[not to_server], flags=flags, data=payload
        )
        self._seq[to_server] += len(payload) + bool(flags & (SYN | FIN))
        ip = dpkt.ip.IP(src=socket.inet_aton(source), dst=socket.inet_aton(destination), p=6, data=tcp)
        ip.len = len(ip)
        if not lost:
            self._writer.writepkt(bytes(dpkt.ethernet.Ethernet(data=ip, type=0x0800)), ts=self.now_s)
            self.packets += 1
        self.now_s += 0.001

    def open(self) -> None:
        self.send(True, flags=SYN)
        self.send(False, flags=SYN | ACK)

    def call(self, request: bytes, status: bytes, *, after_s: float = 0.0, body: bytes = b"") -> None:
        self.send(True, request + b" HTTP/1.1\r\nHost: shop\r\n\r\n", PUSH | ACK)
        self.now_s += after_s
        head = b"HTTP/1.1 " + status + b"\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n"
        self.send(False, head + body, PUSH | ACK)

    def close(self) -> Path:
        self.send(True, flags=FIN | ACK)
        self.send(False, flags=FIN | ACK)
        self._file.close()
        return self.path


def shop(folder: Path) -> Tape:
    tape = Tape(folder / "shop.pcap")
    tape.open()
    tape.call(b"GET /orders/17?token=s3cret&page=2", b"200 OK", after_s=0.025, body=b"x" * 2000)
    tape.call(b"GET /teapot", b"404 Not Found")
    tape.call(b"POST /orders/18", b"503 Service Unavailable")
    tape.close()
    return tape


def config(*files: Path) -> Config:
    return Config(receivers=Receivers(pcap=PcapReceiver(interfaces=(), files=tuple(map(str, files)))))


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "receiver", "watch", *arguments]


def environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    return kept | {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "PYTHONUTF8": "1", "TZ": "UTC", **more}


def on_terminal(columns: int, *arguments: str, **more: str) -> str:
    """What the command writes to a terminal of that many columns and 24 lines."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(command(*arguments), stdout=slave, stderr=slave, env=environment(**more))
    os.close(slave)
    written = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # EIO: the other side is closed
            break
        if not piece:
            break
        written += piece
    os.close(master)
    assert process.wait() == 0
    return written.decode().replace("\r\n", "\n")


def bare(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


# -- lines -----------------------------------------------------------------------------------------------------------


def test_a_line_has_time_ends_protocol_call_status_latency_sizes_and_outcome(
    tmp_path: Path, utc: None, capsys: pytest.CaptureFixture[str]
) -> None:
    tape = shop(tmp_path)
    assert watch(config(tape.path), table=False) == 0
    out, err = capsys.readouterr()
    # SYN, SYN+ACK, then each packet 1 ms after the one before it; the first answer waits 25 ms more.
    head = b"GET /orders/17?token=s3cret&page=2 HTTP/1.1\r\nHost: shop\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n"
    assert out.splitlines()[0].split("  ") == [
        "22:13:20.252",
        "10.1.2.3:40001 -> 10.9.8.7:8080",
        "http",
        "GET /orders/17?token=..&page=..",
        "200",
        "26.0 ms",
        f"{len(head)}/{len(answer) + 2000} B",
        "ok",
    ]
    assert [line.split("  ")[3:5] + line.split("  ")[7:] for line in out.splitlines()[1:]] == [
        ["GET /teapot", "404", "ok"],  # the client's fault is none of the server's
        ["POST /orders/18", "503", "error"],
    ]
    assert err.splitlines()[0].startswith("3 roundtrips: 2 ok, 1 error (in ")
    assert err.splitlines()[1] == f"{tape.packets} packets, 0 dropped by the kernel, 0 gaps, 0 unmatched responses"


def test_secrets_in_a_url_are_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tape = Tape(tmp_path / "a.pcap")
    tape.open()
    tape.call(b"GET http://ada:s3cret@shop/a;sid=s3cret/b?s3cret", b"200 OK")
    tape.call(b"GET /https://ada:s3cret@shop/?a=s3cret#s3cret", b"200 OK")
    assert watch(config(tape.close()), table=False) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert "s3cret" not in out + err


def test_what_a_peer_sent_cannot_move_the_cursor() -> None:
    request = Message()
    request.operation = "GE\x1b[2JT"
    request.path = b"/\x1b]0;title\x07/\xff"
    text = call_of(request, Redactor())
    assert text.isprintable()
    request.path = None
    request.target = "a\nb"
    assert call_of(request, Redactor()) == "GE?[2JT a?b"


def test_what_was_lost_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tape = Tape(tmp_path / "a.pcap")
    tape.open()
    tape.call(b"GET /a", b"200 OK")
    tape.send(True, b"GET /b HTTP/1.1\r\nHost: shop\r\n\r\n")
    tape.send(False, b"HTTP/1.1 200 OK\r\n", lost=True)
    tape.send(False, b"Content-Length: 0\r\n\r\n")
    assert watch(config(tape.close()), table=False) == 0
    out, err = capsys.readouterr()
    assert [line.split("  ")[3] for line in out.splitlines()] == ["GET /a", "GET /b"]
    assert out.splitlines()[1].split("  ")[-1] == "lost"
    assert "1 gap (17 bytes missing)" in err


def test_what_a_short_snaplen_cut_off_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tape = Tape(tmp_path / "a.pcap", snaplen=200)
    tape.open()
    tape.call(b"GET /a", b"200 OK", body=b"x" * 1000)
    assert watch(config(tape.close()), table=False) == 0
    cut = 14 + 20 + 20 + len(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n") + 1000 - 200
    assert f"0 gaps, {cut} bytes cut off by a short snaplen" in capsys.readouterr().err


def client_hello(name: str) -> bytes:
    """What OpenSSL sends first."""
    sent = ssl.MemoryBIO()
    connection = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return sent.read()


def of_wires(path: Path, *wires: Wire) -> Path:
    packets = sorted((packet for wire in wires for packet in wire.packets), key=lambda packet: packet.ts_us)
    write_pcap(path, ((packet.ts_us * 1000, packet.frame()) for packet in packets), ETHERNET)
    return path


@pytest.mark.parametrize("table", [False, True])
def test_what_cannot_be_read_is_said_by_where_it_went(table: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client, tls, other = bytes((10, 0, 0, 1)), (bytes((10, 0, 0, 7)), 443), (bytes((10, 0, 0, 8)), 2222)
    wires = [Wire((client, 40000 + i), tls).open().say(0, client_hello("api.example")).close() for i in range(3)]
    wires.append(Wire((client, 40010), tls).open().say(0, client_hello("api.example")))  # still open at the end
    wires.append(Wire((client, 40011), other).open().say(1, b"SSH-2.0-OpenSSH_9.2\r\n").say(0, b"SSH-2.0-OpenSSH_9.3\r\n").close())
    wires.append(Wire((client, 40012), other).open().close())  # said nothing
    assert watch(config(of_wires(tmp_path / "tls.pcap", *wires)), table=table) == 0
    said = capsys.readouterr()
    lines = (said.out if table else said.err).splitlines()
    assert "4 TLS connections to 10.0.0.7:443 (api.example), not readable" in lines
    assert "1 connection to 10.0.0.8:2222, of no known protocol" in lines
    assert sum(" to 10.0.0." in line for line in lines) == 2
    assert any(" packets, 4 TLS connections (not readable), " in line for line in lines)


def test_places_that_cannot_be_read_are_bounded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wires = []
    for i in range(ROWS_MAX + 7):
        wire = Wire((bytes((10, 0, 0, 1)), 40000), (bytes((10, 1, i >> 8, i & 255)), 53), UDP)
        wire.send(0, b"\xff" * 40, 0)
        wires.append(wire)
    assert watch(config(of_wires(tmp_path / "many.pcap", *wires)), table=False) == 0
    lines = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("1 UDP flow to 10.1.") for line in lines) == UNREAD_SHOWN
    assert f"{ROWS_MAX + 7 - UNREAD_SHOWN} more connections that could not be read" in lines


def test_what_was_read_is_not_said_to_be_unreadable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    watch(config(shop(tmp_path).path), table=False)
    assert "not readable" not in capsys.readouterr().err


def test_requests_that_wait_when_a_live_capture_ends_are_not_said_to_be_lost() -> None:
    class Takes(View):
        def roundtrip(self, roundtrip: Roundtrip) -> int:
            return int(self.takes(roundtrip))

    view = Takes()
    wire = LiveWire(engine(sink=view))
    line = Line(wire).opened().c(b"GET /1 HTTP/1.1\r\n\r\n")
    line.s(b"HTTP/1.1 204 x\r\n\r\n").c(b"GET /2 HTTP/1.1\r\n\r\n")
    view.ending = True
    wire.engine.finish()
    assert (view.outcomes, view.still_open) == ({"ok": 1}, 1)


def test_that_no_packets_came_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = of_wires(tmp_path / "empty.pcap")
    assert watch(config(empty), table=False) == 0
    assert f"no packets came: on {empty} was no TCP and no DNS, or a filter left it out" in capsys.readouterr().err.splitlines()


def test_no_capture_file_is_one_line_and_the_exit_status_of_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("this is no capture")
    assert watch(config(path), table=False) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("pcap-receiver: not a capture file: ")
    assert err.count("\n") == 1


def test_reader_that_closes_the_pipe_ends_it_without_a_traceback(tmp_path: Path) -> None:
    tape = Tape(tmp_path / "a.pcap")
    tape.open()
    for number in range(3000):  # more than a pipe holds
        tape.call(b"GET /orders/%d" % number, b"200 OK")
    done = subprocess.run(
        ["sh", "-c", f"{' '.join(command('-r', str(tape.close())))} | head -n 1"],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_ctrl_c_ends_with_a_summary(tmp_path: Path) -> None:
    tape = shop(tmp_path)
    process = subprocess.Popen(
        command("-r", "-"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(tape.path.read_bytes())
    process.stdin.flush()
    assert b"/orders/17" in process.stdout.readline()  # it reads on: the pipe has not ended
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    assert process.stderr.read().startswith(b"3 roundtrips: 2 ok, 1 error")
    process.stdin.close()


# -- terminals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_lines_fit_the_terminal(tmp_path: Path, columns: int) -> None:
    tape = Tape(tmp_path / "a.pcap")
    tape.open()
    tape.call(b"GET /" + b"long/" * 60, b"200 OK")
    text = on_terminal(columns, "-r", str(tape.close()))
    assert "\x1b[32m" in text  # 200 is green
    line = bare(text).splitlines()[0]
    assert columns - 20 < len(line) <= columns
    assert "GET /long/" in line
    assert "…" in line


@pytest.mark.parametrize("more", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_refused(tmp_path: Path, more: dict[str, str]) -> None:
    text = on_terminal(100, "-r", str(shop(tmp_path).path), **more)
    assert "GET /teapot" in text
    assert "\x1b[3" not in text


def test_no_colour_and_all_of_the_path_where_there_is_no_terminal(tmp_path: Path) -> None:
    tape = Tape(tmp_path / "a.pcap")
    tape.open()
    path = b"/" + b"long/" * 60
    tape.call(b"GET " + path, b"200 OK")
    done = subprocess.run(
        command("-r", str(tape.close())), capture_output=True, text=True, env=environment(), check=True
    )
    assert "\x1b" not in done.stdout
    assert f"GET {path.decode()}  200" in done.stdout


# -- the table -------------------------------------------------------------------------------------------------------


def test_table_counts_by_operation_and_route(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tape = Tape(tmp_path / "a.pcap")
    tape.open()
    for number in range(20):
        tape.call(b"GET /orders/%d" % number, b"200 OK", after_s=0.099)
    tape.call(b"GET /health", b"500 Internal Server Error")
    assert watch(config(tape.close()), table=True) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["PROTOCOL", "OPERATION", "COUNT", "RATE/S", "ERRORS", "P50", "P95", "MAX"]
    # 21 exchanges of 2 packets of 1 ms, of which 20 wait 99 ms more: 2.02 s up to the last answer.
    assert lines[1].split() == ["http", "GET", "/orders/{id}", "20", "9.9", "-", *["100", "ms"] * 3]
    assert lines[2].split()[:6] == ["http", "GET", "/health", "1", "0.5", "1"]
    assert lines[4].startswith("21 roundtrips: 20 ok, 1 error (in 2.0 s)")


def test_table_has_a_grpc_method_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its operation is its path; and the name is not known to be a method before an answer has said so."""
    for vector in sorted((VECTORS / "http2").glob("*grpc*.jsonl")):
        capture = tmp_path / f"{vector.stem}.pcap"
        write_pcap(capture, ((packet.ts_us * 1000, packet.frame()) for packet in of_vector(vector).packets), ETHERNET)
        assert watch(config(capture), table=True) == 0
        rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("grpc ")]
        methods = [row[1] for row in rows]
        assert methods, vector.name
        assert len(methods) == len(set(methods)), vector.name
        assert all(re.fullmatch(r"[\w.]+/\w+", method) and row[2].isdigit() for method, row in zip(methods, rows, strict=True))


def test_quantiles_are_within_five_percent() -> None:
    row = Row("http", "GET /")
    for millis in range(1, 1001):
        row.add("ok", millis * 1_000_000)
    assert 500 <= row.quantile_ns(0.5) / 1e6 <= 500 * 1.05
    assert 950 <= row.quantile_ns(0.95) / 1e6 <= 950 * 1.05
    assert row.max_ns == 1_000_000_000
    assert row.quantile_ns(1.0) == row.max_ns


def test_lost_roundtrip_has_no_latency() -> None:
    row = Row("http", "GET /")
    row.add("lost", 10**9)
    assert (row.count, row.failed, row.max_ns, row.quantile_ns(0.5)) == (1, 0, 0, 0)


def test_answer_that_waited_for_news_has_no_latency() -> None:
    row = Row("mongodb", "hello")
    row.add("ok", 10**10, awaits=True)
    assert (row.count, row.failed, row.max_ns, row.quantile_ns(0.5)) == (1, 0, 0, 0)


def test_rate_is_that_of_the_last_seconds() -> None:
    row = Row("http", "GET /")
    for second in range(20):
        row.sample(float(second))
        for _ in range(10 if second >= 10 else 1000):
            row.add("ok", 1)
    assert row.rate(20.0) == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("ns", "text"),
    [(0, "0 us"), (412_300, "412 us"), (999_600, "1.00 ms"), (1_234_000, "1.23 ms"), (12_345_000, "12.3 ms"),
     (999_400_000, "999 ms"), (999_600_000, "1.00 s"), (83_000_000_000, "83.0 s"), (4_000_000_000_000, "4000 s")],
)
def test_duration(ns: int, text: str) -> None:
    assert duration(ns) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (999, "999"), (1000, "1.0k"), (999_960, "1.0M"), (4_500_000, "4.5M")]
)
def test_amount(count: int, text: str) -> None:
    assert amount(count) == text


# -- live ------------------------------------------------------------------------------------------------------------

live = pytest.mark.skipif(not may_capture(), reason="NOT RUN: a live capture needs CAP_NET_RAW")


class Site:
    """A server on loopback and its client."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()
                self.wfile.flush()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self._client = http.client.HTTPConnection("127.0.0.1", self.port)

    def call(self, times: int) -> None:
        for number in range(times):
            self._client.request("GET", f"/orders/{number}")
            self._client.getresponse().read()

    def close(self) -> None:
        self._client.close()
        self._server.shutdown()
        self._server.server_close()


@live
@pytest.mark.parametrize("table", [False, True])
def test_live_every_call_is_counted_and_the_terminal_is_left_as_it_was(table: bool) -> None:
    site = Site()
    times = 3 * LINES_A_SECOND
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    options = ["-i", "lo", "--filter", f"tcp port {site.port}", *(["--table"] if table else [])]
    process = subprocess.Popen(command(*options), stdout=slave, stderr=slave, env=environment())
    os.close(slave)
    written = b""

    def read_until(what: str) -> None:
        nonlocal written
        until_s = time.monotonic() + 20
        while what not in bare(written.decode(errors="ignore")) and time.monotonic() < until_s:
            try:
                written += os.read(master, 65536)
            except OSError:
                return

    read_until("0 packets")  # it captures
    site.call(times)
    read_until(f"{times} roundtrips")
    process.send_signal(signal.SIGINT)
    read_until("\0")  # to its end
    assert process.wait(10) == 0
    site.close()
    os.close(master)
    text = written.decode()
    assert f"{times} roundtrips: {times} ok" in bare(text)
    assert "0 dropped by the kernel" in bare(text)
    if table:
        assert text.count("\x1b[?1049h") == text.count("\x1b[?1049l") == 1
        assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
        assert "GET /orders/{id}" in text
    else:
        assert text.count("GET /orders/") < times  # faster than anybody reads
        more = sum(int(found) for found in re.findall(r"and (\d+) more", bare(text)))
        assert text.count("GET /orders/") + more == times


def test_a_lookup_is_shown_with_its_name_escaped(utc: None, capsys: pytest.CaptureFixture[str]) -> None:
    """The presentation format of RFC 1035, 5.1: nothing that a peer chose moves the cursor."""
    watch(config(ROOT / "tests" / "cases" / "dns_names.pcap"), table=False)
    assert [re.split(r"  +", line)[3:] for line in capsys.readouterr().out.splitlines()] == [
        ["SRV office\\032printer\\0322._ipp._tcp.example.test", "NXDOMAIN", "10.0 ms", "57/57 B", "ok"],
        ["TXT caf\\195\\169._http._tcp.example.test", "NXDOMAIN", "10.0 ms", "47/47 B", "ok"],
        ["A b\\195\\188cher.example.test", "NXDOMAIN", "10.0 ms", "38/38 B", "ok"],
        ["A plain.example.test", "NXDOMAIN", "10.0 ms", "36/36 B", "ok"],
    ]
