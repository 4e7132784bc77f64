"""Addresses: however many there are, each has its own text, and is ours or a group's as it is."""

from __future__ import annotations

import ipaddress
import random

import pytest

from receiver.wire.records import Endpoints
from tests.pcap.packets import Wire, engine, ip, udp


def meet(wire: Wire, source: str, target: str) -> Endpoints:
    """The endpoints of a new flow."""
    serial = wire.engine.table.opened
    wire.packet(ip(source, target, 17, udp(40000, 9, b"x"), serial % 65535 + 1), after_ms=0.001)
    assert wire.engine.table.opened == serial + 1
    (flow,) = [flow for flow in wire.engine.table.flows() if flow.serial == serial + 1]
    return flow.endpoints()


def test_addresses_whose_numbers_are_alike_are_told_apart() -> None:
    wire = Wire(engine(()))
    # In memory the eight bytes of the one are the four of the other and zeros.
    for address in ("1.2.3.4", "::102:304:0:0", "1.2.3.4", "102:304::", "4.3.2.1", "::102:304"):
        other = "fd00::1" if ":" in address else "10.0.0.1"
        assert meet(wire, address, other).client_address == address
        wire.wait(130)


def test_more_addresses_than_are_kept() -> None:
    wire = Wire(engine(()))
    dice = random.Random(5)
    addresses = [str(ipaddress.ip_address(dice.randrange(0x0B000000, 0xDF000000))) for _ in range(300)]
    for number in range(9000):
        wire.packet(ip(f"10.{number >> 8}.{number & 255}.7", "10.0.0.1", 17, udp(1000, 9, b"x"), 1), after_ms=0.001)
    for address in addresses:
        assert meet(wire, address, "10.0.0.1").client_address == address
    told = {flow.endpoints().client_address for flow in wire.engine.table.flows()}
    assert len(told) == 9000 + len(set(addresses))


@pytest.mark.parametrize(
    ("target", "group"),
    [
        ("224.0.0.251", True),  # RFC 6762, 3
        ("239.255.255.250", True),
        ("255.255.255.255", True),  # RFC 919
        ("223.255.255.255", False),
        ("ff02::fb", True),
        ("fe80::fb", False),
    ],
)
def test_group_is_told(target: str, group: bool) -> None:
    source = "fe80::1" if ":" in target else "192.0.2.1"
    assert meet(Wire(engine(())), source, target).group is group


def test_ours_are_told_from_the_others() -> None:
    wire = Wire(engine(("10.0.0.1",)))
    assert (meet(wire, "10.0.0.1", "10.0.0.2").vantage, meet(wire, "10.0.0.3", "10.0.0.1").vantage) == (1, 0)
    assert [meet(wire, a, b).neutral for a, b in (("10.0.0.4", "10.0.0.5"), ("10.0.0.1", "10.0.0.1"))] == [True, True]
    assert [meet(wire, a, b).neutral for a, b in (("10.0.0.1", "10.0.0.5"), ("10.0.0.5", "10.0.0.1"))] == [False, False]
