"""Makes the parts that a configuration asks for: engine, telemetry, source with its filter, exporters.

Room: service. Nothing is opened here: `Service.open` does that, and `watch` with a sink of its own.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from receiver import __version__
from receiver.config import (
    Config,
    ConfigError,
    DebugExporter,
    Fault,
    OtlpGrpcExporter,
    PrometheusRemoteWriteExporter,
    Tunnels,
    endpoint_hosts,
    split_endpoint,
)
from receiver.config import (
    Exporter as ExporterSettings,
)
from receiver.engine import Engine
from receiver.export import debug
from receiver.export.exporter import Exporter
from receiver.export.own import OwnSockets
from receiver.export.tls import check_files
from receiver.known_names import KnownNames
from receiver.l7 import registry
from receiver.l7.detect import Detector
from receiver.l7.levels import Levels
from receiver.l7.matcher import Pairing
from receiver.l7.reading import Reading
from receiver.l7.shared import Shared
from receiver.l7.trust import Trust
from receiver.pcap.bpf import FilterPlan, build_filter
from receiver.pcap.clock import Clock
from receiver.pcap.file import FileSource
from receiver.pcap.flow import FlowTable
from receiver.pcap.layer4 import Layer4
from receiver.pcap.layer4_rows import CounterTable
from receiver.pcap.live import LiveSource
from receiver.pcap.stream import Reassembly
from receiver.settings.exporters import check_exporter
from receiver.telemetry import semconv
from receiver.telemetry.layer4 import histograms
from receiver.telemetry.metrics import Metrics
from receiver.telemetry.pipeline import Telemetry
from receiver.telemetry.redact import Redactor
from receiver.telemetry.routes import RouteTable
from receiver.telemetry.sampling import Sampler
from receiver.telemetry.snapshot import Resource
from receiver.telemetry.spans import Identities, Spans
from receiver.telemetry.vmrange import BOUNDS
from receiver.wire.names import Names, read_hosts
from receiver.wire.records import Protocol, Sink

log = logging.getLogger(__name__)


# -- what reads packets ------------------------------------------------------------------------------------------------


def make_engine(config: Config, sink: Sink, *, detail: bool, local: Iterable[bytes]) -> Engine:
    """The engine by the configuration, with every roundtrip going to `sink`."""
    pcap = config.receivers.pcap
    reached: dict[str, int] = {}
    names = make_names(config, reached)
    trust = Trust(pcap.trusted_proxies, reached)
    levels = Levels(reached)
    protocols = registry.protocols(Shared(pcap, names, trust, reached, levels))
    pinned = pinned_ports(config, protocols)
    pairing = Pairing(sink, pcap.limits.pending_requests, int(pcap.request_timeout * 1e9))
    reading = Reading(pairing, Detector(protocols, pinned, pcap.detect), detail, pcap.limits.head_bytes, trust, levels)
    server_ports = set(pinned)
    for protocol in protocols:
        server_ports.update(protocol.ports)
    table = FlowTable(
        Reassembly(pcap.flows.out_of_order, pcap.flows.memory),
        pcap.flows.max,
        int(pcap.flows.idle_timeout * 1e9),
        local,
        server_ports,
        reached=reached,
    )
    table.names = names
    layer4 = None
    if pcap.layer4.enabled:
        ranges = BOUNDS if wants_vmrange(config) else ()
        layer4 = Layer4(CounterTable(histograms(), pcap.layer4.labels, pcap.limits.series_per_metric, ranges))
    odd_link = partial(_odd_link, tunnels=pcap.tunnels)
    clock = Clock(None if pcap.files else _look_at_clock)
    tunnel_ports = (*pcap.tunnels.vxlan, *pcap.tunnels.geneve)
    return Engine(table, reading, odd_link, pcap.unwrap, layer4, tunnel_ports, clock)


def local_addresses(config: Config) -> set[bytes]:
    """The packed addresses that are ours: the configured ones, or with `auto` this namespace's; none for files."""
    chosen = config.receivers.pcap.local_addresses
    if chosen != "auto":
        return {ipaddress.ip_address(address).packed for address in chosen}
    if config.receivers.pcap.files:
        return set()
    from receiver.interface import interfaces

    found = {ipaddress.ip_address("127.0.0.1").packed, ipaddress.ip_address("::1").packed}
    for interface in interfaces():
        for address in interface.addresses:
            with contextlib.suppress(ValueError):
                found.add(ipaddress.ip_address(address.split("/")[0].split("%")[0]).packed)
    return found


def pinned_ports(config: Config, protocols: Iterable[Protocol]) -> dict[int, Protocol]:
    """Port -> protocol, as configured."""
    by_name = {protocol.name: protocol for protocol in protocols}
    pinned: dict[int, Protocol] = {}
    for name, ports in config.receivers.pcap.ports.items():
        if name not in by_name:
            log.warning("receivers.pcap.ports.%s: this version does not decode %s yet, the ports are ignored", name, name)
            continue
        for port in ports:
            pinned[port] = by_name[name]
    return pinned


def make_names(config: Config, limits: dict[str, int]) -> Names:
    """The address-to-name table: the configured names, and for a live capture those of /etc/hosts; DNS answers add theirs."""
    pcap = config.receivers.pcap
    hosts: dict[str, str] = {}
    if not pcap.files:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            hosts = read_hosts(Path("/etc/hosts").read_text(encoding="utf-8"))
    return Names(pcap.names, hosts, limits=limits)


def _look_at_clock() -> tuple[int, int]:
    """What the clock that stamps packets says, and how far it is ahead of one that nobody sets: by the closest of a few looks at
    both, for whoever looks can be kept waiting between the two."""
    best_ns, found = 1 << 62, (0, 0)
    for _ in range(5):
        before_ns = time.monotonic_ns()
        now_ns = time.time_ns()
        apart_ns = time.monotonic_ns() - before_ns
        if apart_ns < best_ns:
            best_ns, found = apart_ns, (now_ns, now_ns - before_ns)
        if apart_ns < 100_000:
            break
    return found


def _odd_link(data: bytes, link_type: int, unwrap: bool, tunnels: Tunnels) -> bytes | None:
    from receiver.pcap.oddlink import decode  # dpkt is loaded on first need

    return decode(data, link_type, unwrap, tunnels)


# -- what counts and tells ---------------------------------------------------------------------------------------------


def make_telemetry(config: Config) -> Telemetry:
    """Metrics of every roundtrip, and spans where a pipeline takes them."""
    pcap = config.receivers.pcap
    # Names and numbers of the rows are all that counting needs: the engine's own know what to decode.
    metrics = Metrics(
        registry.PROTOCOLS,
        pcap.limits.series_per_metric,
        wants_vmrange(config),
        asked_for(config),
        make_routes(config),
        guesses_apart(config),
    )
    spans = Spans(Redactor()) if config.exporters_of("traces") else None
    return Telemetry(metrics, spans, make_sampler(config), Identities(), traces=pcap.traces)


def asked_for(config: Config) -> tuple[str, ...]:
    """What telemetry leaves out unless it is asked for: metrics by their names, shapes as `family/vantage`."""
    pcap = config.receivers.pcap
    wanted: list[str] = []
    if pcap.dns.lookup_duration:
        wanted.append("dns.lookup.duration")
    if pcap.db.server_side:
        wanted += [f"{family}/server" for family in semconv.DATABASES]
    if pcap.messaging.server_side:
        wanted += [f"{family}/server" for family in semconv.BROKERS]
    return tuple(wanted)


def wants_vmrange(config: Config) -> bool:
    """Whether an exporter wants histograms in VictoriaMetrics' buckets."""
    exporters = config.exporters_of("metrics").values()
    return any(isinstance(item, PrometheusRemoteWriteExporter) and item.histograms == "vmrange" for item in exporters)


def make_routes(config: Config) -> RouteTable:
    """The names of HTTP routes: the configured patterns, and the heuristic where it is wanted."""
    http = config.receivers.pcap.http
    return RouteTable(http.routes, http.route_patterns != "off")


def guesses_apart(config: Config) -> bool:
    """Whether guessed routes have an attribute of their own."""
    return config.receivers.pcap.http.route_patterns == "separate"


def make_sampler(config: Config) -> Sampler:
    """Which roundtrips become spans. Without a pipeline nobody takes one."""
    if not config.exporters_of("traces"):
        return Sampler("always_off")
    pcap = config.receivers.pcap
    return Sampler("parentbased_traceidratio", float(pcap.sampling.default), pcap.traces.respect_sampled)


# -- where packets come from -------------------------------------------------------------------------------------------


def make_source(
    config: Config, own: Iterable[tuple[str, int]] = (), on_progress: Callable[[str, int, int], None] | None = None
) -> LiveSource | FileSource:
    """The capture by the configuration, not opened yet. `own` as for `filter_plan`."""
    pcap = config.receivers.pcap
    filter_for = partial(build_filter, filter_plan(config, own))
    if pcap.files:
        return FileSource(pcap.files, filter_for, user_filter=pcap.filter, on_progress=on_progress)
    return LiveSource(pcap.interfaces, filter_for, user_filter=pcap.filter, snaplen=pcap.snaplen, buffer_bytes=pcap.buffer_size)


def filter_plan(config: Config, own: Iterable[tuple[str, int]] = ()) -> FilterPlan:
    """What the capture is to keep. `own` are endpoints that are left out of a live one: address and port."""
    pcap = config.receivers.pcap
    ports: tuple[tuple[int, int], ...] | None = None
    if not pcap.detect:
        ports = tuple((port, port) for pinned in pcap.ports.values() for port in pinned)
    return FilterPlan(
        tcp_ports=ports,
        udp_ports=tuple((port, port) for port in sorted({53, *pcap.ports.get("dns", ())})),
        layer4=pcap.layer4.enabled,
        unwrap=pcap.unwrap,
        tunnels=pcap.tunnels,
        exclude_ports=tuple((ports.first, ports.last) for ports in pcap.exclude.ports),
        exclude_addresses=pcap.exclude.addresses,
        exclude_endpoints=() if pcap.files else tuple(sorted(own)),
        user=pcap.filter,
    )


def exporter_endpoints(config: Config, own: OwnSockets) -> set[tuple[str, int]]:
    """Every address and port that an exporter talks to as far as they are known, and our own pages: the kernel need not copy what
    goes there. A proxy is not among them, for the application may use it as well; our sockets to it are known as such."""
    found: set[tuple[str, int]] = set()
    wanted: list[tuple[str, int]] = []
    for settings in used_exporters(config).values():
        if isinstance(settings, DebugExporter) or settings.proxy_url:
            continue
        if isinstance(settings, OtlpGrpcExporter):
            wanted += endpoint_hosts(settings.endpoint)
        else:
            parts = urlsplit(settings.endpoint)
            wanted.append((parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)))
    for host, port in (*wanted, *own_pages(config)):
        try:
            for *_, address in own.resolve(host or "localhost", port):
                found.add((str(address[0]).split("%")[0], port))
        except OSError as error:
            log.debug("%s cannot be resolved now: %s", host, error)
    return found


def own_pages(config: Config) -> list[tuple[str, int]]:
    """Where we listen: host and port."""
    pages = []
    if "health_check" in config.service.extensions:
        pages.append(split_endpoint(config.extensions.health_check.endpoint))
    if config.service.telemetry.metrics.level != "none":
        pages.append(split_endpoint(config.service.telemetry.metrics.endpoint))
    return pages


# -- where telemetry goes ----------------------------------------------------------------------------------------------


def used_exporters(config: Config) -> dict[str, ExporterSettings]:
    """The exporters that a pipeline names."""
    return {**config.exporters_of("traces"), **config.exporters_of("metrics")}


def flush_timeout(config: Config) -> float:
    """For so many seconds spans wait in a batch that does not become full."""
    tracing = config.exporters_of("traces").values()
    waits = [float(item.sending_queue.batch.flush_timeout) for item in tracing if isinstance(item, OtlpGrpcExporter)]
    return min(waits, default=1.0)


def make_exporter(name: str, settings: ExporterSettings, resource: Resource, own: OwnSockets) -> Exporter:
    """Raises ConfigError for settings that cannot be, and for files of `tls` that are not there or not what they should be."""
    at = f"exporters.{name}"
    faults = [*check_exporter(at, settings)]
    if not faults and not isinstance(settings, DebugExporter):
        faults += check_files(f"{at}.tls", settings.tls)
    if faults:
        raise ConfigError(tuple(faults))
    if isinstance(settings, OtlpGrpcExporter):
        from receiver.otlp_out.client import OtlpExporter

        return OtlpExporter(name, settings, resource, __version__, own)
    if isinstance(settings, PrometheusRemoteWriteExporter):
        from receiver.remote_write.client import RemoteWriteExporter

        return RemoteWriteExporter(name, settings, __version__, own)
    return debug.DebugExporter(name, settings, resource)


def start_exporter(name: str, exporter: Exporter) -> None:
    """Raises ConfigError for a spool that cannot be used."""
    try:
        exporter.start()
    except OSError as error:
        raise ConfigError((Fault(f"exporters.{name}.sending_queue.storage", str(error)),)) from error


def known_names(config: Config) -> KnownNames | None:
    """Where names outlive a restart: in the first `storage` that an exporter has."""
    for settings in used_exporters(config).values():
        if not isinstance(settings, DebugExporter) and settings.sending_queue.storage:
            return KnownNames(settings.sending_queue.storage)
    return None
