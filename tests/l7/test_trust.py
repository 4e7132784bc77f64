"""Which addresses are a trusted proxy's."""

from __future__ import annotations

import pytest

from receiver.l7.trust import KNOWN_MAX, Trust


@pytest.mark.parametrize(
    ("address", "covered"),
    [
        ("10.0.0.0", True),
        ("10.255.255.255", True),
        ("11.0.0.0", False),
        ("192.0.2.1", True),
        ("192.0.2.2", False),
        ("::ffff:10.1.2.3", True),
        ("fd00::1", True),
        ("fd00::1%eth0", True),
        ("fe80::1", False),
        ("198.51.100.255", True),
        ("198.51.101.0", False),
        ("", False),
        ("proxy.test", False),
        ("10.0.0.1:80", False),
        (None, False),
    ],
)
def test_address_of_a_network_is_covered(address: str | None, covered: bool) -> None:
    trust = Trust(["10.0.0.0/8", "192.0.2.1", "fd00::/8", "::ffff:198.51.100.0/120", "203.0.113.9/24"])
    assert trust.covers(address) is covered
    assert trust.covers(address) is covered  # as it was remembered


def test_nobody_is_trusted_unless_named() -> None:
    assert not Trust() and not Trust().covers("127.0.0.1")


def test_what_is_remembered_is_bounded() -> None:
    trust = Trust(["10.0.0.0/8"])
    for i in range(3 * KNOWN_MAX):
        assert trust.covers(f"10.0.{i >> 8}.{i & 255}")
        assert len(trust._known.by_name) <= KNOWN_MAX


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ValueError, match="balancer"):
        Trust(["balancer"])
