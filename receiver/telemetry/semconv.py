"""Every name that we emit, in one table, with unit, stability and buckets.

Room: telemetry. Names follow OpenTelemetry semantic conventions 1.44.0; what they do not know stands under `pcap_receiver.`.
A protocol family has a Shape for each vantage: which slot of a Message becomes which attribute, what the span is called, which
metric counts it. A renamed attribute (`rpc.response.status_code` will become `rpc.status_code`) is one line here.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec.structs import replace

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"

KIND_INTERNAL, KIND_SERVER, KIND_CLIENT, KIND_PRODUCER, KIND_CONSUMER = 1, 2, 3, 4, 5

H14 = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Bounds in seconds of HTTP, RPC, messaging and DNS durations (docs/http/http-metrics.md and others)."""
D9 = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
"""Bounds in seconds of database durations (docs/db/database-metrics.md)."""

ERROR_TYPE = "error.type"
OVERFLOW = "otel.metric.overflow"
NETWORK_PEER_ADDRESS = "network.peer.address"
NETWORK_PEER_PORT = "network.peer.port"
NETWORK_TRANSPORT = "network.transport"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
CLIENT_ADDRESS = "client.address"
CLIENT_PORT = "client.port"
TLS_SERVER_NAME = "tls.client.server_name"
TLS_ALPN = "pcap_receiver.tls.client.alpn"
URL_PATH = "url.path"
URL_QUERY = "url.query"
URL_FULL = "url.full"
REQUEST_BODY = "http.request.body.size"
RESPONSE_BODY = "http.response.body.size"
DB_SYSTEM_NAME = "db.system.name"
ROUTE_SOURCE = "pcap_receiver.http.route.source"
VANTAGE = "pcap_receiver.vantage"
OUTCOME = "pcap_receiver.outcome"
REPEATS = "pcap_receiver.request.repeats"
NETWORK_TYPE = "network.type"
IO_DIRECTION = "network.io.direction"
PEER_KIND = "pcap_receiver.peer.kind"
TCP_SIDE = "pcap_receiver.tcp.side"
TCP_LEG = "pcap_receiver.tcp.leg"
REASON = "reason"
CAUSE = "cause"

UNANSWERED_ERROR = ("", "", "", "timeout", "connection_reset", "connection_closed", "", "unreachable", "")
"""error.type of a roundtrip without a full answer, by the outcome's number. A lost one is no known error, nor is one whose status
is unknown. What is known better is the request's: why it is unreachable (`records.UNREACHABLES`)."""

Slot = Literal["operation", "target", "namespace", "summary", "version", "status"]


class MetricDef(msgspec.Struct, frozen=True):
    name: str
    unit: str
    description: str
    kind: Literal["sum", "gauge", "histogram"]
    stability: Literal["stable", "release_candidate", "development"] = "development"
    bounds: tuple[float, ...] = ()
    monotonic: bool = True
    attributes: tuple[str, ...] = ()


class SlotDef(msgspec.Struct, frozen=True):
    """What a slot is called. `default` stands where the decoder said nothing; `span` and `metric`: where it is shown."""

    slot: Slot
    attribute: str
    default: str = ""
    span: bool = True
    metric: bool = True


class Shape(msgspec.Struct, frozen=True):
    """How a family's roundtrips look from one side.

    The span's name is `prefix` + operation + ` ` + target, of what there is; `summary` alone when `named_by_summary`; `fallback`
    when nothing is known or the operation is `_OTHER`; `namespace_in_name`: the namespace stands for a target that there is not.
    `server_in_metric`: server.address and server.port split the metric. `default_port` is left out of server.port where the
    convention says so (0: never). `path_original` is what the path is called where it names the operation and that one is `_OTHER`;
    it is no URL's then. `emitted`: whether spans and the metric are on unless asked for; `metric_opt_in`: the metric alone is off
    unless asked for. `counted`: the counters of messages, each for one namespace (of messaging: `send`, `receive`).
    """

    family: str
    vantage: Literal["server", "client"]
    kind: int
    slots: tuple[SlotDef, ...]
    metric: MetricDef | None
    fallback: str
    prefix: str = ""
    named_by_summary: bool = False
    target_in_name: bool = True
    namespace_in_name: bool = False
    system: tuple[tuple[str, str], ...] = ()
    server_in_metric: bool = False
    default_port: int = 0
    client_address: bool = False
    url_full: bool = False
    routed: bool = False
    path_original: str = ""
    peer: bool = True
    emitted: bool = True
    metric_opt_in: bool = False
    counted: tuple[tuple[str, MetricDef], ...] = ()


def _sum(name: str, unit: str, description: str, *attributes: str) -> MetricDef:
    return MetricDef(name=name, unit=unit, description=description, kind="sum", attributes=attributes)


GUESSED = "heuristic"
"""What ROUTE_SOURCE is of a route that nobody configured."""


def apart(shape: Shape) -> Shape:
    """The same with guessed routes in an attribute of their own, in metrics alone (`http.route_patterns: separate`)."""
    own = SlotDef("summary", "pcap_receiver.http.route", span=False)
    return replace(shape, slots=tuple(own if slot.attribute == ROUTE_SOURCE else slot for slot in shape.slots))


def _http(vantage: Literal["server", "client"]) -> Shape:
    server = vantage == "server"
    return Shape(
        family="http",
        vantage=vantage,
        kind=KIND_SERVER if server else KIND_CLIENT,
        slots=(
            SlotDef("operation", "http.request.method"),
            SlotDef("namespace", "url.scheme", default="http", span=server, metric=server),
            SlotDef("status", "http.response.status_code"),
            SlotDef("target", "http.route" if server else "url.template"),
            SlotDef("summary", ROUTE_SOURCE),
            SlotDef("version", "network.protocol.version"),
        ),
        metric=MetricDef(
            name=f"http.{vantage}.request.duration",
            unit="s",
            description=f"Duration of HTTP {vantage} requests.",
            kind="histogram",
            stability="stable",
            bounds=H14,
        ),
        fallback="HTTP",
        server_in_metric=not server,
        client_address=server,
        url_full=not server,
        routed=True,
    )


def _grpc(vantage: Literal["server", "client"]) -> Shape:
    server = vantage == "server"
    return Shape(
        family="grpc",
        vantage=vantage,
        kind=KIND_SERVER if server else KIND_CLIENT,
        slots=(
            SlotDef("operation", "rpc.method"),
            SlotDef("status", "rpc.response.status_code"),
        ),
        metric=MetricDef(
            name=f"rpc.{vantage}.call.duration",
            unit="s",
            description=f"Duration of {'inbound' if server else 'outbound'} RPC calls.",
            kind="histogram",
            stability="release_candidate",
            bounds=H14,
        ),
        fallback="grpc",
        system=(("rpc.system.name", "grpc"),),
        server_in_metric=not server,
        path_original="rpc.method_original",
    )


def _dns(vantage: Literal["server", "client"]) -> Shape:
    """docs/dns/dns-metrics.md knows one metric of the client, split by the name, which anybody can make up: opt-in. There is no
    convention for spans; a name in the span's own would make as many names as questions."""
    server = vantage == "server"
    return Shape(
        family="dns",
        vantage=vantage,
        kind=KIND_SERVER if server else KIND_CLIENT,
        slots=(
            SlotDef("target", "dns.question.name", metric=not server),
            SlotDef("operation", "pcap_receiver.dns.question.type", metric=server),
            SlotDef("status", "pcap_receiver.dns.response_code", metric=server),
        ),
        metric=MetricDef(
            name="pcap_receiver.dns.server.lookup.duration" if server else "dns.lookup.duration",
            unit="s",
            description="Duration of DNS lookups, as the server sees them." if server else "Duration of DNS lookups.",
            kind="histogram",
            bounds=H14,
        ),
        fallback="DNS",
        prefix="DNS ",
        target_in_name=False,
        client_address=server,
        metric_opt_in=not server,
    )


def _database(
    system: str, vantage: Literal["server", "client"], slots: tuple[SlotDef, ...], default_port: int, peer: bool
) -> Shape:
    """A family of docs/db/database-spans.md, named as its `db.system.name`.

    The conventions know the client's side alone: what the server's side emits has a metric of our own, and is off unless asked for.
    """
    server = vantage == "server"
    system_name: tuple[tuple[str, str], ...] = ((DB_SYSTEM_NAME, system),)
    return Shape(
        family=system,
        vantage=vantage,
        kind=KIND_SERVER if server else KIND_CLIENT,
        slots=slots,
        metric=MetricDef(
            name="pcap_receiver.db.server.operation.duration" if server else "db.client.operation.duration",
            unit="s",
            description=f"Duration of database {vantage} operations.",
            kind="histogram",
            stability="development" if server else "stable",
            bounds=D9,
        ),
        fallback=system,
        named_by_summary=True,
        namespace_in_name=any(slot.slot == "target" for slot in slots),
        system=(*system_name, (VANTAGE, vantage)) if server else system_name,
        server_in_metric=not server,
        default_port=default_port,
        client_address=server,
        peer=peer,
        emitted=not server,
    )


def _messaging(
    system: str, vantage: Literal["server", "client"], default_port: int, slots: tuple[SlotDef, ...] = ()
) -> Shape:
    """A family of docs/messaging/messaging-spans.md, named as its `messaging.system`.

    What we see is the call that moves messages, not their making: a span of kind CLIENT, linked to whoever made them. The
    conventions know the client's side alone: what the server's side emits has a metric of our own, and is off unless asked for.
    """
    server = vantage == "server"
    system_name: tuple[tuple[str, str], ...] = (("messaging.system", system),)
    counted = (
        ("send", "messaging.client.sent.messages", "Messages that producers tried to send to the broker."),
        ("receive", "messaging.client.consumed.messages", "Messages that were delivered to the application."),
    )
    return Shape(
        family=system,
        vantage=vantage,
        kind=KIND_SERVER if server else KIND_CLIENT,
        slots=(
            SlotDef("operation", "messaging.operation.name"),
            SlotDef("namespace", "messaging.operation.type"),
            SlotDef("target", "messaging.destination.name"),
            SlotDef("summary", "messaging.consumer.group.name", metric=False),
            *slots,
        ),
        metric=MetricDef(
            name="pcap_receiver.messaging.server.operation.duration" if server else "messaging.client.operation.duration",
            unit="s",
            description=f"Duration of messaging operations, as the {vantage} sees them.",
            kind="histogram",
            bounds=H14,
        ),
        fallback=system,
        system=(*system_name, (VANTAGE, vantage)) if server else system_name,
        server_in_metric=not server,
        default_port=default_port,
        client_address=server,
        emitted=not server,
        counted=() if server else tuple((kind, _sum(name, "{message}", text)) for kind, name, text in counted),
    )


def _processing(system: str, vantage: Literal["server", "client"], default_port: int) -> Shape:
    """Of the same, the work on what was delivered, until it is acknowledged: a span of kind CONSUMER, and a metric of its own."""
    server = vantage == "server"
    shape = _messaging(system, vantage, default_port)
    return msgspec.structs.replace(
        shape,
        family=f"{system}_process",
        kind=KIND_SERVER if server else KIND_CONSUMER,
        metric=MetricDef(
            name="pcap_receiver.messaging.server.process.duration" if server else "messaging.process.duration",
            unit="s",
            description=f"Duration of work on messages, as the {vantage} sees it.",
            kind="histogram",
            bounds=H14,
        ),
        counted=tuple(("process", definition) for kind, definition in shape.counted if kind == "receive"),
    )


def _named(family: str, vantage: Literal["server", "client"]) -> Shape:
    """A protocol that is recognised and not read: there is no roundtrip to tell of."""
    kind = KIND_SERVER if vantage == "server" else KIND_CLIENT
    return Shape(family=family, vantage=vantage, kind=kind, slots=(), metric=None, fallback=family, emitted=False)


_REDIS = (
    SlotDef("operation", "db.operation.name"),
    SlotDef("namespace", "db.namespace"),
    SlotDef("status", "db.response.status_code"),
)

_SQL = (
    SlotDef("summary", "db.query.summary"),
    SlotDef("operation", "db.operation.name"),
    SlotDef("namespace", "db.namespace"),
    SlotDef("status", "db.response.status_code"),
)
"""An operation is named where no statement says what is done: a login, a prepare."""

_MONGODB = (
    SlotDef("operation", "db.operation.name"),
    SlotDef("target", "db.collection.name"),
    SlotDef("namespace", "db.namespace"),
    SlotDef("status", "db.response.status_code"),
)

SHAPES: tuple[Shape, ...] = (
    _http("server"),
    _http("client"),
    _grpc("server"),
    _grpc("client"),
    _dns("server"),
    _dns("client"),
    _database("redis", "server", _REDIS, 6379, peer=True),
    _database("redis", "client", _REDIS, 6379, peer=True),
    _database("mysql", "server", _SQL, 3306, peer=True),
    _database("mysql", "client", _SQL, 3306, peer=True),
    _database("mariadb", "server", _SQL, 3306, peer=True),
    _database("mariadb", "client", _SQL, 3306, peer=True),
    _database("postgresql", "server", _SQL, 5432, peer=True),
    _database("postgresql", "client", _SQL, 5432, peer=True),
    _database("mongodb", "server", _MONGODB, 27017, peer=True),
    _database("mongodb", "client", _MONGODB, 27017, peer=True),
    _messaging("kafka", "server", 9092),
    _messaging("kafka", "client", 9092),
    _messaging("rabbitmq", "server", 5672),
    _messaging("rabbitmq", "client", 5672),
    _processing("rabbitmq", "server", 5672),
    _processing("rabbitmq", "client", 5672),
    _named("amqp1", "server"),
    _named("amqp1", "client"),
    _named("tls", "server"),
    _named("tls", "client"),
)

DATABASES: tuple[str, ...] = tuple(
    shape.family for shape in SHAPES if shape.vantage == "server" and (DB_SYSTEM_NAME, shape.family) in shape.system
)
"""Families whose server side is off unless `db.server_side` asks for it."""

BROKERS: tuple[str, ...] = tuple(
    shape.family
    for shape in SHAPES
    if shape.vantage == "server" and any(name == "messaging.system" for name, _ in shape.system)
)
"""Those of `messaging.server_side`."""

ATTRIBUTES: frozenset[str] = frozenset(
    {
        "dns.question.name",
        "dns.answers",
        "pcap_receiver.dns.question.class",
        "pcap_receiver.dns.edns.udp_size",
        "pcap_receiver.dns.truncated",
        "user_agent.original",
        "http.request.method_original",
        REQUEST_BODY,
        RESPONSE_BODY,
        "pcap_receiver.rpc.request.messages",
        "pcap_receiver.rpc.response.messages",
        CLIENT_ADDRESS,
        CLIENT_PORT,
        "db.query.text",
        "db.operation.batch.size",
        "db.stored_procedure.name",
        "db.response.returned_rows",
        "pcap_receiver.mysql.affected_rows",
        "pcap_receiver.mysql.sqlstate",
        "pcap_receiver.mongodb.code_name",
        "pcap_receiver.mongodb.awaited",
        "messaging.client.id",
        "messaging.destination.partition.id",
        "messaging.batch.message_count",
        "messaging.kafka.offset",
        "messaging.message.id",
        "messaging.message.conversation_id",
        "messaging.rabbitmq.destination.routing_key",
        "messaging.rabbitmq.message.delivery_tag",
        "pcap_receiver.amqp.redelivered",
        "pcap_receiver.kafka.compression",
        "pcap_receiver.kafka.throttle_time_ms",
    }
)
"""Names that decoders put on a Message besides the slots; headers and metadata have prefixes of their own."""


def _gauge(name: str, unit: str, description: str, *attributes: str) -> MetricDef:
    return MetricDef(name=name, unit=unit, description=description, kind="gauge", attributes=attributes)


def _histogram(name: str, unit: str, description: str, bounds: tuple[float, ...], *attributes: str) -> MetricDef:
    return MetricDef(name=name, unit=unit, description=description, kind="histogram", bounds=bounds, attributes=attributes)


T16 = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds in seconds of what TCP does: round trips within a cluster lie below the first bound of D9 (ADR 8)."""
LIFETIMES = (0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0)
"""Bounds in seconds of how long connections last."""
VOLUMES = tuple(float(64 * 4**i) for i in range(13))
"""Bounds in bytes, 64 to 1 GiB by powers of 4."""
SEGMENT_SIZES = (536.0, 1220.0, 1360.0, 1400.0, 1440.0, 1460.0, 8960.0, 65495.0)
"""Bounds in bytes of the MSS: the least of IPv4 and of IPv6, tunnels, Ethernet with IPv6 and with IPv4, jumbo frames, loopback."""

TCP_OPEN = "pcap_receiver.tcp.connections.open"
TCP_ESTABLISHED = "pcap_receiver.tcp.connections.established"
TCP_CLOSED = "pcap_receiver.tcp.connections.closed"
TCP_RETRANSMITS = "pcap_receiver.tcp.retransmits"

LAYER4_COMMON = (VANTAGE, SERVER_ADDRESS, SERVER_PORT, NETWORK_TYPE, NETWORK_TRANSPORT, PEER_KIND)
"""What every metric of layer 4 is split by; server.address only where we are the client, or asked for."""

PEER_KINDS = ("public", "private", "loopback", "link_local", "multicast")
"""As `pcap/layer4.py` numbers them."""

Split = tuple[str, str]
"""Of a number that layer 4 counts by, or of two: the reason or cause that it is told with; and how the two differ, by the
`direction` of the data, by the `side` that did it or is to blame, or by the `leg` of the round trip. "server": one number, always
that side's."""
_ALONE: tuple[Split, ...] = (("", ""),)
_BY_DIRECTION: tuple[Split, ...] = (("", "direction"),)
_BY_SIDE: tuple[Split, ...] = (("", "side"),)
_BY_LEG: tuple[Split, ...] = (("", "leg"),)

LAYER4_NUMBERS: tuple[tuple[MetricDef, tuple[Split, ...]], ...] = (
    (_sum("pcap_receiver.network.io", "By", "Payload of TCP and UDP, retransmissions included.", IO_DIRECTION), _BY_DIRECTION),
    (_sum("pcap_receiver.network.packets", "{packet}", "Packets of TCP and UDP.", IO_DIRECTION), _BY_DIRECTION),
    (_sum("pcap_receiver.network.unreachable", "{packet}", "ICMP errors: destination unreachable."), _ALONE),
    (_sum("pcap_receiver.tcp.connections.opened", "{connection}", "Connections that a SYN was seen of."), _ALONE),
    (_sum(TCP_ESTABLISHED, "{connection}", "Connections whose handshake is complete."), _ALONE),
    (
        _sum(
            "pcap_receiver.tcp.connections.failed",
            "{connection}",
            "Connections that were never established, by reason and the side to blame.",
            REASON,
            TCP_SIDE,
        ),
        (("refused", "server"), ("timeout", "side"), ("unreachable", "side"), ("reset", "side"), ("evicted", "")),
    ),
    (
        _sum(TCP_CLOSED, "{connection}", "Connections that ended, by reason and the side that ended them.", REASON, TCP_SIDE),
        (("fin", "side"), ("reset", "side"), ("idle", ""), ("evicted", "")),
    ),
    (
        MetricDef(
            name=TCP_OPEN,
            unit="{connection}",
            description="Connections that are open now.",
            kind="sum",
            monotonic=False,
        ),
        _ALONE,
    ),
    (
        _sum(TCP_RETRANSMITS, "{segment}", "Segments that were sent again, by cause.", IO_DIRECTION, CAUSE),
        (("fast", "direction"), ("timeout", "direction"), ("syn", "direction"), ("syn_ack", "direction")),
    ),
    (_sum("pcap_receiver.tcp.retransmits.io", "By", "Payload that was sent again.", IO_DIRECTION), _BY_DIRECTION),
    (
        _sum(
            "pcap_receiver.tcp.retransmits.spurious",
            "{segment}",
            "Segments sent again that had arrived: the other side said so (DSACK).",
            IO_DIRECTION,
        ),
        _BY_DIRECTION,
    ),
    (
        _sum("pcap_receiver.tcp.duplicate_acks", "{packet}", "ACKs that say nothing new while data is outstanding.", IO_DIRECTION),
        _BY_DIRECTION,
    ),
    (_sum("pcap_receiver.tcp.reordered", "{segment}", "Segments that others had overtaken.", IO_DIRECTION), _BY_DIRECTION),
    (_sum("pcap_receiver.tcp.zero_windows", "{event}", "Times that a side shut its window.", IO_DIRECTION), _BY_DIRECTION),
    (_sum("pcap_receiver.tcp.zero_window.duration", "s", "How long windows were shut.", IO_DIRECTION), _BY_DIRECTION),
    (_histogram("pcap_receiver.tcp.handshake.duration", "s", "From the first SYN to the handshake's last ACK.", T16), _ALONE),
    (_histogram("pcap_receiver.tcp.rtt", "s", "Round-trip time from here to one side and back.", T16, TCP_LEG), _BY_LEG),
    (
        _histogram(
            "pcap_receiver.tcp.rtt.variance",
            "s",
            "The connection's round-trip time variation (RFC 6298) after each sample.",
            T16,
            TCP_LEG,
        ),
        _BY_LEG,
    ),
    (
        _histogram("pcap_receiver.tcp.mss", "By", "Maximum segment size, as a side announced it.", SEGMENT_SIZES, TCP_SIDE),
        _BY_SIDE,
    ),
    (
        _histogram("pcap_receiver.tcp.connection.duration", "s", "From the first SYN to the end of the connection.", LIFETIMES),
        _ALONE,
    ),
    (_histogram("pcap_receiver.tcp.connection.io", "By", "Payload of a whole connection.", VOLUMES, IO_DIRECTION), _BY_DIRECTION),
)
"""What `pcap/layer4.py` counts by number, in the order of its numbers: counters, then histograms. What is in seconds is counted in
nanoseconds."""

LAYER4: dict[str, MetricDef] = {metric.name: metric for metric, _ in LAYER4_NUMBERS}
"""What TCP and UDP did, on any port. `docs/layer4.md` says how each is made."""

CONSUMER_LAG = "pcap_receiver.kafka.consumer.lag"
QUEUE_MESSAGES = "pcap_receiver.amqp.queue.messages"
LEVELS: dict[str, MetricDef] = {
    metric.name: metric
    for metric in (
        _gauge(
            CONSUMER_LAG,
            "{message}",
            "Messages between the offset that a consumer asked for last and the end that the broker told, over its partitions.",
            "messaging.system",
            "messaging.destination.name",
            "messaging.consumer.group.name",
        ),
        _gauge(
            QUEUE_MESSAGES,
            "{message}",
            "Messages that are ready in a queue, as queue.declare-ok, basic.get-ok and basic.get-empty told last.",
            "messaging.system",
            "messaging.destination.name",
        ),
    )
}
"""What answers say of how much waits: the last that was said, for five minutes."""

SELF: dict[str, MetricDef] = {
    metric.name: metric
    for metric in (
        _sum("pcap_receiver.capture.packets", "{packet}", "Packets taken from the capture."),
        _sum("pcap_receiver.capture.packets.parsed", "{packet}", "Packets that were TCP or UDP and read."),
        _sum("pcap_receiver.capture.packets.skipped", "{packet}", "Packets that were not read, by reason.", "reason"),
        _sum("pcap_receiver.capture.fragments", "{fragment}", "IP fragments of TCP and UDP, by what became of them.", "state"),
        _sum("pcap_receiver.capture.dropped", "{packet}", "Packets lost before they were read, by reason.", "reason"),
        _sum("pcap_receiver.capture.bytes", "By", "Captured bytes."),
        _sum("pcap_receiver.capture.clock_steps", "{event}", "Times that the clock which stamps packets was set."),
        _gauge("pcap_receiver.flows.open", "{flow}", "Flows in the table."),
        _sum("pcap_receiver.flows.opened", "{flow}", "Flows that were opened."),
        _sum("pcap_receiver.flows.ended", "{flow}", "Flows forgotten, by reason.", "reason"),
        _sum("pcap_receiver.flows.detected", "{flow}", "Flows whose protocol became known.", "protocol"),
        _sum("pcap_receiver.flows.undetected", "{flow}", "Flows that ended and whose protocol never became known.", "reason"),
        _sum("pcap_receiver.flows.preambles", "{flow}", "PROXY headers and SOCKS negotiations before a flow's protocol.", "kind"),
        _sum("pcap_receiver.stream.gaps", "{gap}", "Holes in the bytes of a direction."),
        _sum(
            "pcap_receiver.stream.bytes_missing",
            "By",
            "Bytes that no decoder saw: delivered and not captured (unseen), never acknowledged, or cut off (snaplen, fragments).",
            "reason",
        ),
        _sum("pcap_receiver.stream.segments", "{segment}", "Segments with bytes that were not simply the next, by kind.", "kind"),
        _sum("pcap_receiver.stream.restarts", "{connection}", "Connections that went on with other numbers, no handshake seen."),
        _sum("pcap_receiver.stream.bytes_unread", "By", "Bytes whose protocol is not known, or that could not be read."),
        _sum("pcap_receiver.decode.gaps", "{gap}", "Holes that a decoder was told of.", "protocol"),
        _sum("pcap_receiver.decode.errors", "{error}", "Bytes that broke a protocol's rules.", "protocol", "reason"),
        _sum("pcap_receiver.decode.messages", "{message}", "Requests and responses that decoders have read.", "direction"),
        _sum("pcap_receiver.messages", "{message}", "Requests and responses, by what became of them.", "direction", "state"),
        _sum("pcap_receiver.roundtrips", "{roundtrip}", "Roundtrips, by protocol and outcome.", "protocol", "outcome"),
        _sum("pcap_receiver.limits.hit", "{event}", "Times that a limit was reached, by its name.", "limit"),
        _sum("pcap_receiver.telemetry.errors", "{error}", "Faults of our own beyond the decoders, by what failed.", "stage"),
        _sum("pcap_receiver.redactions", "{value}", "Values replaced before they could leave."),
        _sum("pcap_receiver.spans", "{span}", "Roundtrips as spans, by what became of them.", "state"),
        _sum("pcap_receiver.exporter.sent_spans", "{span}", "Spans that a backend took.", "exporter"),
        _sum("pcap_receiver.exporter.send_failed_spans", "{span}", "Spans that no backend took.", "exporter", "reason"),
        _sum("pcap_receiver.exporter.enqueue_failed_spans", "{span}", "Spans that found the queue full.", "exporter"),
        _sum("pcap_receiver.exporter.sent_metric_points", "{point}", "Points that a backend took.", "exporter"),
        _sum("pcap_receiver.exporter.send_failed_metric_points", "{point}", "Points that no backend took.", "exporter", "reason"),
        _sum("pcap_receiver.exporter.enqueue_failed_metric_points", "{point}", "Points that found the queue full.", "exporter"),
        _gauge("pcap_receiver.exporter.queue_size", "By", "Bytes that wait for a backend.", "exporter", "signal"),
        _gauge("pcap_receiver.exporter.queue_capacity", "By", "Bytes that may wait for a backend.", "exporter", "signal"),
        _gauge("pcap_receiver.exporter.queue_items", "{item}", "Spans or points that wait.", "exporter", "signal"),
        _sum("pcap_receiver.process.uptime", "s", "Time since the start."),
        _sum("pcap_receiver.process.cpu_seconds", "s", "Processor time used."),
        _gauge("pcap_receiver.process.memory_rss", "By", "Resident memory."),
    )
}
"""What we say about ourselves (Prometheus names: dots become underscores, counters end in `_total`)."""
