"""Room pcap: from what is wanted to the text of a capture filter. Knows libpcap's filter language; opens nothing.

Packets that nobody wants cost least when the kernel leaves them out, so the filter says as much as it can say
exactly, and lets through what it cannot judge (fragments, IPv6 extension headers, tags on cooked captures): the
engine looks again.

Three properties of libpcap's language shape the text:
- `tcp[...]` and `udp[...]` read IPv4 only. IPv6 is indexed as `ip6[...]`, 40 bytes of fixed header first.
- `vlan` moves the offset of everything to its right by 4 bytes, brackets or not. So the untagged form stands first
  and each further tag is nested inside the one before: `X or (vlan and (X or (vlan and (X))))`.
- `vlan` exists for Ethernet only. Cooked captures carry the tag's ethertype in their own header: matched by `ether
  proto`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

import msgspec

DLT_NULL = 0
DLT_EN10MB = 1
DLT_RAW = 12
DLT_LOOP = 108
DLT_LINUX_SLL = 113
DLT_IPV4 = 228
DLT_IPV6 = 229
DLT_LINUX_SLL2 = 276

PortRange = tuple[int, int]

# What the link decoder hands to dpkt on Ethernet: PPPoE sessions, MPLS, and IPv4 or IPv6 in LLC/SNAP (RFC 1042).
_ODD_ETHERNET = (
    "ether proto 0x8864 or ether proto 0x8847 or ether proto 0x8848 or (ether[14:4] = 0xaaaa0300 and ether[18:2] = 0"
    " and (ether[20:2] = 0x0800 or ether[20:2] = 0x86dd))"
)
_TAGGED_COOKED = "ether proto 0x8100 or ether proto 0x88a8"
# The header is the address family, and AF_INET6 differs: libpcap compiles Linux's 10 in, others write 24, 28 or 30.
_FOREIGN_FAMILY = "not (ip or ip6)"
# Later fragments have no ports, and with layer 4 off no flags either.
_IP_FRAGMENT = "(ip proto 6 and ip[6:2] & 0x1fff != 0)"
# Hop-by-hop (BIG TCP has one: a segment over 64 KB states its length there), routing, destination options.
_IP6_EXTENSION = "ip6[6] = 0 or ip6[6] = 43 or ip6[6] = 60"
_IP6_FRAGMENT = "ip6[6] = 44"
# A payload, or one of SYN, FIN, RST. IPv4 total length 0 (BIG TCP) differs from the header's length too and passes.
_IP_TELLING = "(tcp[13] & 7 != 0 or ip[2:2] - ((ip[0] & 0xf) << 2) != (tcp[12] & 0xf0) >> 2)"
_IP6_TELLING = "(ip6[6] = 6 and (ip6[53] & 7 != 0 or ip6[4:2] != (ip6[52] & 0xf0) >> 2))"
# What ICMP says of packets that did not arrive (RFC 792; RFC 4443, 3.1), but not that they are to be smaller (RFC 1191).
_UNREACHABLE = "(icmp[0] = 3 and icmp[1] != 4)"
_UNREACHABLE6 = "(ip6[6] = 58 and ip6[40] = 1)"
# VXLAN and GENEVE by their registered ports, IP in IP (4), IPv6 in IPv4 (41), GRE (47).
_TUNNELS = (
    "udp port 4789 or udp port 6081 or ip proto 4 or ip proto 41 or ip proto 47"
    " or ip6[6] = 4 or ip6[6] = 41 or ip6[6] = 47"
)
# Words after which libpcap reads everything to the right at another offset.
_SHIFTING = re.compile(r"\b(vlan|mpls|pppoes|geneve|vxlan)\b")


class FilterPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be captured; the same for every link type.

    `tcp_ports` None means every TCP packet (detection by content), and with `layer4` every UDP packet as well; an empty
    tuple means none. Port ranges include both ends. `layer4` also means pure ACKs.
    `exclude_endpoints` are pairs of an address and a TCP port: what our own exporters talk to, every resolved address
    once. `exclude_addresses` take single addresses and networks (`10.0.0.0/8`). `user` is joined with `and`.
    """

    tcp_ports: tuple[PortRange, ...] | None = None
    udp_ports: tuple[PortRange, ...] = ((53, 53),)
    layer4: bool = True
    exclude_ports: tuple[PortRange, ...] = ()
    exclude_addresses: tuple[str, ...] = ()
    exclude_endpoints: tuple[tuple[str, int], ...] = ()
    user: str = ""
    unwrap: bool = False


def parse_ports(ports: Iterable[int | str]) -> tuple[PortRange, ...]:
    """Read ports and ranges (`80`, `"80"`, `"15000-15090"`), sorted, overlapping and adjacent ones merged.

    Raises ValueError that quotes the faulty one.
    """
    ranges = []
    for port in ports:
        match = re.fullmatch(r"\s*(\d{1,5})\s*(?:-\s*(\d{1,5})\s*)?", str(port), re.ASCII)
        first = int(match[1]) if match else -1
        last = int(match[2]) if match and match[2] else first
        if not 0 <= first <= last <= 65535:
            raise ValueError(f"not a port or a range of ports: {port!r}")
        ranges.append((first, last))
    merged: list[PortRange] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def build_filter(plan: FilterPlan, link_type: int) -> str:
    """The filter for a capture of this link type (a DLT number), in libpcap's language.

    Raises ValueError when an address of the plan is none.
    """
    refused = _refused(plan)
    wanted = _wanted(plan)
    user = plan.user.strip()
    untagged = f"({wanted})" + "".join(f" and not {clause}" for clause in refused)
    if user and _SHIFTING.search(user):
        # What the user says about tags holds, and is read at the offsets the user sees: it goes first, nothing is
        # nested.
        return f"({user}) and {untagged}"
    if user:
        untagged = f"{untagged} and ({user})"
    if link_type == DLT_EN10MB:
        odd = f"({_ODD_ETHERNET})" + (f" and ({user})" if user else "")
        return f"({untagged}) or {odd} or (vlan and (({untagged}) or (vlan and ({untagged}))))"
    if link_type in (DLT_LINUX_SLL, DLT_LINUX_SLL2):
        return f"({untagged}) or ({_TAGGED_COOKED})" + (f" and ({user})" if user else "")
    if link_type in (DLT_NULL, DLT_LOOP):
        return f"({untagged}) or {_FOREIGN_FAMILY}" + (f" and ({user})" if user else "")
    return untagged


def explain_refusal(expression: str, reason: str, compiles: Sequence[bool]) -> str:
    """One line for a filter that libpcap refused, for its author.

    `reason` is libpcap's own message; `compiles` says of each prefix of 1, 2, ... words whether it compiles by
    itself, which places a syntax error that libpcap only names.
    """
    reason = reason.removeprefix("can't parse filter expression: ").strip() or "not understood"
    if "syntax error" in reason:
        words = expression.split()
        good = max((n for n, fine in enumerate(compiles, 1) if fine), default=0)
        if good == len(words) - 1 or not good:
            where = f'after "{" ".join(words[:good])}"' if good else "at its start or in a bracket left open"
        else:
            where = f'at "{" ".join(words[good : good + 2])}"'
        reason = f"syntax error {where}"
    elif "rejects all packets" in reason:
        reason = "it matches no packet at all"
    return f'cannot use the filter "{" ".join(expression.split())}": {reason}'


def _wanted(plan: FilterPlan) -> str:
    clauses = []
    tcp = ["tcp"] if plan.tcp_ports is None else [f"tcp {_port(r)}" for r in plan.tcp_ports]
    if tcp:
        limited = plan.tcp_ports is not None or not plan.layer4
        every = " or ".join(tcp)
        if plan.layer4:
            clauses.append(every)
        else:
            # The port's test stands left: a packet of another port never pays for the arithmetic.
            clauses.append(f"(({every}) and ({_IP_TELLING} or {_IP6_TELLING}))")
        if limited:
            clauses.append(_IP_FRAGMENT)
            clauses.append(_IP6_FRAGMENT)
        clauses.append(_IP6_EXTENSION)
    if plan.layer4 and plan.tcp_ports is None:
        clauses.append("udp")
    else:
        clauses += [f"udp {_port(r)}" for r in plan.udp_ports]
    if clauses:
        clauses += [_UNREACHABLE, _UNREACHABLE6]
    if plan.unwrap:
        clauses.append(_TUNNELS)
    # Nothing wanted is still a filter that compiles: libpcap refuses one that can never match.
    return " or ".join(clauses) or "len = 0"


def _refused(plan: FilterPlan) -> list[str]:
    clauses = []
    by_port: dict[int, list[str]] = {}
    for address, port in plan.exclude_endpoints:
        by_port.setdefault(port, []).append(_host(address))
    for port, hosts in sorted(by_port.items()):
        clauses.append(f"(tcp port {port} and ({' or '.join(dict.fromkeys(hosts))}))")
    if plan.exclude_ports:
        clauses.append(f"({' or '.join(_port(r) for r in plan.exclude_ports)})")
    if plan.exclude_addresses:
        clauses.append(f"({' or '.join(_host(a) for a in plan.exclude_addresses)})")
    return clauses


def _port(ports: PortRange) -> str:
    first, last = ports
    return f"port {first}" if first == last else f"portrange {first}-{last}"


def _host(address: str) -> str:
    # A zone (`fe80::1%eth0`) is no part of the packet.
    network = ipaddress.ip_network(address.partition("%")[0], strict=False)
    family = "ip" if network.version == 4 else "ip6"
    if network.prefixlen == network.max_prefixlen:
        return f"{family} host {network.network_address}"
    return f"{family} net {network.with_prefixlen}"
