"""The configuration: YAML as frozen Structs, with every default.

Room: config. Keys and defaults are the Collector's own where it has them. Any room may import the Structs; only `service` and `cli`
load them, through the room `settings`, which reads the sources, fills in the environment and checks one key against
another. Types and `Meta` bounds are what is checked of one value; a comment behind a default says its unit and why.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal, TypeAlias, get_args

import msgspec
from msgspec import Meta


class Duration(float):
    """Seconds; written in Go's form, `200ms`, `1m30s`."""


class Size(int):
    """Bytes; written `8MiB`, `64KiB`, or a plain number."""


class PortRange(msgspec.Struct, frozen=True):
    """Ports from `first` to `last`, both included; written `8080` or `15000-15090`."""

    first: int
    last: int


# Every number has an upper bound, far beyond sense: what is larger would overflow somewhere behind.
COUNT_MAX = 2**31 - 1
SIZE_MAX = 1 << 40
WAIT_MAX_S = 2_000_000  # 23 days: poll(2) counts milliseconds in an int
YEAR_S = 365 * 86_400

Port: TypeAlias = Annotated[int, Meta(ge=1, le=65535)]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=COUNT_MAX)]
Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Wait: TypeAlias = Annotated[Duration, Meta(gt=0, le=WAIT_MAX_S)]
Interval: TypeAlias = Annotated[Duration, Meta(ge=0, le=YEAR_S)]  # nothing or for ever may be meant by 0
Room: TypeAlias = Annotated[Size, Meta(ge=1, le=SIZE_MAX)]
Scalar: TypeAlias = str | bool | int | float

PROTOCOLS = ("http", "grpc", "dns", "redis", "tls", "mysql", "postgresql", "mongodb", "kafka", "amqp")
"""The names that `receivers.pcap.ports` takes. `http` is HTTP/1 and HTTP/2: the content says which."""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A map of the file; a key that is not a field is an error."""


# -- exporters -------------------------------------------------------------------------------------------------------


class Tls(Section, frozen=True):
    insecure: bool = False
    insecure_skip_verify: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    server_name_override: str = ""


class RetryOnFailure(Section, frozen=True):
    enabled: bool = True
    initial_interval: Interval = Duration(5)
    randomization_factor: Share = 0.5
    multiplier: Annotated[float, Meta(ge=1)] = 1.5
    max_interval: Interval = Duration(30)
    max_elapsed_time: Interval = Duration(300)  # 0: for ever


class Batch(Section, frozen=True):
    flush_timeout: Wait = Duration(1)
    # 3.5 MiB: a Collector refuses messages over 4 MiB for good. Below 64 KiB a resource with one span or histogram may not fit.
    max_size: Annotated[Size, Meta(ge=64 * 1024, le=SIZE_MAX)] = Size(3_670_016)


class SendingQueue(Section, frozen=True):
    enabled: bool = True
    num_consumers: Count = 1
    sizer: Literal["bytes"] = "bytes"
    queue_size: Room = Size(16 * 1024 * 1024)
    storage: str = ""  # a directory: what is queued survives a restart, and so do the names of addresses
    batch: Batch = Batch()


class OtlpGrpcExporter(Section, frozen=True):
    endpoint: str = "localhost:4317"
    tls: Tls = Tls()
    headers: dict[str, str] = {}
    compression: Literal["none", "gzip", ""] = "none"
    proxy_url: str = ""  # left out: by HTTPS_PROXY, HTTP_PROXY and NO_PROXY, never for localhost
    timeout: Wait = Duration(5)
    retry_on_failure: RetryOnFailure = RetryOnFailure()
    sending_queue: SendingQueue = SendingQueue()
    interval: Wait = Duration(60)  # of metrics: OTEL_METRIC_EXPORT_INTERVAL


class PrometheusRemoteWriteExporter(Section, frozen=True):
    endpoint: str = ""
    tls: Tls = Tls()
    headers: dict[str, str] = {}
    proxy_url: str = ""  # as of otlp_grpc
    timeout: Wait = Duration(5)
    retry_on_failure: RetryOnFailure = RetryOnFailure(
        initial_interval=Duration(0.5), multiplier=2.0, randomization_factor=0.1
    )
    sending_queue: SendingQueue = SendingQueue()
    external_labels: dict[str, str] = {}
    target_info: bool = True
    protobuf_message: Literal["prometheus.WriteRequest", "io.prometheus.write.v2.Request"] = "prometheus.WriteRequest"
    histograms: Literal["explicit", "vmrange", "native"] = "explicit"
    interval: Wait = Duration(15)


class DebugExporter(Section, frozen=True):
    verbosity: Literal["basic", "normal", "detailed"] = "basic"


Exporter: TypeAlias = OtlpGrpcExporter | PrometheusRemoteWriteExporter | DebugExporter

EXPORTERS: dict[str, type[Exporter]] = {
    "otlp_grpc": OtlpGrpcExporter,
    "prometheus_remote_write": PrometheusRemoteWriteExporter,
    "debug": DebugExporter,
}
"""By type. An exporter's key is its type, or `type/name` when several of one type run."""

CARRIES: dict[type[Exporter], tuple[str, ...]] = {
    OtlpGrpcExporter: ("traces", "metrics"),
    PrometheusRemoteWriteExporter: ("metrics",),
    DebugExporter: ("traces", "metrics"),
}
"""Which pipelines an exporter may stand in."""


# -- receivers -------------------------------------------------------------------------------------------------------


class Exclude(Section, frozen=True):
    """What is not looked at. Our own connections never are, and need not be listed here."""

    ports: tuple[PortRange, ...] = ()  # a mesh proxy's, so that one call is one span: 15000-15090
    addresses: tuple[str, ...] = ()  # addresses or networks, `10.0.0.0/8`


class Flows(Section, frozen=True):
    """What the flow table may hold; beyond it the flow idle longest is evicted and counted."""

    max: Count = 65_536  # flows; 750 B each and what a decoder keeps, so 50 MiB when a flood of SYNs fills it
    idle_timeout: Wait = Duration(300)  # seconds without a packet; keep-alive pools ping more often than 5 minutes
    # Bytes kept for one direction: a few segments of 64 KiB, which the kernel makes on loopback and by joining small ones.
    out_of_order: Annotated[Size, Meta(ge=0, le=SIZE_MAX)] = Size(512 * 1024)
    memory: Room = Size(32 * 1024 * 1024)  # bytes of all cut frames and out-of-order segments together


KNOWN_METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "QUERY")
"""RFC 9110's, PATCH (RFC 5789) and QUERY; the most frequent first, for they are compared in this order."""

SECRET_HEADERS = frozenset(("authorization", "proxy-authorization", "cookie", "set-cookie"))
"""Never kept, whatever the configuration asks for."""


class Http(Section, frozen=True):
    routes: tuple[str, ...] = ()  # `/users/{id}`, `GET /users/{id}`, `/files/*`: receiver/route.py has the grammar
    # Paths that fit none of them: ids become `{id}`, as http.route, or apart from it and in metrics alone.
    route_patterns: Literal["heuristic", "separate", "off"] = "heuristic"
    known_methods: tuple[str, ...] = ()  # in place of KNOWN_METHODS; empty: those
    headers: tuple[str, ...] = ()  # names that spans may carry; empty, because headers hold secrets


class Dns(Section, frozen=True):
    lookup_duration: bool = False  # the metric dns.lookup.duration: one series for each name that is asked for


class Db(Section, frozen=True):
    # Spans and pcap_receiver.db.server.operation.duration beside a database server: the conventions know its clients alone.
    server_side: bool = False


class Messaging(Section, frozen=True):
    # As db.server_side: spans and pcap_receiver.messaging.server.operation.duration beside a broker.
    server_side: bool = False


class Kafka(Section, frozen=True):
    # Inflate compressed batches, up to a budget, for the trace context in their records' headers; others are always read for it.
    record_headers: bool = False


Layer4Label: TypeAlias = Literal[
    "server.address",
    "server.port",
    "client.address",
    "network.type",
    "network.peer.address",
    "tls.client.server_name",
    "pcap_receiver.tls.client.alpn",
]


class Layer4(Section, frozen=True):
    enabled: bool = True
    # Besides those of docs/metrics.md. An address makes a series for every peer, so there are none unless asked for; the
    # port and the type are always there.
    labels: tuple[Layer4Label, ...] = ()


class Sampling(Section, frozen=True):
    # Share of traces that become spans, where no caller decided (traces.respect_sampled); metrics count every roundtrip.
    default: Share = 1.0


class Tunnels(Section, frozen=True):
    """The UDP ports that tunnels go to; looked at where `unwrap` is set."""

    # RFC 7348; and the port that Linux had before, and takes still where nobody names one: flannel, Cilium, k3s.
    vxlan: tuple[Port, ...] = (4789, 8472)
    geneve: tuple[Port, ...] = (6081,)  # RFC 8926


class Limits(Section, frozen=True):
    series_per_metric: Count = 2000  # OpenTelemetry's cardinality limit; beyond it otel.metric.overflow=true
    # Unanswered requests of one connection. A pipeline that is answered in order may hold 16 times as many (16 384 at most), all
    # such together four times that.
    pending_requests: Annotated[int, Meta(ge=1, le=16_384)] = 1024
    head_bytes: Room = Size(64 * 1024)  # of one message; servers refuse heads of 8 to 64 KiB themselves


Propagator: TypeAlias = Literal["tracecontext", "b3", "b3multi", "jaeger", "datadog", "xray", "grpc-trace-bin"]
PROPAGATORS = get_args(Propagator)


class Traces(Section, frozen=True):
    propagators: tuple[Propagator, ...] = ("tracecontext",)  # the formats of context that are read: OTEL_PROPAGATORS
    # What to do beside an application that reports its own spans: the same, no spans, or spans of kind INTERNAL, which
    # service graphs do not count as a second call.
    when_instrumented: Literal["emit", "metrics_only", "internal"] = "emit"
    # Whose child an inbound request's span is. parent: of the span that its header names; link: of none, a new trace begins, for
    # edges whose callers are not trusted; both_ends: of the span that the receiver beside the caller writes of the same request.
    context: Literal["parent", "link", "both_ends"] = "parent"
    respect_sampled: bool = True  # a caller's `sampled=0` means no span, as the W3C says it should


class PcapReceiver(Section, frozen=True):
    interfaces: tuple[str, ...] = ("any",)  # none when there are `files`
    files: tuple[str, ...] = ()  # '-' is standard input
    filter: str = ""  # in tcpdump's language; added to the generated filter with `and`
    snaplen: Annotated[int, Meta(ge=68, le=262_144)] = 65_535  # bytes of a packet; less is a hole in every long segment
    buffer_size: Annotated[Size, Meta(ge=1, le=COUNT_MAX)] = Size(8 * 1024 * 1024)  # bytes in the kernel: 100 ms of 600 Mbit/s
    ports: dict[str, tuple[Port, ...]] = {}  # pins a port to a protocol
    detect: bool = True  # the other ports by content
    unwrap: bool = False  # look into VXLAN, GENEVE, GRE, ERSPAN and IP in IP: a microsecond or ten for each of their packets
    tunnels: Tunnels = Tunnels()
    exclude: Exclude = Exclude()
    local_addresses: Literal["auto"] | tuple[str, ...] = "auto"  # which side is ours; auto: the interfaces' addresses
    # Addresses or networks of proxies that are believed in what they say of their clients: Forwarded, X-Forwarded-*, the PROXY
    # protocol. None unless named, for everybody can write such a header.
    trusted_proxies: tuple[str, ...] = ()
    names: dict[str, str] = {}  # address -> name, for peers whose name no DNS answer told
    flows: Flows = Flows()
    request_timeout: Wait = Duration(30)  # after its last byte, until a request counts as unanswered; most clients give up by then
    http: Http = Http()
    dns: Dns = Dns()
    db: Db = Db()
    messaging: Messaging = Messaging()
    kafka: Kafka = Kafka()
    layer4: Layer4 = Layer4()
    sampling: Sampling = Sampling()
    limits: Limits = Limits()
    traces: Traces = Traces()


class Receivers(Section, frozen=True):
    pcap: PcapReceiver = PcapReceiver()


# -- extensions and service ------------------------------------------------------------------------------------------


class HealthCheck(Section, frozen=True):
    endpoint: str = "localhost:13143"  # 13133 is the Collector's; a pod's containers share their ports


class Extensions(Section, frozen=True):
    health_check: HealthCheck = HealthCheck()


class Pipeline(Section, frozen=True):
    receivers: tuple[Literal["pcap"], ...] = ("pcap",)
    exporters: tuple[str, ...] = ()


class TelemetryLogs(Section, frozen=True):
    level: Literal["debug", "info", "warn", "error"] = "info"
    encoding: Literal["console", "json"] = "console"


class TelemetryMetrics(Section, frozen=True):
    level: Literal["none", "basic", "normal", "detailed"] = "normal"  # none: endpoint not opened, nothing exported
    endpoint: str = "localhost:8898"  # 8888 is the Collector's


class Telemetry(Section, frozen=True):
    logs: TelemetryLogs = TelemetryLogs()
    metrics: TelemetryMetrics = TelemetryMetrics()


class Service(Section, frozen=True):
    extensions: tuple[Literal["health_check"], ...] = ("health_check",)
    pipelines: dict[str, Pipeline] = {}  # `traces`, `metrics`; left out: each with every exporter that carries it
    resource: dict[str, Scalar] = {}  # of the observed application; the environment and this host fill in what is left out
    telemetry: Telemetry = Telemetry()
    # Seconds to flush; Kubernetes kills after 30, Compose after 10.
    shutdown_timeout: Annotated[Duration, Meta(ge=0, le=WAIT_MAX_S)] = Duration(5)


class Origin(msgspec.Struct, frozen=True):
    """What a configuration was read from, so that SIGHUP can read it again."""

    sources: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()


class Config(Section, frozen=True):
    receivers: Receivers = Receivers()
    exporters: dict[str, Exporter] = {}
    extensions: Extensions = Extensions()
    service: Service = Service()
    origin: Origin = Origin()  # not a key of the file

    def exporters_of(self, signal: str) -> dict[str, Exporter]:
        """The exporters that the pipelines of `signal` (`traces` or `metrics`) name, each once."""
        return {
            name: self.exporters[name]
            for key, pipeline in self.service.pipelines.items()
            if key.partition("/")[0] == signal
            for name in pipeline.exporters
        }


# -- what is wrong with it -------------------------------------------------------------------------------------------


class Fault(msgspec.Struct, frozen=True):
    """One thing wrong. `path` is the key's, `a.b.c`, or a source and line; `problem` what it got and what it takes."""

    path: str
    problem: str

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


class ConfigError(Exception):
    """The configuration cannot be used; `faults` has everything that is wrong with it, one line each."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


# `_` is in the names of Compose and of systemd. An international name is written in its ASCII form.
_HOST_NAME = re.compile(r"(?=.{1,253}\.?$)(?:[A-Za-z0-9_-]{1,63}(?:\.|$))+")
_ZONE = re.compile(r"(?:%[A-Za-z0-9_.-]+)?")


def is_host(text: str) -> bool:
    """Whether it is a name or an address that can be looked up; IPv6 without brackets, perhaps with a zone."""
    if ":" not in text:
        return _HOST_NAME.fullmatch(text) is not None
    address, percent, zone = text.partition("%")
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        return False
    return _ZONE.fullmatch(percent + zone) is not None


def split_endpoint(endpoint: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[::1]:port`, the brackets gone; of `:port`, which can only be listened on, the host is "".

    Raises ValueError that says what is wrong.
    """
    host, colon, port = endpoint.rpartition(":")
    if not colon:
        raise ValueError("has no port")
    bracketed = host.startswith("[") and host.endswith("]")
    name = host[1:-1] if bracketed else host
    if host and not is_host(name):
        raise ValueError("the host is not a name or an address")
    if bracketed != (":" in name):
        raise ValueError("an IPv6 address stands in brackets")
    if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535):
        raise ValueError("the port is not from 1 to 65535")
    return name, int(port)


TARGET_SCHEMES = ("unix:", "unix-abstract:", "dns:", "ipv4:", "ipv6:", "xds:")
"""How an OTLP endpoint begins that is given to gRPC as it is. Source: gRPC, doc/naming.md."""


def endpoint_hosts(endpoint: str) -> tuple[tuple[str, int], ...]:
    """The hosts and ports that an OTLP endpoint names, in whatever form; none of a socket in the file system."""
    scheme, _, rest = endpoint.partition(":")
    if f"{scheme}:" in ("unix:", "unix-abstract:", "xds:"):
        return ()
    if scheme in ("http", "https", "dns") and rest.startswith("//"):
        rest = rest[2:].partition("/")[2] if scheme == "dns" else rest[2:].partition("/")[0]
    elif f"{scheme}:" not in TARGET_SCHEMES:
        rest = endpoint
    found = []
    for part in rest.split(",") if scheme in ("ipv4", "ipv6") else (rest,):
        try:
            found.append(split_endpoint(part))
        except ValueError:
            host = part.removeprefix("[").removesuffix("]")
            if is_host(host):
                found.append((host, 4317 if scheme in ("http", "https") else 443))  # gRPC's own port where none is named
    return tuple(found)


def target_problem(endpoint: str) -> str:
    """What is wrong with an endpoint of one of TARGET_SCHEMES; "" when nothing is."""
    scheme, _, rest = endpoint.partition(":")
    if scheme == "unix":
        if rest.startswith("//") and not rest.startswith("///"):
            return "takes unix:///an/absolute/path or unix:a/path"
        return "" if rest.strip("/") else "has no path behind unix:"
    if scheme == "unix-abstract":
        return "" if rest else "has no name behind unix-abstract:"
    return "" if scheme == "xds" or endpoint_hosts(endpoint) else f"has no host behind {scheme}:"
