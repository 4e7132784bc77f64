"""The start of a service as far as it needs no privilege, no network and no files: everything is made, nothing is opened."""

from __future__ import annotations

import atexit
import functools
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from msgspec.structs import replace

from receiver.build import filter_plan
from receiver.config import Config, DebugExporter, Exporter, Tls
from receiver.export.own import OwnSockets
from receiver.pcap.bpf import build_filter
from receiver.pcap.dlt import DLT_EN10MB
from receiver.pcap.filter import check_filter
from receiver.service import Service


def start(config: Config, patch: pytest.MonkeyPatch) -> Service:
    """Every name has an address, and the files of `tls` are there. Raises ConfigError, or what else the start would end with."""
    patch.setattr(OwnSockets, "resolve", lambda self, host, port: socket.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM))
    exporters = {name: _with_files(exporter) for name, exporter in config.exporters.items()}
    service = Service(replace(config, exporters=exporters))
    check_filter(build_filter(filter_plan(config, [("127.0.0.1", 4317)]), DLT_EN10MB))
    return service


@functools.cache
def certificate() -> str:
    """A file with a key and its own certificate."""
    folder = Path(tempfile.mkdtemp(prefix="pcap-receiver-tls-"))
    atexit.register(shutil.rmtree, folder)
    key, file = folder / "key", folder / "pem"
    command = ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=test"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(file)], check=True, capture_output=True)
    file.write_text(file.read_text() + key.read_text())
    return str(file)


def _with_files(exporter: Exporter) -> Exporter:
    if isinstance(exporter, DebugExporter):
        return exporter
    tls = exporter.tls
    there = {key: certificate() for key in ("ca_file", "cert_file", "key_file") if getattr(tls, key)}
    made: Tls = replace(tls, **there)
    return replace(exporter, tls=made)
