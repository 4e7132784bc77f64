"""MongoDB's Node driver between real programs in a namespace: what it publishes of its commands is what is read off the wire.

Needs root, FerretDB (./dev upstreams ferretdb-lab), tcpdump, Node 20 and npm, which brings the driver once.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.captured import run_captured
from tests.integration.namespaces import Namespace
from tests.integration.servers import UPSTREAMS, need, program

HERE = Path(__file__).resolve().parent
VECTORS = HERE.parent / "vectors"
HOME = UPSTREAMS / "node-clients"
DRIVER = "mongodb@7.9.1"

WORKLOAD = r"""
import subprocess, sys
sys.path.insert(0, sys.argv[1])
from mongodb_account import SECRET, ferretdb
with ferretdb() as port:
    subprocess.run(["node", sys.argv[2], str(port), SECRET], check=True)
"""


def modules() -> Path:
    """Where the driver is; npm brings it once."""
    found = HOME / "node_modules"
    if not (found / "mongodb").is_dir():
        if shutil.which("npm") is None:
            pytest.skip("NOT RUN: npm is missing, which brings MongoDB's Node driver (Debian package npm)")
        HOME.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--silent", DRIVER]
        subprocess.run(command, cwd=HOME, check=True, capture_output=True, timeout=200)
    return found


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    need("ferretdb-lab", "tcpdump", "node")
    made = Namespace(f"pr-node-{os.getpid()}")
    try:
        yield made
    finally:
        made.close()


def test_the_drivers_record_is_what_is_read(namespace: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(program('ferretdb-lab')).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("NODE_PATH", os.fspath(modules()))
    command = [sys.executable, "-c", WORKLOAD, os.fspath(VECTORS), os.fspath(HERE / "mongodb_client.js")]
    printed, collector = run_captured(namespace, tmp_path, command)
    account: list[dict[str, Any]] = json.loads(printed)
    assert len(account) > 600
    assert "hunter2" not in repr(collector.seen)
    (seen,) = (seen for seen in collector.by_port.values() if any(one["operation"] == "insert" for one in seen))
    # Its first word on a connection is not published.
    told = [one for one in seen if one["operation"] not in ("hello", "ismaster")]
    assert [{name: one[name] for name in wanted} for one, wanted in zip(told, account, strict=True)] == account
