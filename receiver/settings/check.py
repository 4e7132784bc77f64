"""One key checked against another, and texts whose form a type cannot say.

Room: settings. Opens nothing and resolves nothing: a configuration is checked where it is written, not where it runs.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from receiver.config import (
    CARRIES,
    KNOWN_METHODS,
    TARGET_SCHEMES,
    Config,
    DebugExporter,
    Fault,
    Http,
    OtlpGrpcExporter,
    PcapReceiver,
    PrometheusRemoteWriteExporter,
    Tls,
    split_endpoint,
    target_problem,
)
from receiver.route import TOKEN, parse_route
from receiver.settings.proxy import read_proxy
from receiver.settings.schema import nearest

LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # Prometheus remote write 1.0
NEVER_EXPORTED = ("authorization", "proxy-authorization", "cookie", "set-cookie")


def check(
    config: Config, given_exporters: Collection[str], protocols: Collection[str], warnings: list[str]
) -> list[Fault]:
    """Everything that is wrong between the keys of `config`; what is only odd goes to `warnings`.

    `given_exporters` are the names under `exporters`, also those that could not be read.
    """
    faults = [
        *_check_receiver(config.receivers.pcap, protocols),
        *_check_exporters(config),
        *_check_service(config, given_exporters),
    ]
    if not config.service.pipelines:
        warnings.append("service.pipelines: there are none, nothing is exported")
    return faults


def _check_receiver(pcap: PcapReceiver, protocols: Collection[str]) -> Iterator[Fault]:
    at = "receivers.pcap"
    if pcap.files and pcap.interfaces:
        yield Fault(f"{at}.files", "there are interfaces as well: it reads either files or interfaces")
    if not pcap.files and not pcap.interfaces:
        yield Fault(f"{at}.interfaces", "takes an interface or more, any for all of them")
    for key, names in (("interfaces", pcap.interfaces), ("files", pcap.files)):
        for index, name in enumerate(names):
            if not name or "\0" in name:
                yield Fault(f"{at}.{key}[{index}]", "is empty" if not name else "has a NUL byte")
            elif name in names[:index]:
                yield Fault(f"{at}.{key}[{index}]", f"{name} stands twice")
    if "any" in pcap.interfaces and len(pcap.interfaces) > 1:
        yield Fault(f"{at}.interfaces", "any takes in the others: every packet would count twice")
    pinned: dict[int, str] = {}
    for protocol, ports in pcap.ports.items():
        if protocol not in protocols:
            yield Fault(f"{at}.ports.{protocol}", f"unknown protocol{nearest(protocol, protocols)}")
        for index, port in enumerate(ports):
            other = pinned.setdefault(port, protocol)
            if other != protocol:
                yield Fault(f"{at}.ports.{protocol}[{index}]", f"{port} is pinned to {other} already")
    if not pcap.detect and not pcap.ports:
        yield Fault(f"{at}.detect", "is false and no ports are pinned: nothing would be decoded")
    yield from _check_networks(f"{at}.exclude.addresses", pcap.exclude.addresses)
    yield from _check_networks(f"{at}.trusted_proxies", pcap.trusted_proxies)
    if pcap.local_addresses != "auto":
        yield from _check_networks(f"{at}.local_addresses", pcap.local_addresses)
    for address, name in pcap.names.items():
        if not _is_address(address):
            yield Fault(f"{at}.names.{address}", "takes an IP address as key")
        if not name:
            yield Fault(f"{at}.names.{address}", "the name is empty")
    yield from _check_routes(f"{at}.http.routes", pcap.http)
    for index, method in enumerate(pcap.http.known_methods):
        if not TOKEN.fullmatch(method):
            yield Fault(f"{at}.http.known_methods[{index}]", f"got {method!r}, takes a method such as GET")
    for index, header in enumerate(pcap.http.headers):
        if not TOKEN.fullmatch(header):
            yield Fault(f"{at}.http.headers[{index}]", f"got {header!r}, takes a header's name")
        elif header.lower() in NEVER_EXPORTED:
            yield Fault(f"{at}.http.headers[{index}]", f"{header} holds credentials and is never exported")
    if pcap.flows.out_of_order > pcap.flows.memory:
        yield Fault(f"{at}.flows.out_of_order", "one direction may keep more than flows.memory allows for all")


def _check_routes(path: str, http: Http) -> Iterator[Fault]:
    known = http.known_methods or KNOWN_METHODS
    for index, text in enumerate(http.routes):
        try:
            method = parse_route(text).method
        except ValueError as error:
            yield Fault(f"{path}[{index}]", f"got {text!r}: {error}")
            continue
        if method and method not in known:
            hint = f", did you mean {method.upper()}?" if method.upper() in known else ""
            yield Fault(f"{path}[{index}]", f"got {text!r}: {method} is not among http.known_methods{hint}")


def _check_networks(path: str, networks: tuple[str, ...]) -> Iterator[Fault]:
    for index, network in enumerate(networks):
        try:
            ip_network(network, strict=False)
        except ValueError:
            yield Fault(f"{path}[{index}]", f"got {network!r}, takes an IP address or a network such as 10.0.0.0/8")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _check_exporters(config: Config) -> Iterator[Fault]:
    for name, exporter in config.exporters.items():
        at = f"exporters.{name}"
        match exporter:
            case OtlpGrpcExporter():
                if exporter.endpoint.startswith(TARGET_SCHEMES):
                    if problem := target_problem(exporter.endpoint):
                        yield Fault(f"{at}.endpoint", problem)
                elif "/" in exporter.endpoint and "@" not in exporter.endpoint:
                    yield Fault(f"{at}.endpoint", "takes host:port, has a path, and OTLP over gRPC has none")
                else:
                    yield from _check_endpoint(f"{at}.endpoint", exporter.endpoint)
            case PrometheusRemoteWriteExporter():
                yield from _check_url(f"{at}.endpoint", exporter.endpoint)
                for label in exporter.external_labels:
                    if not LABEL.fullmatch(label) or label.startswith("__"):
                        yield Fault(f"{at}.external_labels.{label}", "is no label name of Prometheus")
            case DebugExporter():
                continue
        yield from _check_tls(f"{at}.tls", exporter.tls)
        if exporter.proxy_url:
            try:
                read_proxy(exporter.proxy_url)
            except ValueError as error:
                yield Fault(f"{at}.proxy_url", str(error))
        for header, value in exporter.headers.items():
            if not TOKEN.fullmatch(header):
                yield Fault(f"{at}.headers.{header}", "is no header's name")
            if any(letter in value for letter in "\r\n\0"):
                yield Fault(f"{at}.headers.{header}", "the value has a line break or a NUL byte")
        retry, queue = exporter.retry_on_failure, exporter.sending_queue
        if retry.enabled and retry.initial_interval > retry.max_interval:
            yield Fault(f"{at}.retry_on_failure.initial_interval", "is longer than max_interval")
        if queue.enabled and queue.batch.max_size > queue.queue_size:
            yield Fault(f"{at}.sending_queue.queue_size", "one batch (batch.max_size) does not fit into the queue")


def _check_tls(path: str, tls: Tls) -> Iterator[Fault]:
    if bool(tls.cert_file) != bool(tls.key_file):
        has, lacks = ("cert_file", "key_file") if tls.cert_file else ("key_file", "cert_file")
        yield Fault(f"{path}.{lacks}", f"is missing beside {has}")


def _check_endpoint(path: str, endpoint: str) -> Iterator[Fault]:
    try:
        split_endpoint(endpoint)
    except ValueError as error:
        yield Fault(path, f"takes host:port, {error}")


def _check_url(path: str, url: str) -> Iterator[Fault]:
    if not url:
        yield Fault(path, "is missing, takes a URL such as http://localhost:8428/api/v1/write")
        return
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:  # not its text: it may have a password
        yield Fault(path, "takes a URL such as http://localhost:8428/api/v1/write")


def _check_service(config: Config, given_exporters: Collection[str]) -> Iterator[Fault]:
    service = config.service
    for key, pipeline in service.pipelines.items():
        at = f"service.pipelines.{key}"
        signal = key.partition("/")[0]
        if signal not in ("traces", "metrics"):
            yield Fault(at, f"unknown pipeline{nearest(signal, ('traces', 'metrics'))}")
            continue
        if not pipeline.receivers:
            yield Fault(f"{at}.receivers", "takes [pcap]")
        if not pipeline.exporters:
            yield Fault(f"{at}.exporters", "takes an exporter or more")
        for index, name in enumerate(pipeline.exporters):
            where = f"{at}.exporters[{index}]"
            if name in pipeline.exporters[:index]:
                yield Fault(where, f"{name} stands twice")
            elif name in config.exporters:
                if signal not in CARRIES[type(config.exporters[name])]:
                    yield Fault(where, f"{name} does not carry {signal}")
            elif name not in given_exporters:
                yield Fault(where, f"{name} is not among the exporters{nearest(name, given_exporters)}")
    listening = {}
    if "health_check" in service.extensions:
        listening["extensions.health_check.endpoint"] = config.extensions.health_check.endpoint
    if service.telemetry.metrics.level != "none":
        listening["service.telemetry.metrics.endpoint"] = service.telemetry.metrics.endpoint
    for path, endpoint in listening.items():
        yield from _check_endpoint(path, endpoint)
    if len(listening) > len(set(listening.values())):
        yield Fault("service.telemetry.metrics.endpoint", "is extensions.health_check.endpoint as well")
    for name in service.resource:
        if not name:
            yield Fault("service.resource", "an attribute's name is empty")
