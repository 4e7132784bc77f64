"""The generated filter, compiled by pcapy's libpcap and run on packets made here; tcpdump is asked as well."""

from __future__ import annotations

import itertools
import shutil
import socket
import struct
import subprocess
from pathlib import Path

import pcapy
import pytest

from receiver.config import Tunnels
from receiver.pcap import dlt
from receiver.pcap.bpf import FilterPlan, build_filter

SYN, ACK, PSH_ACK, FIN_ACK, RST = 0x02, 0x10, 0x18, 0x11, 0x04
LINKS = (dlt.DLT_EN10MB, dlt.DLT_LINUX_SLL, dlt.DLT_LINUX_SLL2, dlt.DLT_RAW, dlt.DLT_NULL, dlt.DLT_LOOP)


def tcp(
    port: int = 8080, flags: int = PSH_ACK, payload: bytes = b"GET / HTTP/1.1\r\n\r\n", options: bytes = b""
) -> bytes:
    offset = (20 + len(options)) // 4 << 4
    return struct.pack("!HHIIBBHHH", 40000, port, 1, 1, offset, flags, 512, 0, 0) + options + payload


def udp(port: int, payload: bytes = b"\0" * 12) -> bytes:
    return struct.pack("!HHHH", 40000, port, 8 + len(payload), 0) + payload


def ip4(
    body: bytes, proto: int = 6, *, host: str = "10.0.0.2", frag: int = 0, length: int = -1, options: bytes = b""
) -> bytes:
    total = 20 + len(options) + len(body) if length < 0 else length
    head = struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, 0, total, 1, frag, 64, proto, 0)
    return head + socket.inet_aton("10.0.0.1") + socket.inet_aton(host) + options + body


def ip6(body: bytes, proto: int = 6, *, host: str = "fd00::2", length: int = -1) -> bytes:
    head = struct.pack("!IHBB", 6 << 28, len(body) if length < 0 else length, proto, 64)
    return head + socket.inet_pton(socket.AF_INET6, "fd00::1") + socket.inet_pton(socket.AF_INET6, host) + body


def frame(packet: bytes, link: int, tags: int = 0) -> bytes:
    kind = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
    tagged = b"".join(struct.pack("!HH", 0x8100 if n == tags - 1 else 0x88A8, 5 + n) for n in range(tags))
    if tags:
        tail = tagged[2:] + struct.pack("!H", kind) + packet
        kind = 0x8100 if tags == 1 else 0x88A8
    else:
        tail = packet
    if link == dlt.DLT_EN10MB:
        return b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02" + struct.pack("!H", kind) + tail
    if link == dlt.DLT_LINUX_SLL:
        return struct.pack("!HHH8sH", 0, 1, 6, b"", kind) + tail
    if link == dlt.DLT_LINUX_SLL2:
        return struct.pack("!HHIHBB8s", kind, 0, 1, 1, 0, 6, b"") + tail
    if link == dlt.DLT_NULL:
        return struct.pack("=I", 2 if packet[0] >> 4 == 4 else 10) + tail
    if link == dlt.DLT_LOOP:
        return struct.pack("!I", 2 if packet[0] >> 4 == 4 else 10) + tail
    return tail


def passes(plan: FilterPlan, packet: bytes, link: int = dlt.DLT_EN10MB, tags: int = 0) -> bool:
    program = pcapy.compile(link, 262144, build_filter(plan, link), 1, 0xFFFFFFFF)
    return bool(program.filter(frame(packet, link, tags)))


PLANS = {
    "everything": FilterPlan(),
    "no layer 4": FilterPlan(layer4=False),
    "pinned": FilterPlan(tcp_ports=((8080, 8080), (9000, 9100)), udp_ports=()),
    "pinned, no layer 4": FilterPlan(tcp_ports=((8080, 8080), (9000, 9100)), layer4=False),
    "udp only": FilterPlan(tcp_ports=()),
    "nothing": FilterPlan(tcp_ports=(), udp_ports=()),
    "exclusions": FilterPlan(
        exclude_ports=((15000, 15090), (22, 22)),
        exclude_addresses=("10.9.0.0/16", "fd09::1"),
        exclude_endpoints=(("127.0.0.1", 4317), ("::1", 4317), ("10.0.0.7", 8428), ("fe80::1%eth0", 8428)),
    ),
    "user's": FilterPlan(user="host 10.0.0.2 or host fd00::2"),
    "tunnels": FilterPlan(unwrap=True),
}


@pytest.mark.parametrize("link", [*LINKS, 9, 50, 105, 127])
@pytest.mark.parametrize("name", PLANS)
def test_every_plan_compiles_for_every_link_type(name: str, link: int) -> None:
    pcapy.compile(link, 65535, build_filter(PLANS[name], link), 1, 0xFFFFFFFF)


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("family", [4, 6])
def test_raw_ip_of_one_version_compiles(name: str, family: int) -> None:
    link = dlt.DLT_IPV4 if family == 4 else dlt.DLT_IPV6
    pcapy.compile(link, 65535, build_filter(PLANS[name], link), 1, 0xFFFFFFFF)


@pytest.mark.parametrize("link", LINKS)
def test_detection_wants_all_tcp_and_dns_and_layer4_all_udp_and_errors(link: int) -> None:
    unreachable = b"\x03\x01" + b"\0" * 6 + ip4(udp(53), 17)
    unreachable6 = b"\x01\x04" + b"\0" * 6 + ip6(udp(53), 17)
    for packet in (ip4(udp(123), 17), ip6(udp(123), 17), ip4(unreachable, 1), ip6(unreachable6, 58)):
        assert passes(FilterPlan(), packet, link)
        assert passes(FilterPlan(), packet, link, tags=1) or link not in (dlt.DLT_EN10MB, dlt.DLT_LINUX_SLL, dlt.DLT_LINUX_SLL2)
        for plan in (FilterPlan(layer4=False), FilterPlan(tcp_ports=(), udp_ports=((53, 53),), layer4=False)):
            assert passes(plan, packet, link) is (packet in (ip4(unreachable, 1), ip6(unreachable6, 58)))
    # That a packet must be smaller is no failure; nor is a ping.
    for packet in (ip4(b"\x03\x04" + b"\0" * 30, 1), ip4(b"\x08\0" + b"\0" * 30, 1), ip6(b"\x80\0" + b"\0" * 30, 58)):
        assert not passes(FilterPlan(), packet, link)
    plan = FilterPlan(layer4=False)
    for packet in (
        ip4(tcp(1)),
        ip6(tcp(65000)),
        ip4(udp(53), 17),
        ip6(udp(53), 17),
        ip4(tcp(), options=b"\x01" * 8),
    ):
        assert passes(plan, packet, link)
        assert passes(FilterPlan(), packet, link)
    for packet in (ip4(tcp(80, ACK, b"")), ip6(tcp(80, ACK, b""))):
        assert passes(FilterPlan(), packet, link)


@pytest.mark.parametrize("family", [10, 24, 28, 30])
def test_ipv6_of_another_systems_loopback_passes(family: int) -> None:
    for link, head in ((dlt.DLT_NULL, struct.pack("=I", family)), (dlt.DLT_LOOP, struct.pack("!I", family))):
        for plan in (FilterPlan(), FilterPlan(tcp_ports=((80, 80),), layer4=False)):
            assert pcapy.compile(link, 65535, build_filter(plan, link), 1, 0xFFFFFFFF).filter(head + ip6(tcp(80)))


@pytest.mark.parametrize("link", LINKS)
def test_without_layer4_a_pure_ack_stays_in_the_kernel(link: int) -> None:
    plan = FilterPlan(layer4=False)
    timestamps = b"\x01\x01\x08\x0a" + b"\0" * 8
    for ip, options in itertools.product((ip4, ip6), (b"", timestamps)):
        assert not passes(plan, ip(tcp(80, ACK, b"", options)), link)
        assert not passes(plan, ip(tcp(80, PSH_ACK, b"", options)), link)
        assert passes(plan, ip(tcp(80, ACK, b"x", options)), link)
        for flags in (SYN, SYN | ACK, FIN_ACK, RST, RST | ACK):
            assert passes(plan, ip(tcp(80, flags, b"", options)), link)
    assert not passes(plan, ip4(tcp(80, ACK, b""), options=b"\x01" * 4), link)
    assert passes(plan, ip4(tcp(80, ACK, b"x"), options=b"\x01" * 4), link)


@pytest.mark.parametrize("layer4", [True, False])
@pytest.mark.parametrize("link", LINKS)
def test_big_tcp_passes_with_and_without_its_extension_header(link: int, layer4: bool) -> None:
    # RFC 2675: next header 6, one option C2 of 4 bytes, the length; payload length 0.
    jumbo = struct.pack("!BBBBI", 6, 0, 0xC2, 4, 100_000)
    plan = FilterPlan(layer4=layer4, tcp_ports=((80, 80),))
    assert passes(plan, ip6(jumbo + tcp(80, ACK), 0, length=0), link)
    assert passes(plan, ip6(tcp(80, ACK), length=0), link)
    assert passes(plan, ip4(tcp(80, ACK), length=0), link)


@pytest.mark.parametrize("link", LINKS)
def test_later_fragments_pass_whatever_their_first_bytes_say(link: int) -> None:
    plan = FilterPlan(tcp_ports=((80, 80),), udp_ports=(), layer4=False)
    assert passes(plan, ip4(b"\0" * 40, frag=185), link)
    assert not passes(plan, ip4(tcp(81), frag=0x2000), link)
    assert not passes(plan, ip4(b"\0" * 40, 17, frag=185), link)
    assert passes(plan, ip6(struct.pack("!BBHI", 6, 0, 1480, 1) + b"\0" * 40, 44), link)
    assert not passes(plan, ip6(struct.pack("!BBHI", 17, 0, 1480, 1) + b"\0" * 40, 44), link)
    for extension in (0, 43, 60):
        assert passes(plan, ip6(struct.pack("!BB6x", 6, 0) + tcp(80), extension), link)


@pytest.mark.parametrize("layer4", [True, False])
@pytest.mark.parametrize("tags", [0, 1, 2])
def test_tagged_frames_are_judged_like_untagged_ones(tags: int, layer4: bool) -> None:
    plan = FilterPlan(
        tcp_ports=((8080, 8080),),
        layer4=layer4,
        exclude_endpoints=(("10.0.0.7", 8080), ("fd00::7", 8080)),
        user="not host 10.0.0.9",
    )
    for ip in (ip4, ip6):
        assert passes(plan, ip(tcp(8080)), tags=tags)
        assert not passes(plan, ip(tcp(8081)), tags=tags)
        assert passes(plan, ip(tcp(8080, ACK, b"")), tags=tags) is layer4
    assert not passes(plan, ip4(tcp(8080), host="10.0.0.7"), tags=tags)
    assert not passes(plan, ip6(tcp(8080), host="fd00::7"), tags=tags)
    assert not passes(plan, ip4(tcp(8080), host="10.0.0.9"), tags=tags)


@pytest.mark.parametrize("link", [dlt.DLT_LINUX_SLL, dlt.DLT_LINUX_SLL2])
def test_tagged_packets_pass_on_a_cooked_capture(link: int) -> None:
    assert passes(FilterPlan(), ip4(tcp()), link, tags=1)
    assert passes(FilterPlan(), ip4(tcp()), link, tags=2)


@pytest.mark.parametrize("link", LINKS)
def test_own_exporters_and_excluded_ports_and_addresses_do_not_pass(link: int) -> None:
    plan = PLANS["exclusions"]
    for packet in (
        ip4(tcp(4317), host="127.0.0.1"),
        ip6(tcp(4317), host="::1"),
        ip4(tcp(8428), host="10.0.0.7"),
        ip6(tcp(8428), host="fe80::1"),
        ip4(tcp(15000)),
        ip6(tcp(15090)),
        ip4(tcp(22)),
        ip4(tcp(80), host="10.9.3.4"),
        ip6(tcp(80), host="fd09::1"),
    ):
        assert not passes(plan, packet, link)
    for packet in (
        ip4(tcp(4317), host="10.0.0.7"),  # the other exporter's port there
        ip4(tcp(8428), host="127.0.0.1"),
        ip6(tcp(8428), host="::1"),
        ip4(tcp(14999)),
        ip6(tcp(15091)),
        ip4(tcp(80), host="10.8.3.4"),
        ip6(tcp(80), host="fd09::2"),
    ):
        assert passes(plan, packet, link)


def test_the_users_filter_narrows_and_never_widens() -> None:
    plan = FilterPlan(user="tcp port 80 or udp port 123", layer4=False)
    assert passes(plan, ip4(tcp(80)))
    assert not passes(plan, ip4(tcp(81)))
    assert not passes(plan, ip4(udp(123), 17))
    assert not passes(FilterPlan(user="port 80"), b"\x45" + b"\0" * 19)


def test_a_users_filter_about_tags_is_read_at_the_offsets_its_author_sees() -> None:
    plan = FilterPlan(user="vlan 5 and tcp port 80")
    assert passes(plan, ip4(tcp(80)), tags=1)
    assert not passes(plan, ip4(tcp(81)), tags=1)
    assert not passes(plan, ip4(tcp(80)))


def test_what_dpkt_decodes_reaches_it() -> None:
    inner = ip4(tcp())
    ethernet = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02"
    program = pcapy.compile(1, 65535, build_filter(FilterPlan(tcp_ports=((80, 80),)), 1), 1, 0xFFFFFFFF)
    assert program.filter(ethernet + b"\x88\x64\x11\0\0\x01" + struct.pack("!HH", len(inner) + 2, 0x21) + inner)
    assert program.filter(ethernet + b"\x88\x47\0\x01\x01\x40" + inner)
    assert program.filter(ethernet + struct.pack("!H", len(inner) + 8) + b"\xaa\xaa\x03\0\0\0\x08\0" + inner)
    # Spanning tree: LLC too, and nothing of ours.
    assert not program.filter(ethernet + b"\0\x26\x42\x42\x03" + b"\0" * 35)


@pytest.mark.parametrize(
    ("packet", "outer"),
    [(udp(4789), 17), (udp(6081), 17), (b"\0\0\x08\0", 47), (ip4(tcp()), 4), (ip6(tcp()), 41)],
)
def test_tunnels_pass_when_they_are_to_be_opened(packet: bytes, outer: int) -> None:
    for ip in (ip4, ip6):
        assert passes(FilterPlan(unwrap=True), ip(packet, outer))
        assert not passes(FilterPlan(layer4=False), ip(packet, outer))


def test_tunnels_ports_are_the_configurations() -> None:
    plan = FilterPlan(unwrap=True, layer4=False, tcp_ports=(), tunnels=Tunnels(vxlan=(4790,), geneve=()))
    for ip in (ip4, ip6):
        assert passes(plan, ip(udp(4790), 17))
        assert not passes(plan, ip(udp(4789), 17))
        assert passes(FilterPlan(unwrap=True, layer4=False), ip(udp(8472), 17))


def test_tcpdump_agrees_packet_by_packet(tmp_path: Path) -> None:
    tcpdump = shutil.which("tcpdump")
    if tcpdump is None:
        pytest.skip("tcpdump is not installed")
    bodies = [tcp(8080), tcp(9050, ACK, b""), tcp(7, SYN, b""), tcp(4317), tcp(15001), tcp(80, FIN_ACK, b"")]
    packets = [ip(b, host=h) for b in bodies for ip, h in ((ip4, "10.0.0.2"), (ip6, "fd00::2"), (ip4, "127.0.0.1"))]
    packets += [
        ip4(udp(53), 17),
        ip6(udp(53), 17),
        ip4(udp(99), 17),
        ip4(b"\0" * 40, frag=185),
        ip6(b"\x06" + b"\0" * 40, 0),
    ]
    for link in (dlt.DLT_EN10MB, dlt.DLT_LINUX_SLL, dlt.DLT_LINUX_SLL2):
        frames = [frame(p, link, tags) for p in packets for tags in (0, 1, 2)]
        file = tmp_path / f"{link}.pcap"
        records = (struct.pack("=IIII", n, 0, len(f), len(f)) + f for n, f in enumerate(frames))
        file.write_bytes(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link) + b"".join(records))
        for name, plan in PLANS.items():
            text = build_filter(plan, link)
            program = pcapy.compile(link, 65535, text, 1, 0xFFFFFFFF)
            ours = [n for n, f in enumerate(frames) if program.filter(f)]
            shown = subprocess.run(
                [tcpdump, "-r", str(file), "-n", "-tt", "-q", text], capture_output=True, text=True, check=True
            ).stdout
            theirs = [int(line.split(".")[0]) for line in shown.splitlines() if line[:1].isdigit()]
            assert ours == theirs, (link, name)


def test_a_wrong_address_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="backend"):
        build_filter(FilterPlan(exclude_addresses=("backend",)), dlt.DLT_EN10MB)
