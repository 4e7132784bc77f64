"""The words that every room shares: Segment, Message, Roundtrip, and what describes them.

Room: wire. Times are nanoseconds since 1970 by the packets' own clock; sizes are bytes on the wire.
"""

from __future__ import annotations

from typing import Any

import cython

if not cython.compiled:
    # The compiled module has these as C enums, from the `.pxd`; importers write `if not cython.compiled:` likewise.
    TO_SERVER = 0
    TO_CLIENT = 1
    FIN = 0x01
    SYN = 0x02
    RST = 0x04
    PSH = 0x08
    ACK = 0x10
    ROLE_REQUEST = 0
    ROLE_RESPONSE = 1
    VANTAGE_SERVER = 0
    VANTAGE_CLIENT = 1
    BEGINS = 1
    ENDS = 2
    ERROR_UNREAD = 0
    ERROR_NONE = 1
    ERROR_CLIENT = 2
    ERROR_BOTH = 3
    OUTCOME_OK = 0
    OUTCOME_ERROR = 1
    OUTCOME_ONE_WAY = 2
    OUTCOME_TIMEOUT = 3
    OUTCOME_RESET = 4
    OUTCOME_CLOSED = 5
    OUTCOME_LOST = 6
    OUTCOME_UNREACHABLE = 7
    OUTCOME_UNKNOWN = 8
    CERTAIN = 0
    TENTATIVE = 1
    GONE = 2
    UNNOTED = -1

OUTCOMES: tuple[str, ...] = ("ok", "error", "one_way", "timeout", "reset", "closed", "lost", "unreachable", "unknown")
"""Names of the outcomes, by number. `unknown`: there is an answer, and nobody could read whether it is a good one."""

UNREACHABLES: tuple[str, ...] = (
    "unreachable",
    "network_unreachable",
    "host_unreachable",
    "protocol_unreachable",
    "port_unreachable",
    "administratively_prohibited",
)
"""Why ICMP says that what was sent did not arrive, by number; the first is any other reason."""


class Malformed(Exception):
    """The only exception that a decoder raises: the bytes break the protocol's rules.

    `what` names the rule in a few words and is a label value: never a piece of the payload. `offset` counts from the
    frame's first byte.
    """

    def __init__(self, protocol: str, what: str, offset: int) -> None:
        super().__init__(f"{protocol}: {what} at {offset}")
        self.protocol = protocol
        self.what = what
        self.offset = offset


class Segment:
    """One TCP segment or UDP datagram, decoded in place. One object is reused; its content lives for one loop turn.

    An address is two numbers, read as little-endian: of IPv4 `high` is 0, of IPv6 `low` is the second half. The payload is
    `[start:end)` of the batch; `wire_length` is what the packet carried, more than `end - start` where the capture cut it.
    `options` is where the TCP header's options start, `window` is unscaled. What tells a copy of a packet from another packet:
    `ident` is IPv4's identification (0 where it has none), `check` UDP's checksum, `origin` what a cooked header says of the
    interface.
    """

    def __init__(self) -> None:
        self.is_tcp = False
        self.is_ip6 = False
        self.source_high = 0
        self.source_low = 0
        self.target_high = 0
        self.target_low = 0
        self.source_port = 0
        self.target_port = 0
        self.flags = 0
        self.seq = 0
        self.ack = 0
        self.start = 0
        self.end = 0
        self.wire_length = 0
        self.ts_ns = 0
        self.options = 0
        self.window = 0
        self.ident = 0
        self.check = 0
        self.origin = 0


@cython.no_gc
@cython.cclass
class Endpoints:
    """Who talks to whom on one flow, as text, and which side is ours (`neutral`: neither, or both). `group`: one of the two
    addresses stands for many (multicast, broadcast). `server_name` is the server's as a DNS answer told it, its address when none
    did. `tls_server_name`, `tls_protocols`: what a TLS client asked for in clear (SNI; ALPN, joined with commas), None where it
    was not seen. `announced_address`, `announced_port`: the client's own, as a proxy that is trusted said before anything else;
    None and 0 where none did. `encoded` is telemetry's to cache in."""

    def __init__(
        self,
        client_address: str,
        client_port: cython.int,
        server_address: str,
        server_port: cython.int,
        transport: str,
        vantage: cython.int,
        neutral: cython.bint = False,
        server_name: str | None = None,
        group: cython.bint = False,
    ) -> None:
        self.client_address = client_address
        self.client_port = client_port
        self.server_address = server_address
        self.server_name = server_name if server_name is not None else server_address
        self.server_port = server_port
        self.transport = transport
        self.vantage = vantage
        self.neutral = neutral
        self.group = group
        self.tls_server_name: str | None = None
        self.tls_protocols: str | None = None
        self.announced_address: str | None = None
        self.announced_port = 0
        self.encoded: Any = None

    def caller(self) -> str:
        """The address of whoever makes the requests, as far as it is known before they are read."""
        return self.client_address if self.announced_address is None else self.announced_address


@cython.freelist(64)
@cython.no_gc
@cython.cclass
class Message:
    """A request or a response, or a piece of one.

    `direction` is that of its bytes. `role` says what it is, ROLE_REQUEST or ROLE_RESPONSE: a request where the bytes go to the
    server, unless the decoder says otherwise (one side may end what the other one sends). `piece` says whether it BEGINS and ENDS
    the message; what neither begins nor ends only adds to its size and time, and text that it carries replaces what was known
    (trailers). `state` is the matcher's. `key` pairs request and response; -1 means in order. `note` and `kept` are the decoder's
    own: what it leaves on a request it finds there when the answer comes (`Asked`); 0 and None where it left nothing, UNNOTED
    where that is not known any more.
    `may_block`: it may wait for its answer as long as the connection lives (a blocking command, a long poll). `awaits`: the answer
    comes when there are news, or none for so long; how long that took is nobody's latency, and counts in no metric of durations.
    `error_side`: whether it is an error for the client alone or for both sides. Of a response that is known only once its status
    was read; until then it is ERROR_UNREAD, and one that stays so is no known success and no known error. The slots from
    `operation` to `version` are what metrics are split by, and mean per protocol family what `telemetry/semconv.py` says;
    `path` and `query` are a request target's, as on the wire: telemetry finds the route and redacts. `attributes` is flat
    (name, value, name, value, ...), only for spans, None while nobody wants it. `trace_flags` are the caller's, -1 where it
    left open whether the trace is sampled; it may have decided that without giving ids (`b3: 0`).
    `repeats`: how many times more it was sent while it waited (`Protocol.repeats`).
    `body`: bytes of its body that came, whatever was announced; -1 where it has none, or a part of it was not seen; -2 where it is
    not known yet whether one comes. Of a piece, what it adds.
    `protocol` is the row that the roundtrip belongs to where one connection carries several, None where it is the connection's;
    a response that has a protocol, an operation or a target ("" for none in particular) knows better than its request; an operation
    counts in its own row only.
    Of messaging: `messages` is how many messages it carries, 0 where that is not known; of a piece, what it adds. `links` are
    contexts that it carries besides its own, each 16 bytes of trace, 8 of span and one of flags. `metric_only`: nobody wants a span
    of its roundtrip.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> cython.int:
        self.piece = 3
        self.key = -1
        self.body = -1
        self.expects_reply = True
        self.trace_flags = -1
        if not cython.compiled:
            # Compiled, all else is 0 or None from the start; to say so once more costs a third of a message.
            self.direction = 0
            self.role = 0
            self.first_ns = 0
            self.last_ns = 0
            self.size = 0
            self.error_side = 0
            self.server_port = 0
            self.state = 0
            self.repeats = 0
            self.note = 0
            self.may_block = False
            self.awaits = False
            self.metric_only = False
            self.messages = 0
            self.links: bytes | None = None
            self.protocol: Protocol | None = None
            self.operation: str | None = None
            self.target: str | None = None
            self.namespace: str | None = None
            self.summary: str | None = None
            self.version: str | None = None
            self.status: Any = None
            self.error_type: str | None = None
            self.path: bytes | None = None
            self.query: bytes | None = None
            self.server_address: str | None = None
            self.trace_id: bytes | None = None
            self.parent_id: bytes | None = None
            self.tracestate: bytes | None = None
            self.span_id: bytes | None = None
            self.attributes: list[Any] | None = None
            self.kept: Any = None
            self.next: Message | None = None
        return 0

    def add(self, name: str, value: Any) -> cython.int:
        """Append an attribute: a name of `semconv.py` and a str, bytes (text as on the wire), int, bool or tuple of them."""
        if self.attributes is None:
            self.attributes = []
        self.attributes.append(name)
        self.attributes.append(value)
        return 0


def new_message(direction: cython.int, first_ns: cython.longlong, last_ns: cython.longlong) -> Message:
    """A message of that direction's role, of what came between these two times. To call the class costs half as much again."""
    message: Message
    if cython.compiled:
        message = Message.__new__(Message)
        message._begin()
    else:
        message = Message()
    message.direction = direction
    message.role = direction
    message.first_ns = first_ns
    message.last_ns = last_ns
    return message


class Protocol:
    """One row of `l7/registry.py`, which gives it its `number`.

    `family` names the row of `semconv.py`; `decoder` makes a Decoder; `ports` are a hint, no more. `client_only`: its conventions
    know no server side. `repeats`: a request with the key of one that waits is the same, sent again. `probed`: content alone can
    choose it; otherwise a port must be pinned to it, or the decoder of another row tells its messages apart.
    """

    def __init__(
        self,
        name: str,
        family: str,
        decoder: Any,
        ports: tuple[int, ...] = (),
        stability: str = "beta",
        over_tcp: cython.bint = True,
        over_udp: cython.bint = False,
        client_only: cython.bint = False,
        repeats: cython.bint = False,
        probed: cython.bint = True,
    ) -> None:
        self.name = name
        self.number = 0
        self.family = family
        self.decoder = decoder
        self.ports = ports
        self.stability = stability
        self.over_tcp = over_tcp
        self.over_udp = over_udp
        self.client_only = client_only
        self.repeats = repeats
        self.probed = probed


class Roundtrip:
    """A request and its response, or what became of the request instead. One object is reused: a sink keeps nothing of it.

    `end_ns` is the response's last byte, or when it was known that none comes.
    """

    def __init__(self) -> None:
        self.protocol: Protocol | None = None
        self.endpoints: Endpoints | None = None
        self.request: Message | None = None
        self.response: Message | None = None
        self.outcome = 0
        self.end_ns = 0


class Sink:
    """Whoever takes roundtrips: telemetry, the terminal, a test."""

    def begins(self, endpoints: Endpoints, request: Message) -> cython.int:
        """A request that carries a trace context was seen; its roundtrip comes later."""
        return 0

    def roundtrip(self, roundtrip: Roundtrip) -> cython.int:
        raise NotImplementedError  # abstract: each kind has its own


@cython.no_gc
@cython.cclass
class Connection:
    """What a decoder's side may know of the connection that it reads: who is who, and which protocol was found (None: not yet).
    Flow is one."""

    def __init__(self) -> None:
        self.roles_known = False
        self.protocol: Protocol | None = None
        self.client_port = 0
        self.server_port = 0

    def swap_roles(self) -> cython.int:
        """The content proved that client and server are the other way round."""
        raise NotImplementedError  # abstract: each kind has its own

    def endpoints(self) -> Endpoints:
        raise NotImplementedError  # abstract: each kind has its own


class Consumer:
    """Whoever takes the ordered bytes of one connection.

    `feed` gets `buf[start:end)` as the next bytes of a direction; `gap` is told of `missing` bytes that will not come;
    `close` of a FIN; `end` of the connection's end with an Outcome; `expire` of the time, now and then. `unreachable` is told that
    what the client sent as datagrams does not arrive, and why: a place in UNREACHABLES. `release` asks, of datagrams, whether
    nothing has to be remembered here: after a yes the flow has no consumer until more comes.
    """

    def feed(
        self, direction: cython.int, buf: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t, ts_ns: cython.longlong
    ) -> cython.int:
        raise NotImplementedError  # abstract: each kind has its own

    def gap(self, direction: cython.int, missing: cython.Py_ssize_t, ts_ns: cython.longlong) -> cython.int:
        raise NotImplementedError  # abstract: each kind has its own

    def close(self, direction: cython.int, ts_ns: cython.longlong) -> cython.int:
        raise NotImplementedError  # abstract: each kind has its own

    def end(self, outcome: cython.int, ts_ns: cython.longlong) -> cython.int:
        raise NotImplementedError  # abstract: each kind has its own

    def expire(self, now_ns: cython.longlong) -> cython.int:
        raise NotImplementedError  # abstract: each kind has its own

    def unreachable(self, reason: cython.int, ts_ns: cython.longlong) -> cython.int:
        return 0

    def release(self) -> cython.bint:
        return False
