"""Which HTTP proxy lies before an endpoint, by the variables that say so.

Room: settings. The rules are those of Go's httpproxy package, which the Collector reads: `HTTP_PROXY` for endpoints without TLS,
`HTTPS_PROXY` for those with it, capitals over small letters, never for localhost and loopback addresses, and `NO_PROXY`:

    *                       no proxy at all             10.1.2.3, fd00::1      an address
    example.com             the name and all below it   10.0.0.0/8, fd00::/8   a network, of addresses that stand in the endpoint
    .example.com            what is below it only       [fd00::1]              an address too, which Go does not take
    NAME:4317, ADDRESS:80, [fd00::1]:80                 of that port alone

OTLP is gRPC, whose exporter in the Collector asks for `HTTPS_PROXY` whether there is TLS or not, and gRPC's own libraries for
`grpc_proxy` (and `no_grpc_proxy`) before all; without TLS `HTTP_PROXY` comes last: then it holds for OTLP and remote write alike.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from receiver.config import is_host

PORTS = {"http": 80, "https": 443}
"""The schemes of a proxy that can be spoken to, with the ports that they mean."""


class Proxies:
    """The environment's proxies. What cannot be used goes to `warnings`, once, without its text: it may have a password."""

    def __init__(self, environ: Mapping[str, str], warnings: list[str]) -> None:
        self._environ = environ
        self._warnings = warnings

    def of_grpc(self, host: str, port: int, *, tls: bool) -> str:
        """The proxy's URL for an OTLP endpoint, "" for none."""
        names = ("grpc_proxy", "https_proxy") if tls else ("grpc_proxy", "https_proxy", "http_proxy")
        return self._of(host, port, names, "no_grpc_proxy" if self._text("no_grpc_proxy")[1] else "no_proxy")

    def of_url(self, url: str) -> str:
        """The proxy's URL for a URL of http or https, "" for none."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or PORTS.get(parts.scheme, 0)
        except ValueError:
            return ""  # a fault found later
        return self._of(host, port, (f"{parts.scheme}_proxy",), "no_proxy") if parts.scheme in PORTS else ""

    def _of(self, host: str, port: int, names: tuple[str, ...], exceptions: str) -> str:
        for wanted in names:
            name, text = self._text(wanted)
            if text:
                if not _is_proxied(host, port, self._text(exceptions)[1]):
                    return ""
                try:
                    return read_proxy(text)
                except ValueError as error:
                    self._warn(f"{name} is ignored: {error}")
                    return ""
        return ""

    def _text(self, name: str) -> tuple[str, str]:
        """The variable in the spelling that is set, and its text."""
        for spelling in (name.upper(), name):
            if text := self._environ.get(spelling, "").strip():
                return spelling, text
        return name, ""

    def _warn(self, warning: str) -> None:
        if warning not in self._warnings:
            self._warnings.append(warning)


def read_proxy(text: str) -> str:
    """The URL of a proxy, with its scheme and its port. Raises ValueError that has nothing of its text."""
    parts = _split(text if "://" in text else f"http://{text}")  # `proxy:3128`
    if parts is None or parts.hostname is None or not is_host(parts.hostname):
        raise ValueError("takes the URL of a proxy, as http://proxy:3128")
    if parts.scheme not in PORTS:
        raise ValueError("a proxy of this kind is not spoken, takes http:// or https://")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    userinfo = parts.netloc.rpartition("@")[0]
    port = parts.port if parts.port is not None else PORTS[parts.scheme]
    return f"{parts.scheme}://{userinfo}{'@' if userinfo else ''}{host}:{port}"


def _split(text: str) -> SplitResult | None:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.netloc else None


def _is_proxied(host: str, port: int, exceptions: str) -> bool:
    host = host.lower().partition("%")[0].rstrip(".")
    address = _address(host)
    if host == "localhost" or host.endswith(".localhost") or (address is not None and _is_here(address)):
        return False
    return not any(_is_excepted(host, address, port, entry.strip().lower()) for entry in exceptions.split(","))


def _is_excepted(host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, port: int, entry: str) -> bool:
    """Whether one entry of NO_PROXY is of this endpoint. What cannot be read is of none."""
    if entry in ("", "*"):
        return entry == "*"
    if "/" in entry:
        try:
            network = ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
        return address is not None and address in network
    name, its_port = entry, ""
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        its_port = rest.removeprefix(":")
    elif entry.count(":") == 1:
        name, _, its_port = entry.partition(":")
    if not name or (its_port and its_port != str(port)):
        return False
    if (excepted := _address(name)) is not None:
        return excepted == address
    name = name.removeprefix("*") if name.startswith("*.") else name
    if name == ".":
        return False
    return host.endswith(name) if name.startswith(".") else host == name or host.endswith(f".{name}")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_here(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    # To connect to the unspecified address is to connect to this host.
    return address.is_loopback or address.is_unspecified
