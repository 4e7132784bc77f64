"""From what is wanted to the text of a capture filter.

Room: capture. Knows libpcap's filter language; opens nothing.

Packets that nobody wants cost least when the kernel leaves them out, so the filter says as much as it can say exactly, and lets
through what it cannot judge and the decoders can read: later fragments, IPv6 extension headers, PPPoE, MPLS, LLC, many tags, tags
on cooked captures. The engine looks again. A link type whose headers vary (PPP, 802.11 and the like) is not filtered at all.

Four properties of libpcap's language shape the text:
- `tcp[...]` and `udp[...]` read IPv4 only. IPv6 is indexed as `ip6[...]`, 40 bytes of fixed header first.
- `vlan` moves the offset of everything to its right by 4 bytes, brackets or not. So the untagged form stands first
  and each further tag is nested inside the one before: `X or (vlan and (X or (vlan and (X))))`. Of a live capture it knows as well
  the outermost tag, which the kernel takes out of the frame before the filter sees it.
- `link[...]` is not moved by it: it reads the frame as it is, live without the outermost tag. Tags are not asked for in this way:
  libpcap makes of it, together with `vlan`, a program that the kernel refuses.
- `vlan` exists for Ethernet only. Cooked captures carry the tag's ethertype in their own header: matched by `ether
  proto`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

import msgspec

from receiver.config import Tunnels
from receiver.pcap.dlt import (
    DLT_EN10MB,
    DLT_IPV4,
    DLT_IPV6,
    DLT_LINUX_SLL,
    DLT_LINUX_SLL2,
    DLT_LOOP,
    DLT_NULL,
    DLT_RAW,
)

# Those of which the text says everything that the decoders read.
_JUDGED = frozenset({DLT_NULL, DLT_EN10MB, DLT_RAW, DLT_LOOP, DLT_LINUX_SLL, DLT_IPV4, DLT_IPV6, DLT_LINUX_SLL2})

PortRange = tuple[int, int]

# Tags that libpcap's `vlan` knows, and behind how many in a row a packet is judged: behind more it passes.
_TAGS = (0x8100, 0x88A8, 0x9100)
_MAX_TAGS = 3
# What the decoders open and libpcap cannot in the same breath: PPPoE sessions, MPLS, and a tag that its `vlan` does not know.
_ENVELOPES = (0x8864, 0x8847, 0x8848, 0x9200)
# The header is the address family, and AF_INET6 differs: libpcap compiles Linux's 10 in, others write 24, 28 or 30.
_FOREIGN_FAMILY = "(not (ip or ip6))"
# Later fragments have no ports, and with layer 4 off no flags either; whose they are the filter cannot know.
_IP_FRAGMENT = "(ip proto {} and ip[6:2] & 0x1fff != 0)"
# Hop-by-hop (BIG TCP has one: a segment over 64 KB states its length there), routing, authentication, destination options.
_EXTENSIONS = (0, 43, 51, 60)
# A payload, or one of SYN, FIN, RST. IPv4 total length 0 (BIG TCP) differs from the header's length too and passes.
_IP_TELLING = "(tcp[13] & 7 != 0 or ip[2:2] - ((ip[0] & 0xf) << 2) != (tcp[12] & 0xf0) >> 2)"
_IP6_TELLING = "(ip6[6] = 6 and (ip6[53] & 7 != 0 or ip6[4:2] != (ip6[52] & 0xf0) >> 2))"
# What ICMP says of packets that did not arrive (RFC 792; RFC 4443, 3.1), but not that they are to be smaller (RFC 1191).
_UNREACHABLE = "(icmp[0] = 3 and icmp[1] != 4)"
_UNREACHABLE6 = "(ip6[6] = 58 and ip6[40] = 1)"
# IP in IP, IPv6 in IP, GRE.
_TUNNELS = (4, 41, 47)
_TCP, _UDP, _FRAGMENT = 6, 17, 44
# Words after which libpcap reads everything to the right at another offset; after all but the first, `link[...]` too.
_SHIFTING = re.compile(r"\b(vlan|mpls|pppoes|geneve|vxlan)\b")
_ENTERING = re.compile(r"\b(mpls|pppoes|geneve|vxlan)\b")


class FilterPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be captured; the same for every link type.

    `tcp_ports` None means every TCP packet (detection by content), and with `layer4` every UDP packet as well; an empty
    tuple means none. Port ranges include both ends. `layer4` also means pure ACKs.
    `exclude_endpoints` are pairs of an address and a TCP port: what our own exporters talk to, every resolved address
    once. `exclude_addresses` take single addresses and networks (`10.0.0.0/8`). `user` is joined with `and`. `unwrap`: tunnels are
    to be opened, those in UDP by the ports of `tunnels`.
    """

    tcp_ports: tuple[PortRange, ...] | None = None
    udp_ports: tuple[PortRange, ...] = ((53, 53),)
    layer4: bool = True
    exclude_ports: tuple[PortRange, ...] = ()
    exclude_addresses: tuple[str, ...] = ()
    exclude_endpoints: tuple[tuple[str, int], ...] = ()
    user: str = ""
    unwrap: bool = False
    tunnels: Tunnels = Tunnels()


def build_filter(plan: FilterPlan, link_type: int) -> str:
    """The filter for a capture of this link type (a DLT number), in libpcap's language; '' keeps everything.

    Raises ValueError when an address of the plan is none.
    """
    user = plan.user.strip()
    if link_type not in _JUDGED:
        return user
    plain = f"({_wanted(plan)})" + "".join(f" and not {clause}" for clause in _refused(plan))
    if user and _SHIFTING.search(user):
        # What the user says about tags holds, and is read at the offsets the user sees: it goes first, nothing is nested.
        others = "" if _ENTERING.search(user) else _unjudged(link_type, 1)
        return f"({user}) and (({plain}){others})"
    also = f" and ({user})" if user else ""
    text = ""
    for tags in reversed(range(_MAX_TAGS + 1 if link_type == DLT_EN10MB else 1)):
        # One more tag; behind the last that is judged any passes.
        more = f" or (vlan and ({text}))" if text else f" or (vlan{also})" if link_type == DLT_EN10MB else ""
        others = _unjudged(link_type, tags)
        if others and user:
            others = f" or (({others.removeprefix(' or ')}){also})"
        text = f"({plain}{also}){others}{more}"
    return text


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


def _unjudged(link_type: int, tags: int = 0) -> str:
    """What passes unseen behind so many tags, for only the decoders can read it: clauses, each with ` or ` before it."""
    if link_type == DLT_EN10MB:
        found = [f"ether proto {kind:#x}" for kind in _ENVELOPES]
        # [... length at 12][LLC at 14], 4 bytes further for each tag, of which the outermost is gone live.
        found += [f"(link[{at}:2] < 0x600 and {_is_llc(at + 2)})" for at in sorted({12 + 4 * max(tags - 1, 0), 12 + 4 * tags})]
    elif link_type in (DLT_LINUX_SLL, DLT_LINUX_SLL2):
        # ETH_P_802_2 is 4 (linux/if_ether.h): LLC follows the header.
        at, behind = (14, 16) if link_type == DLT_LINUX_SLL else (0, 20)
        found = [f"ether proto {kind:#x}" for kind in (*_TAGS, *_ENVELOPES)]
        found.append(f"(link[{at}:2] = 4 and {_is_llc(behind)})")
    elif link_type in (DLT_NULL, DLT_LOOP):
        found = [_FOREIGN_FAMILY]
    else:
        found = []
    return "".join(f" or {clause}" for clause in found)


def _is_llc(at: int) -> str:
    """SNAP with an ethertype (RFC 1042), or IP's own SAP."""
    return f"((link[{at}:4] = 0xaaaa0300 and link[{at + 4}:2] = 0) or link[{at}] = 6)"


def _wanted(plan: FilterPlan) -> str:
    clauses = []
    later = []  # protocols of which later fragments may be wanted
    first6 = []  # of IPv6, what first ones say
    tcp = ["tcp"] if plan.tcp_ports is None else [f"tcp {_port(r)}" for r in plan.tcp_ports]
    if tcp:
        every = " or ".join(tcp)
        # The port's test stands left: a packet of another port never pays for the arithmetic.
        clauses.append(every if plan.layer4 else f"(({every}) and ({_IP_TELLING} or {_IP6_TELLING}))")
        if plan.tcp_ports is not None or not plan.layer4:
            later.append(_TCP)
            first6.append(_first_fragment6(_TCP, plan.tcp_ports))
    if plan.layer4 and plan.tcp_ports is None:
        clauses.append("udp")
    else:
        ports = plan.udp_ports
        if plan.unwrap:
            ports = (*ports, *((port, port) for port in (*plan.tunnels.vxlan, *plan.tunnels.geneve)))
        clauses += [f"udp {_port(r)}" for r in ports]
        if ports:
            later.append(_UDP)
            first6.append(_first_fragment6(_UDP, ports))
    if clauses:
        clauses += [_UNREACHABLE, _UNREACHABLE6]
    if plan.unwrap:
        clauses += [f"ip proto {number} or ip6[6] = {number}" for number in _TUNNELS]
        first6 += [f"ip6[40] = {number}" for number in _TUNNELS]
    if clauses:
        clauses += [_IP_FRAGMENT.format(number) for number in later]
        first6 += [f"(ip6[40] = {number} and ip6[42:2] & 0xfff8 != 0)" for number in later]
        first6 += [f"ip6[40] = {number}" for number in _EXTENSIONS]
        clauses.append(" or ".join(f"ip6[6] = {number}" for number in _EXTENSIONS))
        clauses.append(f"(ip6[6] = {_FRAGMENT} and ({' or '.join(first6)}))")
    # Nothing wanted is still a filter that compiles: libpcap refuses one that can never match.
    return " or ".join(clauses) or "len = 0"


def _first_fragment6(protocol: int, ports: Sequence[PortRange] | None) -> str:
    """[IPv6 header 40][next header][0][offset 0][id 4][ports ...: the first fragment of an IPv6 packet, or the only one."""
    if ports is None:
        return f"ip6[40] = {protocol}"
    either = " or ".join(
        f"ip6[{at}:2] = {first}" if first == last else f"(ip6[{at}:2] >= {first} and ip6[{at}:2] <= {last})"
        for at in (48, 50)
        for first, last in ports
    )
    return f"(ip6[40] = {protocol} and ip6[42:2] & 0xfff8 = 0 and ({either}))"


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
