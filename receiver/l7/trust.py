"""Which proxies are believed in what they say of their clients (`receivers.pcap.trusted_proxies`).

Room: l7. Anybody can write `X-Forwarded-For`; what it says is known only where whoever wrote it is known.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from receiver.wire.interned import Interned

# Answers that are kept: a proxy's address is asked about with each of its requests.
KNOWN_MAX = 1024


class Trust:
    """The proxies of `networks`, addresses or networks in CIDR form; false where there are none. Raises ValueError for others."""

    def __init__(self, networks: Iterable[str] = (), limits: dict[str, int] | None = None) -> None:
        self._networks = tuple(_plain_network(ipaddress.ip_network(text, strict=False)) for text in networks)
        self._known = Interned("callers", KNOWN_MAX, limits, forgets=True)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def covers(self, address: str | None) -> bool:
        """Whether `address` is one of them; what is no address is none."""
        if address is None or not self._networks:
            return False
        known: bool | None = self._known.by_name.get(address)
        if known is None:
            known = self._look(address)
            self._known.add(address, known)
        return known

    def _look(self, address: str) -> bool:
        try:
            there = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if there.version == 6 and there.ipv4_mapped is not None:
            there = there.ipv4_mapped
        return any(there in network for network in self._networks)


def _plain_network(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """IPv4 that is written as IPv6 (`::ffff:10.0.0.0/104`) is IPv4."""
    if network.version == 6 and network.prefixlen >= 96 and network.network_address.ipv4_mapped is not None:
        return ipaddress.ip_network((network.network_address.ipv4_mapped, network.prefixlen - 96))
    return network
