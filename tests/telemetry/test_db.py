"""Databases seen from their server's side: nothing unless asked for, then spans and a metric of our own.

A recorded connection goes through the program as a user runs it; what comes out is read from the debug exporter.
"""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLIENT, SERVER = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))
SYN, PSH_ACK = 0x02, 0x18
LINK_RAW = 101


def recorded() -> bytes:
    """A capture file: PING, and GET of a list."""
    out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, LINK_RAW)]
    sequence = {True: 100, False: 900}
    turns = [
        (True, SYN, b""),
        (False, SYN | 0x10, b""),
        (True, PSH_ACK, b"*1\r\n$4\r\nPING\r\n"),
        (False, PSH_ACK, b"+PONG\r\n"),
        (True, PSH_ACK, b"*2\r\n$3\r\nGET\r\n$1\r\nl\r\n"),
        (False, PSH_ACK, b"-WRONGTYPE Operation against a key\r\n"),
    ]
    for number, (asks, flags, payload) in enumerate(turns):
        ports = (40000, 6379) if asks else (6379, 40000)
        tcp = struct.pack(">HHIIBBHHH", *ports, sequence[asks], sequence[not asks], 0x50, flags, 8192, 0, 0) + payload
        sequence[asks] += len(payload) + (flags & SYN != 0)
        ends = CLIENT + SERVER if asks else SERVER + CLIENT
        packet = struct.pack(">BBHIBBH", 0x45, 0, 20 + len(tcp), 0, 64, 6, 0) + ends + tcp
        out.append(struct.pack("<4I", 1_700_000_000, number * 1000, len(packet), len(packet)) + packet)
    return b"".join(out)


def run(folder: Path, ours: str, *settings: str) -> str:
    """What the program says of the capture when the address `ours` is the observed side's."""
    file = folder / "redis.pcap"
    file.write_bytes(recorded())
    given = [
        f"receivers.pcap.files=[{file}]",
        "receivers.pcap.interfaces=[]",
        f"receivers.pcap.local_addresses=[{ours}]",
        "exporters.debug.verbosity=detailed",
        "service.pipelines.traces={receivers: [pcap], exporters: [debug]}",
        "service.pipelines.metrics={receivers: [pcap], exporters: [debug]}",
        *settings,
    ]
    words = [word for setting in given for word in ("--set", setting)]
    command = [sys.executable, "-m", "receiver", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def spans(text: str) -> list[tuple[str, str]]:
    return re.findall(r"span '([^']+)' (\w+)", text)


@pytest.mark.parametrize("asked", [False, True])
def test_server_s_side_is_told_of_when_asked_for(tmp_path: Path, asked: bool) -> None:
    text = run(tmp_path, "192.0.2.2", f"receivers.pcap.db.server_side={str(asked).lower()}")
    assert spans(text) == ([("PING", "server"), ("GET", "server")] if asked else [])
    assert ("pcap_receiver.db.server.operation.duration" in text) is asked
    assert "db.client.operation.duration" not in text
    assert "pcap_receiver.roundtrips{outcome=ok, protocol=redis} 1" in text
    assert "pcap_receiver.roundtrips{outcome=error, protocol=redis} 1" in text
    if asked:
        assert "error.type = WRONGTYPE" in text
        assert "client.address = 192.0.2.1" in text
        assert "pcap_receiver.vantage = server" in text


def test_client_s_side_needs_no_asking(tmp_path: Path) -> None:
    text = run(tmp_path, "192.0.2.1", "receivers.pcap.db.server_side=true")
    assert spans(text) == [("PING", "client"), ("GET", "client")]
    assert "db.client.operation.duration" in text and "pcap_receiver.db.server" not in text
