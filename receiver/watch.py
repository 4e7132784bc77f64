"""Live roundtrips on the terminal: one line each, or a table that updates.

Room: cli. The same capture and the same decoding as `run` has, with a sink that prints. Nothing is exported, and no
value of a query is shown. What a terminal cannot show in time is counted and said, and so is what the capture lost.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import environ
from typing import TextIO

import msgspec

from receiver import privileges
from receiver.build import local_addresses, make_engine, make_routes, make_source
from receiver.config import Config
from receiver.engine import Engine
from receiver.pcap.capture import CaptureError, CaptureStats
from receiver.pcap.file import FileSource
from receiver.pcap.live import LiveSource
from receiver.service import EXIT_OK, LAG_NS, exit_status
from receiver.telemetry.redact import Redactor
from receiver.telemetry.routes import RouteTable
from receiver.wire.records import OUTCOMES, Endpoints, Message, Protocol, Roundtrip, Sink

# A person reads some tens of lines a second, and a slow terminal must not hold the capture up until the kernel drops
# packets.
LINES_A_SECOND = 200
# Rows of the table; what comes later is counted in one row of its own. 1 000 x (300 + buckets of 40) bytes, under 1 MB.
ROWS_MAX = 1000
REDRAW_S = 0.5
RATE_SAMPLES = 5  # one a second: the rate of a row is that of its last five seconds
BUCKET_GROWTH = 1.05  # quantiles are right within 5 %

FAILED = frozenset(("error", "timeout", "reset", "closed", "unreachable"))
RPC = "grpc"
TLS = "tls"
# Whose connections could not be read, in the summary: a line each.
UNREAD_SHOWN = 10
BOLD, DIM, RED, GREEN, YELLOW, CYAN = "1", "2", "31", "32", "33", "36"


def watch(config: Config, *, table: bool) -> int:
    """Show roundtrips until the end of the files, Ctrl-C or SIGTERM; the exit status is 0, or as for `run` without a capture."""
    config = _as_shown(config, names=not table)
    pcap = config.receivers.pcap
    terminal = Terminal(sys.stdout)
    view: View
    if table:
        view = Table(terminal, make_routes(config), bool(pcap.files))
    else:
        view = Lines(terminal, bool(pcap.files))
    view.looked_at = ", ".join(pcap.files or pcap.interfaces)
    engine = make_engine(config, view, detail=not table, local=local_addresses(config))
    engine.reading.on_end = view.unread.ended
    source = make_source(config)
    try:
        source.open()
    except CaptureError as error:
        print(f"pcap-receiver: {error}", file=sys.stderr)
        return exit_status(error)
    if not pcap.files:
        privileges.drop_capabilities()
    with contextlib.closing(source), _until_signal(source.wake) as stopped:
        return _look(engine, source, view, stopped, bool(pcap.files))


def _as_shown(config: Config, *, names: bool) -> Config:
    """Nothing is shown of layer 4, so its packets stay in the kernel. `names`: look-ups are shown with theirs."""
    replace = msgspec.structs.replace
    pcap = config.receivers.pcap
    dns = replace(pcap.dns, lookup_duration=names or pcap.dns.lookup_duration)
    pcap = replace(pcap, layer4=replace(pcap.layer4, enabled=False), dns=dns)
    return replace(config, receivers=replace(config.receivers, pcap=pcap))


def _look(
    engine: Engine, source: LiveSource | FileSource, view: View, stopped: Callable[[], bool], from_file: bool
) -> int:
    """Capture and show until the end; returns the exit status."""
    status = EXIT_OK

    def on_batch(packets: bytes, meta: bytes, link_type: int, interface: int) -> None:
        engine.process_batch(packets, meta, link_type, interface)
        view.show(engine, source.stats)

    def on_tick(now_ns: int) -> None:
        if not from_file:
            engine.turn(now_ns - LAG_NS)
        view.turn(engine, source.stats)

    failure = ""
    view.begin()
    try:
        source.run(on_batch, on_tick, stopped)
    except CaptureError as error:
        failure = f"pcap-receiver: {error}"
        status = exit_status(error)
    finally:
        view.ending = not from_file
        engine.finish()
        # A reader that is gone hears no more; the exception that told of it goes its way.
        with contextlib.suppress(BrokenPipeError):
            view.end(engine, source.stats)
    if failure:
        print(failure, file=sys.stderr)
    return status


@contextlib.contextmanager
def _until_signal(wake: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """SIGINT and SIGTERM ask for the end; a second SIGINT does not ask."""
    asked = False

    def ask(number: int, _: object) -> None:
        nonlocal asked
        asked = True
        wake()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# -- the terminal ----------------------------------------------------------------------------------------------------


class Terminal:
    """What a stream can show. `live`: a terminal whose cursor can be moved; only then there are colours and a width."""

    def __init__(self, stream: TextIO, environment: Mapping[str, str] = environ) -> None:
        self.stream = stream
        self.live = stream.isatty() and environment.get("TERM", "dumb") != "dumb"
        self.colours = self.live and not environment.get("NO_COLOR")  # https://no-color.org: set and not empty
        self.arrow, self.cut, self.rule = "->", "~", "-"
        if self.live and "utf" in (stream.encoding or "").lower():
            self.arrow, self.cut, self.rule = "→", "…", "─"

    def size(self) -> tuple[int, int]:
        """Columns and lines; never less than 20 x 5."""
        columns, lines = shutil.get_terminal_size()
        return max(columns, 20), max(lines, 5)

    def paint(self, text: str, *codes: str) -> str:
        if not self.colours or not codes or not text:
            return text
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m"

    def fit(self, text: str, width: int) -> str:
        """`text` in `width` columns at most, with a mark where it was cut."""
        if len(text) <= width:
            return text
        return text[: max(0, width - 1)] + self.cut

    def write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()


# -- what is shown of a roundtrip ------------------------------------------------------------------------------------


class Seen(msgspec.Struct, frozen=True):
    """A roundtrip as it is shown: printable text, nothing in it that must not leave. `latency_ns` is from the request's
    first byte to the response's last one, or to when it was known that none comes."""

    ts_ns: int
    client: str
    client_port: int
    server: str
    server_port: int
    protocol: str
    call: str
    status: str
    outcome: str
    latency_ns: int
    request_bytes: int
    response_bytes: int


def read_roundtrip(roundtrip: Roundtrip, redactor: Redactor) -> Seen:
    """What is shown of it; the Roundtrip object itself is reused and not kept."""
    request, endpoints = roundtrip.request, roundtrip.endpoints
    response: Message | None = roundtrip.response
    assert roundtrip.protocol is not None
    assert request is not None
    assert endpoints is not None
    return Seen(
        ts_ns=request.first_ns,
        client=endpoints.client_address,
        client_port=endpoints.client_port,
        server=endpoints.server_address,
        server_port=endpoints.server_port,
        protocol=roundtrip.protocol.name,
        call=call_of(request, redactor, roundtrip.protocol.name),
        status="" if response is None or response.status is None else printable(str(response.status)),
        outcome=OUTCOMES[roundtrip.outcome],
        latency_ns=roundtrip.end_ns - request.first_ns,
        request_bytes=request.size,
        response_bytes=0 if response is None else response.size,
    )


def call_of(request: Message, redactor: Redactor, protocol: str = "") -> str:
    """`GET /orders/17?page=…`: operation and path, or operation and target, or the summary that names both."""
    operation = request.operation or "?"
    if protocol == RPC and request.path is not None:
        # The operation is the same, or `_OTHER` as long as no answer has told that there is such a method.
        return printable(redactor.path(request.path, 0, len(request.path)).decode("ascii").removeprefix("/"))
    if request.path is not None:
        path = redactor.path(request.path, 0, len(request.path))
        if request.query is not None:
            path += b"?" + redactor.query(request.query, 0, len(request.query)).replace(b"REDACTED", b"..")
        return f"{printable(operation)} {path.decode('ascii')}"
    if request.summary:
        return printable(request.summary)
    return printable(f"{operation} {request.target}" if request.target else operation)


def printable(text: str) -> str:
    """What a peer sent may move the cursor: only what can be seen is left."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in text)


def endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def clock(ts_ns: int, *, millis: bool = True) -> str:
    """Local time of day."""
    seconds, rest = divmod(ts_ns, 1_000_000_000)
    text = time.strftime("%H:%M:%S", time.localtime(seconds))
    return f"{text}.{rest // 1_000_000:03}" if millis else text


def duration(ns: int) -> str:
    """Three digits and a unit: `412 us`, `1.23 ms`, `12.3 s`; at most 8 columns up to a day."""
    for unit, size in (("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)):
        value = ns / size
        if value < 999.5 or unit == "s":
            digits = 0 if unit == "us" or value >= 99.95 else 1 if value >= 9.995 else 2
            return f"{value:.{digits}f} {unit}"
    raise AssertionError  # seconds take all


def amount(count: float) -> str:
    """At most five columns: `812`, `12.3k`, `4.5M`."""
    if count < 1000:
        return f"{count:.0f}"
    for unit in "kMGT":
        count /= 1000
        if count < 999.95 or unit == "T":
            break
    return f"{count:.1f}{unit}"


def shade(seen: Seen) -> str:
    """The colour of a status: what failed is red, what the client did wrong yellow."""
    if seen.outcome in FAILED:
        return RED
    if not seen.status or seen.status.startswith("4"):
        return YELLOW
    return CYAN if seen.status.startswith("3") else GREEN


# -- what is said of the capture -------------------------------------------------------------------------------------


def totals(engine: Engine, stats: CaptureStats) -> list[str]:
    """What came in and what did not, in the order of importance, a few words each."""
    limits, pairing = engine.table.reassembly, engine.reading.pairing
    missing = f" ({amount(limits.bytes_missing)} bytes missing)" if limits.bytes_missing else ""
    said = [
        several(engine.packets, "packet"),
        f"{stats.dropped_kernel} dropped by the kernel",
        several(limits.gaps, "gap") + missing,
        several(pairing.unmatched, "unmatched response"),
    ]
    if limits.bytes_truncated:
        said.insert(3, f"{amount(limits.bytes_truncated)} bytes cut off by a short snaplen")
    if stats.dropped_interface:
        said.insert(2, f"{stats.dropped_interface} dropped by the interface")
    if encrypted := engine.reading.detected.get(TLS):
        said.insert(1, f"{several(encrypted, 'TLS connection')} (not readable)")
    return said


def remarks(engine: Engine, stats: CaptureStats) -> list[str]:
    """What could not be read, if anything: one line for each kind."""
    lines = []
    skipped = {reason: count for reason, count in engine.skipped_packets().items() if count}
    if skipped:
        reasons = ", ".join(f"{reason} {count}" for reason, count in skipped.items())
        lines.append(f"not read: {several(sum(skipped.values()), 'packet')} ({reasons})")
    if engine.reading.bytes_set_aside:
        unread = amount(engine.reading.bytes_set_aside)
        lines.append(f"not read: {unread} bytes of no known protocol, or that could not be followed")
    for (protocol, reason), count in sorted(engine.reading.errors.items()):
        lines.append(f"{count} x {protocol}: {reason}")
    if stats.truncated_files:
        lines.append(f"broken off inside a packet: {several(stats.truncated_files, 'file')}")
    return lines


def several(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def outcomes_of(outcomes: Counter[str]) -> str:
    each = ", ".join(f"{outcomes[name]} {name}" for name in OUTCOMES if outcomes[name])
    return several(outcomes.total(), "roundtrip") + (f": {each}" if each else "")


class Unread:
    """Connections that passed and are not shown, by what they are and where they lead; beyond ROWS_MAX of these only counted."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._others = 0

    def ended(self, protocol: Protocol | None, followed: bool, endpoints: Endpoints) -> None:
        """A connection is over, or the capture is: for `Reading.on_end`."""
        if protocol is None:
            what, why = ("UDP flow" if endpoints.transport == "udp" else "connection", "of no known protocol")
        elif protocol.name == TLS:
            what, why = ("TLS connection", "not readable")
        elif not followed:
            what, why = (f"{protocol.name} connection", "could not be followed")
        else:
            return
        to = endpoint(endpoints.server_address, endpoints.server_port)
        name = endpoints.tls_server_name or endpoints.server_name
        if name and name != endpoints.server_address:
            to += f" ({printable(name)})"
        key = (what, to, why)
        if key in self._counts or len(self._counts) < ROWS_MAX:
            self._counts[key] += 1
        else:
            self._others += 1

    def lines(self) -> list[str]:
        """The most frequent ones, a line each."""
        lines = []
        rest = self._counts.total() + self._others
        for (what, to, why), count in self._counts.most_common(UNREAD_SHOWN):
            lines.append(f"{several(count, what)} to {to}, {why}")
            rest -= count
        return [*lines, f"{several(rest, 'more connection')} that could not be read"] if rest else lines


class View(Sink):
    """A sink that shows what it got after each batch (`show`) and with the clock (`turn`), and at last (`end`).

    A sink must not fail: it is called from inside the decoders. So `roundtrip` only takes, and the others write.
    """

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.unread = Unread()
        self.looked_at = ""
        self.ending = False
        self.still_open = 0

    def takes(self, roundtrip: Roundtrip) -> bool:
        """Count it. False for what only looks lost because we stop looking while it waits for its answer."""
        if self.ending and roundtrip.response is None and OUTCOMES[roundtrip.outcome] == "lost":
            self.still_open += 1
            return False
        self.outcomes[OUTCOMES[roundtrip.outcome]] += 1
        return True

    def summary(self, engine: Engine, stats: CaptureStats, lasted_s: float) -> list[str]:
        waiting = f"; {self.still_open} still without an answer" if self.still_open else ""
        return [
            f"{outcomes_of(self.outcomes)}{waiting} (in {lasted_s:.1f} s)",
            ", ".join(totals(engine, stats)),
            *([] if engine.packets else [f"no packets came: on {self.looked_at} was no TCP and no DNS, or a filter left it out"]),
            *self.unread.lines(),
            *remarks(engine, stats),
        ]

    def begin(self) -> None:
        """Before the first packet."""

    def show(self, engine: Engine, stats: Callable[[], CaptureStats]) -> None:
        raise NotImplementedError  # abstract: each kind has its own

    def turn(self, engine: Engine, stats: Callable[[], CaptureStats]) -> None:
        raise NotImplementedError  # abstract: each kind has its own

    def end(self, engine: Engine, stats: Callable[[], CaptureStats]) -> None:
        raise NotImplementedError  # abstract: each kind has its own


# -- one line each ---------------------------------------------------------------------------------------------------


class LineFormat:
    """Roundtrips as lines: in columns that fit a terminal, else with all there is, two spaces between."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._client = len("127.0.0.1:50000")
        self._server = len("127.0.0.1:8080")
        self._protocol = len("http")

    def line(self, seen: Seen) -> str:
        paint = self._terminal.paint
        client, server = endpoint(seen.client, seen.client_port), endpoint(seen.server, seen.server_port)
        took = duration(seen.latency_ns)
        sizes = amount(seen.request_bytes), amount(seen.response_bytes)
        arrow, fit = self._terminal.arrow, self._terminal.fit
        if not self._terminal.live:
            return (
                f"{clock(seen.ts_ns)}  {client} {arrow} {server}  {seen.protocol}  {seen.call}  {seen.status or '-'}"
                f"  {took}  {seen.request_bytes}/{seen.response_bytes} B  {seen.outcome}"
            )
        width, _ = self._terminal.size()
        colour = shade(seen)
        if width < 72:
            room = width - 8 - 1 - 1 - 7 - 1 - 8
            status = paint(f"{seen.status or seen.outcome:>7}", colour)
            return f"{paint(clock(seen.ts_ns, millis=False), DIM)} {fit(seen.call, room):<{room}} {status} {took:>8}"
        self._protocol = max(self._protocol, len(seen.protocol))
        if width < 110:
            self._server = min(max(self._server, len(server)), width // 4)
            room = width - 8 - 1 - 1 - self._server - 1 - self._protocol - 1 - 1 - 7 - 1 - 8 - 1 - 6
            status = paint(f"{seen.status or seen.outcome:>7}", colour)
            return (
                f"{paint(clock(seen.ts_ns, millis=False), DIM)} {paint('>', DIM)}"
                f"{fit(server, self._server):<{self._server}} {seen.protocol:<{self._protocol}}"
                f" {fit(seen.call, room):<{room}} {status} {took:>8} {sizes[1]:>6}"
            )
        status = seen.status or "-"
        self._client = min(max(self._client, len(client)), width // 5)
        self._server = min(max(self._server, len(server)), width // 5)
        ends = self._client + 1 + len(arrow) + 1 + self._server
        room = width - 12 - 2 - ends - 2 - self._protocol - 2 - 1 - 5 - 1 - 8 - 1 - 13 - 2 - 7
        return (
            f"{paint(clock(seen.ts_ns), DIM)}  {fit(client, self._client):>{self._client}} {paint(arrow, DIM)}"
            f" {fit(server, self._server):<{self._server}}  {seen.protocol:<{self._protocol}}"
            f"  {fit(seen.call, room):<{room}} {paint(f'{status:>5}', colour)} {took:>8} {'/'.join(sizes) + ' B':>13}"
            f"  {paint(f'{seen.outcome:<7}', DIM if seen.outcome == 'ok' else colour)}"
        ).rstrip()


class Lines(View):
    """A line each. On a live terminal a last line tells what came in, and lines that come too fast are only counted."""

    def __init__(self, terminal: Terminal, from_file: bool) -> None:
        super().__init__()
        self._terminal = terminal
        self._format = LineFormat(terminal)
        self._redactor = Redactor()
        self._limited = terminal.live and not from_file
        self._status_line = terminal.live and not from_file
        self._waiting: list[Seen] = []
        self._room = LINES_A_SECOND
        self._unshown = 0
        self._second_s = time.monotonic()
        self._began_s = self._second_s
        self._standing = ""

    def roundtrip(self, roundtrip: Roundtrip) -> int:
        if not self.takes(roundtrip):
            return 0
        if self._limited:
            if self._room == 0:
                self._unshown += 1
                return 0
            self._room -= 1
        self._waiting.append(read_roundtrip(roundtrip, self._redactor))
        return 0

    def show(self, engine: Engine, stats: Callable[[], CaptureStats]) -> None:
        if self._waiting:
            self._print([self._format.line(seen) for seen in self._waiting])
            self._waiting.clear()

    def turn(self, engine: Engine, stats: Callable[[], CaptureStats]) -> None:
        self.show(engine, stats)
        now_s = time.monotonic()
        if now_s - self._second_s < 1.0:
            return
        self._second_s = now_s
        self._room = LINES_A_SECOND
        if self._unshown:
            text = f"  {self._terminal.cut} and {self._unshown} more, too fast to be read (--table shows them all)"
            self._print([self._terminal.paint(text, DIM)])
            self._unshown = 0
        if self._status_line:
            self._stand(" | ".join([several(self.outcomes.total(), "roundtrip"), *totals(engine, stats())]))

    def end(self, engine: Engine, stats: Callable[[], CaptureStats]) -> None:
        self.show(engine, stats)
        self._stand("")
        if self._unshown:
            self._print([f"  {self._terminal.cut} and {self._unshown} more"])
        lasted_s = time.monotonic() - self._began_s
        self._terminal.stream.flush()
        # Not among the lines: whoever reads those by a program gets roundtrips only.
        print("\n".join(self.summary(engine, stats(), lasted_s)), file=sys.stderr)

    def _print(self, lines: Sequence[str]) -> None:
        standing = self._standing
        self._stand("")
        self._terminal.write("\n".join(lines) + "\n")
        self._stand(standing)

    def _stand(self, text: str) -> None:
        """Keep `text` as the last line of the terminal; with none, clear that line."""
        if text:
            columns, _ = self._terminal.size()
            self._terminal.write("\r\x1b[K" + self._terminal.paint(self._terminal.fit(text, columns - 1), DIM))
        elif self._standing:
            self._terminal.write("\r\x1b[K")
        self._standing = text


# -- the table -------------------------------------------------------------------------------------------------------


class Row:
    """One operation: how often, how often it failed, and latencies in buckets that grow by 5 %."""

    def __init__(self, protocol: str, call: str) -> None:
        self.protocol = protocol
        self.call = call
        self.count = 0
        self.failed = 0
        self.max_ns = 0
        self.before: deque[tuple[float, int]] = deque(maxlen=RATE_SAMPLES + 1)
        self._buckets: Counter[int] = Counter()

    def add(self, outcome: str, latency_ns: int, awaits: bool = False) -> None:
        """`awaits`: its answer came when there were news."""
        self.count += 1
        if outcome in FAILED:
            self.failed += 1
        if outcome != "lost" and not awaits:  # when a lost one ended is not known
            self.max_ns = max(self.max_ns, latency_ns)
            self._buckets[math.ceil(math.log(max(latency_ns, 1), BUCKET_GROWTH))] += 1

    def quantile_ns(self, share: float) -> int:
        """The latency that `share` of the roundtrips stayed within, at most 5 % too high; 0 without any."""
        wanted = math.ceil(share * self._buckets.total())
        for index in sorted(self._buckets):
            wanted -= self._buckets[index]
            if wanted <= 0:
                return min(self.max_ns, int(BUCKET_GROWTH**index))
        return 0

    def sample(self, now_s: float) -> None:
        """Remember the count, once a second, for `rate`."""
        self.before.append((now_s, self.count))

    def rate(self, now_s: float) -> float:
        """A second, over the samples that are left."""
        if not self.before or now_s <= self.before[0][0]:
            return 0.0
        since_s, count = self.before[0]
        return (self.count - count) / (now_s - since_s)


class Table(View):
    """Operations with their counts. A live terminal shows it all the time, anything else once, at the end."""

    def __init__(self, terminal: Terminal, routes: RouteTable, from_file: bool) -> None:
        super().__init__()
        self._terminal = terminal
        self._routes = routes
        self._redactor = Redactor()
        self._live = terminal.live and not from_file
        self._from_file = from_file
        self._rows: dict[tuple[str, str], Row] = {}
        self._others = Row("", "(others)")
        self._began_s = self._drawn_s = self._sampled_s = time.monotonic()
        self._first_ns = self._last_ns = 0

    def roundtrip(self, roundtrip: Roundtrip) -> int:
        if not self.takes(roundtrip):
            return 0
        request = roundtrip.request
        response: Message | None = roundtrip.response
        assert roundtrip.protocol is not None
        assert request is not None
        protocol = roundtrip.protocol.name
        outcome = OUTCOMES[roundtrip.outcome]
        call = self._call(protocol, request, None if response is None else response.status)
        row = self._rows.get((protocol, call))
        if row is None:
            row = self._others
            if len(self._rows) < ROWS_MAX:
                row = self._rows[protocol, call] = Row(protocol, call)
                row.sample(self._sampled_s)
        row.add(outcome, roundtrip.end_ns - request.first_ns, request.awaits)
        self._first_ns = min(self._first_ns or request.first_ns, request.first_ns)
        self._last_ns = max(self._last_ns, roundtrip.end_ns)
        return 0

    def _call(self, protocol: str, request: Message, status: object) -> str:
        if request.path is None or protocol == RPC:
            return call_of(request, self._redactor, protocol)
        route = self._routes.template(request.path, status != 404, request.operation)  # who tries out paths must not fill the table
        return f"{printable(request.operation or '?')} {printable(route) if route else '(no route)'}"

    def begin(self) -> None:
        if self._live:
            self._terminal.write("\x1b[?1049h\x1b[?25l")  # the other screen, without a cursor

    def show(self, engine: Engine, stats: Callable[[], CaptureStats]) -> None:
        """The clock draws, not the packets."""

    def turn(self, engine: Engine, stats: Callable[[], CaptureStats]) -> None:
        now_s = time.monotonic()
        if now_s - self._sampled_s >= 1.0:
            self._sampled_s = now_s
            for row in (*self._rows.values(), self._others):
                row.sample(now_s)
        if not self._live or now_s - self._drawn_s < REDRAW_S:
            return
        self._drawn_s = now_s
        columns, lines = self._terminal.size()
        text = self._text(lambda row: row.rate(now_s), columns, lines - 3)
        foot = " | ".join([outcomes_of(self.outcomes), *totals(engine, stats())])
        text += ["", self._terminal.paint(self._terminal.fit(foot, columns - 1), DIM)]
        self._terminal.write("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in text[:-1]) + text[-1] + "\x1b[K\x1b[J")

    def end(self, engine: Engine, stats: Callable[[], CaptureStats]) -> None:
        if self._live:
            self._terminal.write("\x1b[?25h\x1b[?1049l")
        span_s = (self._last_ns - self._first_ns) / 1e9 if self._from_file else time.monotonic() - self._began_s
        columns = self._terminal.size()[0] if self._terminal.live else 120
        lines = self._text(lambda row: row.count / span_s if span_s > 0 else 0.0, columns, ROWS_MAX + 2)
        self._terminal.write("\n".join([*lines, "", *self.summary(engine, stats(), span_s)]) + "\n")

    def _text(self, rate: Callable[[Row], float], columns: int, lines: int) -> list[str]:
        """The head and at most `lines` - 1 rows, the busiest first."""
        rows = sorted(self._rows.values(), key=lambda row: (-row.count, row.protocol, row.call))
        shown = rows[: max(1, lines - 2)]
        rest = len(rows) - len(shown)
        names = 0 if columns < 90 else max([8, *(len(row.protocol) for row in shown)]) + 2
        figures = 7 + 8 + 7 + 9 + 9 + 9
        room = max(9, columns - names - figures)
        if not self._terminal.live:
            room = max([9, *(len(row.call) for row in shown)]) + 2
        protocol = f"{'PROTOCOL':<{names}}" if names else ""
        head = f"{protocol}{'OPERATION':<{room}}{'COUNT':>7}{'RATE/S':>8}{'ERRORS':>7}{'P50':>9}{'P95':>9}{'MAX':>9}"
        lines_out = [self._terminal.paint(head, BOLD)]
        lines_out += [self._line(row, rate(row), names, room) for row in shown]
        if self._others.count:
            lines_out.append(self._line(self._others, rate(self._others), names, room))
        if rest:
            lines_out.append(self._terminal.paint(f"{self._terminal.cut} {rest} more operations", DIM))
        return lines_out

    def _line(self, row: Row, rate: float, names: int, room: int) -> str:
        errors = self._terminal.paint(f"{amount(row.failed):>7}", RED) if row.failed else f"{'-':>7}"
        speed = f"{rate:.1f}" if rate < 100 else amount(rate)
        protocol = f"{row.protocol:<{names}}" if names else ""
        return (
            f"{protocol}{self._terminal.fit(row.call, room - 1):<{room}}{amount(row.count):>7}{speed:>8}{errors}"
            f"{duration(row.quantile_ns(0.5)):>9}{duration(row.quantile_ns(0.95)):>9}{duration(row.max_ns):>9}"
        )
