"""The counters of layer 4: a row of them for each combination of attributes.

Room: packets. A flow looks its row up once (`find`), and from then on counts into it; histograms stand in the row, too.
Combinations are capped; what is beyond the cap counts in one row of its own.

Counters of a direction stand at the direction's number behind the first: TO_SERVER is what the client sends, so the same number is
the side that did it. Here they are numbers alone: `LAYER4_NUMBERS` of `telemetry/semconv.py` says what each is called.
"""

from __future__ import annotations

import ipaddress
from array import array
from bisect import bisect_left
from collections.abc import Sequence as Ordered

import cython

from receiver.wire.records import Endpoints

if not cython.compiled:
    from receiver.wire.records import VANTAGE_CLIENT, VANTAGE_SERVER

    IO = 0
    PACKETS = 2
    UNREACHABLE = 4
    OPENED = 5
    ESTABLISHED = 6
    FAILED_REFUSED = 7
    FAILED_TIMEOUT = 8
    FAILED_UNREACHABLE = 10
    FAILED_RESET = 12
    FAILED_EVICTED = 14
    CLOSED_FIN = 15
    CLOSED_RESET = 17
    CLOSED_IDLE = 19
    CLOSED_EVICTED = 20
    OPEN = 21
    AGAIN_FAST = 22
    AGAIN_TIMEOUT = 24
    AGAIN_SYN = 26
    AGAIN_SYN_ACK = 28
    AGAIN_IO = 30
    SPURIOUS = 32
    DUPLICATE_ACKS = 34
    REORDERED = 36
    ZERO_WINDOWS = 38
    ZERO_WINDOW_NS = 40
    COUNTED = 42

    HANDSHAKE = 0
    RTT = 1
    VARIANCE = 3
    MSS = 5
    DURATION = 7
    VOLUME = 8
    RECORDED = 10

    PUBLIC = 0
    PRIVATE = 1
    LOOPBACK = 2
    LINK_LOCAL = 3
    MULTICAST = 4

# Of the numbers above, those that are alone; the others come in twos.
ALONE = (UNREACHABLE, OPENED, ESTABLISHED, FAILED_REFUSED, FAILED_EVICTED, CLOSED_IDLE, CLOSED_EVICTED, OPEN)
ALONE_RECORDED = (HANDSHAKE, DURATION)

# The share of all combinations that may belong to ports where nothing ever answered, or a scan would take them all.
UNANSWERED_SHARE = 4


def _mirror(alone: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Where each number stands once client and server are told apart the other way round."""
    places: list[int] = []
    while len(places) < count:
        at = len(places)
        places += [at] if at in alone else [at + 1, at]
    return tuple(places)


MIRROR = _mirror(ALONE, COUNTED)
MIRROR_RECORDED = _mirror(ALONE_RECORDED, RECORDED)


@cython.no_gc
@cython.cclass
class CounterRow:
    """The counters of one combination of attributes. None of an address: it is no attribute of this one.

    `overflow`: no combination, but all beyond the cap. `answered`: a server was there.
    """

    def __init__(self, start_ns: cython.longlong, buckets: cython.Py_ssize_t) -> None:
        self.counts = array("q", bytes(8 * COUNTED))
        self.buckets = array("q", bytes(8 * buckets))
        self.sums = array("q", bytes(8 * RECORDED))
        self.start_ns = start_ns
        self.vantage = 0
        self.server_port = 0
        self.ipv6 = False
        self.is_tcp = True
        self.kind = 0
        self.overflow = False
        self.answered = False
        self.server_address: str | None = None
        self.peer_address: str | None = None
        self.client_address: str | None = None
        self.server_name: str | None = None
        self.alpn: str | None = None
        self.ranges: list[dict[int, int]] | None = None

    def count(self, number: cython.int, by: cython.longlong) -> cython.int:
        self.counts[number] += by
        return 0

    def copy(self) -> tuple[bytes, bytes, bytes, list[dict[int, int]] | None]:
        """All counters, all buckets and the sum of each histogram, as native int64; and the ranges. Another thread may ask for
        them: compiled, nothing is counted meanwhile."""
        ranges = None if self.ranges is None else [each.copy() for each in self.ranges]
        return bytes(self.counts), bytes(self.buckets), bytes(self.sums), ranges


class CounterTable:
    """All rows.

    `histograms`: of each number the bounds in what is recorded, and how much of that makes one of the metric's unit. `labels`:
    config.Layer4Label. Beyond `series_max` combinations all is counted in one. `vmrange`: count in these buckets as well, by
    bisect_left. `shift_ns`: how far the packets' clock is ahead of the times that are given here; series begin by that clock.
    """

    def __init__(
        self,
        histograms: Ordered[tuple[tuple[int, ...], float]],
        labels: Ordered[str] = (),
        series_max: cython.Py_ssize_t = 2000,
        vmrange: tuple[float, ...] = (),
    ) -> None:
        self.by_server = "server.address" in labels
        self.by_client = "client.address" in labels
        self.by_peer = "network.peer.address" in labels
        self.by_server_name = "tls.client.server_name" in labels
        self.by_alpn = "pcap_receiver.tls.client.alpn" in labels
        self.series_max = series_max
        self.vmrange = len(vmrange) > 0
        self.range_bounds = vmrange
        self.widths: list[tuple[int, int]] = []
        limits: list[int] = []
        places: list[int] = []
        for bounds, _ in histograms:
            self.widths.append((len(limits), len(bounds) + 1))
            places += [len(limits), len(bounds)]
            limits += [*bounds, 0]
        self.units = tuple(unit for _, unit in histograms)
        self.limits = array("q", limits)
        self.places = array("q", places)
        self.rows: list[CounterRow] = []
        self.common: dict[int, CounterRow] = {}
        self.special: dict[tuple[object, ...], CounterRow] = {}
        # The row that was found last by its server alone; most flows of a client go where the one before went.
        self.latest: CounterRow | None = None
        self.latest_word = -1
        self.latest_server: str | bytes | None = None
        self.overflow_row: CounterRow | None = None
        self.unanswered = 0
        self.overflowed = 0
        self.shift_ns = 0

    def record(self, row: CounterRow, number: cython.Py_ssize_t, value: cython.longlong) -> cython.int:
        """Count a time in nanoseconds, or a size in bytes; a negative one (clocks that step back) counts as 0."""
        first: cython.Py_ssize_t = self.places[number * 2]
        last: cython.Py_ssize_t = self.places[number * 2 + 1]
        i: cython.Py_ssize_t = 0
        if value < 0:
            value = 0
        while i < last and value > self.limits[first + i]:
            i += 1
        row.buckets[first + i] += 1
        row.sums[number] += value
        if self.vmrange:
            return self._record_range(row, number, value)
        return 0

    def _record_range(self, row: CounterRow, number: cython.Py_ssize_t, value: cython.longlong) -> cython.int:
        ranges: dict[int, int] = row.ranges[number]
        unit: cython.double = self.units[number]
        index = bisect_left(self.range_bounds, value / unit)
        ranges[index] = ranges.get(index, 0) + 1
        return 0

    def make(self, start_ns: cython.longlong) -> CounterRow:
        row: CounterRow = CounterRow(start_ns + self.shift_ns, len(self.limits))
        if self.vmrange:
            row.ranges = [{} for _ in self.widths]
        return row

    def answered(self, row: CounterRow) -> cython.int:
        """A server is there: it does not count among the silent ones."""
        if not row.answered:
            row.answered = True
            self.unanswered -= 1
        return 0

    def absorb(self, row: CounterRow, own: CounterRow, mirrored: cython.bint) -> cython.int:
        i: cython.Py_ssize_t
        j: cython.Py_ssize_t
        k: cython.Py_ssize_t
        for i in range(COUNTED):
            j = MIRROR[i] if mirrored else i
            row.counts[j] += own.counts[i]
        for i in range(RECORDED):
            j = MIRROR_RECORDED[i] if mirrored else i
            first: cython.Py_ssize_t = self.places[i * 2]
            to: cython.Py_ssize_t = self.places[j * 2]
            width: cython.Py_ssize_t = self.places[i * 2 + 1] + 1
            for k in range(width):
                row.buckets[to + k] += own.buckets[first + k]
            row.sums[j] += own.sums[i]
            if self.vmrange:
                into: dict[int, int] = row.ranges[j]
                for index, count in own.ranges[i].items():
                    into[index] = into.get(index, 0) + count
        return 0

    def find(
        self,
        client: bytes,
        server: bytes,
        server_port: cython.int,
        is_tcp: cython.bint,
        vantage: cython.int,
        name: str | None,
        endpoints: Endpoints | None,
        answered: cython.bint,
        ts_ns: cython.longlong,
    ) -> CounterRow:
        """The counters of a flow between two packed addresses."""
        peer_address: bytes = server if vantage == VANTAGE_CLIENT else client
        kind: cython.int = self._kind(peer_address)
        word: cython.longlong = server_port | (len(client) == 16) << 16 | is_tcp << 17 | kind << 18 | vantage << 21
        row: CounterRow | None
        server_name: str | None = None
        alpn: str | None = None
        if endpoints is not None:
            if self.by_server_name:
                server_name = endpoints.tls_server_name
            if self.by_alpn:
                alpn = endpoints.tls_protocols
        plain: cython.bint = (
            vantage == VANTAGE_SERVER
            and not (self.by_server or self.by_client or self.by_peer)
            and server_name is None
            and alpn is None
        )
        by_server: str | bytes | None = None
        by_peer: bytes | None = None
        by_client: bytes | None = None
        if plain:
            row = self.common.get(word)
        else:
            if vantage == VANTAGE_CLIENT or self.by_server:
                by_server = name if name is not None else server
            if self.by_peer:
                by_peer = peer_address
            if self.by_client:
                by_client = client
            alone: cython.bint = by_peer is None and by_client is None and server_name is None and alpn is None
            if alone and word == self.latest_word and by_server is self.latest_server:
                row = self.latest
            else:
                row = self.special.get((word, by_server, by_peer, by_client, server_name, alpn))
                if alone and row is not None:
                    self.latest = row
                    self.latest_word = word
                    self.latest_server = by_server
        if row is not None:
            if answered and not row.overflow:
                self.answered(row)
            return row
        silent_max: cython.Py_ssize_t = self.series_max // UNANSWERED_SHARE
        if len(self.rows) >= self.series_max - 1 or (not answered and self.unanswered >= silent_max):
            self.overflowed += 1
            if self.overflow_row is None:
                self.overflow_row = self.make(ts_ns)
                self.overflow_row.overflow = True
            return self.overflow_row
        row = self.make(ts_ns)
        row.vantage = vantage
        row.server_port = server_port
        row.ipv6 = len(client) == 16
        row.is_tcp = is_tcp
        row.kind = kind
        row.answered = answered
        if not answered:
            self.unanswered += 1
        if by_server is not None:
            row.server_address = by_server if isinstance(by_server, str) else str(ipaddress.ip_address(by_server))
        if by_peer is not None:
            row.peer_address = str(ipaddress.ip_address(by_peer))
        row.server_name = server_name
        row.alpn = alpn
        if by_client is not None:
            row.client_address = str(ipaddress.ip_address(by_client))
        self.rows.append(row)
        if plain:
            self.common[word] = row
        else:
            self.special[(word, by_server, by_peer, by_client, server_name, alpn)] = row
        return row

    def _kind(self, address: bytes) -> cython.int:
        """Of a packed address, by IANA's special-purpose registries."""
        a: cython.int = address[0]
        b: cython.int = address[1]
        if len(address) == 4:
            if a == 10 or (a == 172 and b >= 16 and b < 32) or (a == 192 and b == 168) or (a == 100 and b >= 64 and b < 128):
                return PRIVATE
            if a == 127:
                return LOOPBACK
            if (a == 169 and b == 254) or a == 0:
                return LINK_LOCAL
            if a >= 224 and (a < 240 or (a == 255 and b == 255)):
                return MULTICAST
            return PUBLIC
        if a & 0xFE == 0xFC:
            return PRIVATE
        if a == 0xFE and b & 0xC0 == 0x80:
            return LINK_LOCAL
        if a == 0xFF:
            return MULTICAST
        i: cython.Py_ssize_t
        for i in range(15):
            if address[i]:
                return PUBLIC
        return LOOPBACK if address[15] == 1 else LINK_LOCAL

    def begin_by(self, now_ns: int) -> None:
        """The clock was set, and says `now_ns`: nothing began to count later than that."""
        for entry in self.everything():
            row: CounterRow = entry
            if row.start_ns > now_ns:
                row.start_ns = now_ns

    def everything(self) -> list[CounterRow]:
        """All rows, the one beyond the cap last."""
        return self.rows if self.overflow_row is None else [*self.rows, self.overflow_row]
