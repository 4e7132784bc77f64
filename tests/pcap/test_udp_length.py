"""A datagram's payload ends where UDP's own length says (RFC 768), not where IP's or the frame does (RFC 9868)."""

from __future__ import annotations

import struct

import pytest

from tests.l7.harness import Collector
from tests.pcap.encapsulations import ethernet, ip4, ip6, plain, udp
from tests.pcap.packets import Wire, engine

QUESTION = bytes.fromhex("0007 0100 0001 0000 0000 0000 0161 00 0001 0001")
OPTIONS = bytes.fromhex("f1 53 65 10 27 00 00 5e")  # RFC 9868, 8: time stamps and the like


def read(packet: bytes, end: int | None = None) -> tuple[int, int, int]:
    """Packets, bytes of payload, packets skipped as malformed."""
    wire = Wire(engine())
    wire.packet(packet[:end])
    on = wire.engine
    assert on.packets == on.parsed + sum(on.skipped_packets().values()) == 1
    on.finish()
    counts = wire.counts()
    found = counts.get("network.packets{receive}", 0) + counts.get("network.packets{transmit}", 0)
    payload = counts.get("network.io{receive}", 0) + counts.get("network.io{transmit}", 0)
    return found, payload, on.skipped_packets()["malformed"]


@pytest.mark.parametrize("ip", [ip4, ip6])
@pytest.mark.parametrize("surplus", [b"\0", OPTIONS, b"\0" * 300])
def test_what_is_behind_is_no_payload(ip: object, surplus: bytes) -> None:
    assert callable(ip)
    assert read(ip(udp(40000, 9, b"x" * 50, 58) + surplus)) == (1, 50, 0)
    assert read(ip(udp(40000, 9, b"", 8) + surplus)) == (1, 0, 0)
    seen = Collector()
    wire = Wire(engine(sink=seen))
    wire.packet(ip(udp(40000, 53, QUESTION, 8 + len(QUESTION)) + surplus))
    wire.wait(40)
    assert [one.sizes for one in seen.seen] == [(len(QUESTION),)]


def test_padding_of_the_frame_is_none_either() -> None:
    wire = Wire(engine(), 1)
    wire.packet(ethernet(plain(ip4(udp(40000, 9, b"abc")))).ljust(60, b"\x55"))
    wire.engine.finish()
    assert wire.counts()["network.io{receive}"] == 3


@pytest.mark.parametrize("ip", [ip4, ip6])
@pytest.mark.parametrize("length", [1, 7, 59, 65535])
def test_a_length_that_cannot_be_is_malformed(ip: object, length: int) -> None:
    """Linux drops it: net/ipv4/udp.c, `short_packet`."""
    assert callable(ip)
    assert read(ip(udp(40000, 9, b"x" * 50, length))) == (0, 0, 1)


def test_a_length_of_zero_is_a_jumbograms_alone() -> None:
    # RFC 2675, 4: 0 means the length that IPv6 tells; IPv4 has no such thing, unless its own was too small as well.
    assert read(ip4(udp(40000, 9, b"x" * 50, 0))) == (0, 0, 1)
    assert read(ip4(udp(40000, 9, b"x" * 50, 0), total=0)) == (1, 50, 0)
    assert read(ip6(udp(40000, 9, b"x" * 50, 0))) == (1, 50, 0)
    jumbo = struct.pack("!BBBBI", 17, 0, 0xC2, 4, 8 + 8 + 70_000)
    assert read(ip6(jumbo + udp(40000, 9, b"x" * 70_000, 0), 0, length=0)) == (1, 70_000, 0)


def test_where_ip_tells_none_udp_does() -> None:
    assert read(ip4(udp(40000, 9, b"x" * 50) + OPTIONS, total=0)) == (1, 50, 0)
    assert read(ip4(udp(40000, 9, b"x" * 50), total=0), end=40) == (1, 50, 0)
    assert read(ip6(udp(40000, 9, b"x" * 50) + OPTIONS, length=0)) == (1, 50, 0)


def test_a_short_snaplen_cuts_the_capture_and_not_the_length() -> None:
    assert read(ip4(udp(40000, 9, b"x" * 50, 58) + OPTIONS), end=40) == (1, 50, 0)
