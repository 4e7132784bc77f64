"""What can be captured on, compared with iproute2 where it is installed."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from receiver.interface import interfaces


@pytest.mark.skipif(shutil.which("ip") is None, reason="iproute2 (ip) is not installed")
def test_addresses_are_those_that_iproute2_shows() -> None:
    links = json.loads(subprocess.run(["ip", "-j", "address"], capture_output=True, check=True).stdout)
    expected = {link["ifname"]: {entry["local"] for entry in link["addr_info"]} for link in links}
    found = {interface.name: set(interface.addresses) for interface in interfaces()}
    assert found.pop("any") == set()
    assert found == {name: addresses for name, addresses in expected.items() if name in found}
    assert "lo" in found


