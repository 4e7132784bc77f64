"""What can be captured on, compared with iproute2 where it is installed."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from receiver.interface import filter_problem, interfaces, may_capture


@pytest.mark.skipif(shutil.which("ip") is None, reason="iproute2 (ip) is not installed")
def test_addresses_are_those_that_iproute2_shows() -> None:
    links = json.loads(subprocess.run(["ip", "-j", "address"], capture_output=True, check=True).stdout)
    expected = {link["ifname"]: {entry["local"] for entry in link["addr_info"]} for link in links}
    found = {interface.name: set(interface.addresses) for interface in interfaces()}
    assert found.pop("any") == set()
    assert found == {name: addresses for name, addresses in expected.items() if name in found}
    assert "lo" in found


@pytest.mark.parametrize(
    ("mask", "permitted"),
    [("000001ffffffffff", True), ("0000000000002000", True), ("0000000000001000", False), ("0000000000000000", False)],
)
def test_permission_is_the_effective_set(mask: str, permitted: bool, tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text(f"Name:\tx\nCapPrm:\t000001ffffffffff\nCapEff:\t{mask}\nCapBnd:\t000001ffffffffff\n")
    assert may_capture(status) is permitted


def test_filter_as_libpcap_reads_it() -> None:
    assert filter_problem("tcp port 80 or (ip6 and proto 0)") == ""
    assert filter_problem("tcp prt 80") != ""
