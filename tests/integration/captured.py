"""Clients and servers in a namespace, captured on its loopback, and what is read of them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from receiver.l7.registry import protocols
from receiver.l7.shared import Shared
from tests.integration.conservation import ByPort, read_capture
from tests.integration.namespaces import Namespace
from tests.integration.servers import wait_for


def run_captured(
    namespace: Namespace, folder: Path, command: Sequence[str], expression: str = "tcp", shared: Shared | None = None
) -> tuple[str, ByPort]:
    """Run a workload to its end while tcpdump captures on the loopback there: what it printed, and how each connection is read.

    `shared`: what decoders share; with it the levels that a consumer's polls left are in `ByPort.lags`.
    """
    capture, log = folder / "loopback.pcap", folder / "tcpdump.log"
    argv = ["tcpdump", "-i", "lo", "-B", "131072", "-U", "-w", os.fspath(capture), *expression.split()]
    with log.open("wb") as output:
        tcpdump = subprocess.Popen(namespace.command(argv), stdout=output, stderr=output)
    try:
        wait_for(lambda: b"listening" in log.read_bytes(), "tcpdump")
        done = namespace.run(*command, timeout_s=200)
        time.sleep(1.5)  # libpcap hands over a block that is not full up to a second late
    finally:
        tcpdump.terminate()
        tcpdump.wait(20)
    assert b"\n0 packets dropped by kernel" in log.read_bytes()
    collector = ByPort(None if shared is None else shared.levels)
    reading = read_capture(capture, collector, protocols(shared))
    assert not reading.errors
    assert reading.pairing.unmatched == 0
    return done.stdout, collector
