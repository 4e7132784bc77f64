"""One key checked against another, and texts whose form a type cannot say.

Room: settings. Opens nothing and resolves nothing: a configuration is checked where it is written, not where it runs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from ipaddress import ip_address, ip_network

from receiver.config import CARRIES, KNOWN_METHODS, SECRET_HEADERS, Config, Fault, Http, PcapReceiver, split_endpoint
from receiver.route import TOKEN, parse_route
from receiver.settings.exporters import check_exporter
from receiver.settings.schema import nearest


def check(
    config: Config, given_exporters: Collection[str], protocols: Collection[str], warnings: list[str]
) -> list[Fault]:
    """Everything that is wrong between the keys of `config`; what is only odd goes to `warnings`.

    `given_exporters` are the names under `exporters`, also those that could not be read.
    """
    faults = [
        *_check_receiver(config.receivers.pcap, protocols),
        *(fault for name, item in config.exporters.items() for fault in check_exporter(f"exporters.{name}", item)),
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
            if not name:
                yield Fault(f"{at}.{key}[{index}]", "is empty")
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
        for index, address in enumerate(pcap.local_addresses):
            if not _is_address(address):
                yield Fault(f"{at}.local_addresses[{index}]", f"got {address!r}, takes an IP address, each by itself")
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
        elif header.lower() in SECRET_HEADERS:
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
    """Of a packet: without a zone."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _check_endpoint(path: str, endpoint: str) -> Iterator[Fault]:
    try:
        split_endpoint(endpoint)
    except ValueError as error:
        yield Fault(path, f"takes host:port, {error}")


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
