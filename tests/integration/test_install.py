"""What `pip install .` makes, in a virtual environment of its own."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import yaml

from tests.integration.namespaces import run
from tests.integration.servers import ROOT

PACKED = ("pyproject.toml", "setup.py", "README.md", "LICENSE")


def install(folder: Path, *variables: str) -> Path:
    """The `bin` folder of a fresh environment with the package in it."""
    source, environment = folder / "source", folder / "venv"
    source.mkdir()
    shutil.copytree(ROOT / "receiver", source / "receiver", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in PACKED:
        shutil.copy(ROOT / name, source)
    run(sys.executable, "-m", "venv", str(environment))
    pip = str(environment / "bin" / "pip")
    done = run("env", *variables, pip, "install", "-q", "--prefer-binary", str(source), check=False, timeout_s=400)
    if "Failed to establish a new connection" in done.stderr or "NameResolutionError" in done.stderr:
        pytest.skip("NOT RUN: the package index is not reachable")
    assert done.returncode == 0, done.stderr
    return environment / "bin"


def test_an_installation_that_is_not_compiled_runs_by_itself(tmp_path: Path) -> None:
    programs = install(tmp_path, "PCAP_RECEIVER_PLAIN=1")
    (installed,) = (programs.parent / "lib").glob("python*/site-packages/receiver")
    assert not list(installed.rglob("*.so"))
    assert "cython" not in run(str(programs / "pip"), "list").stdout.lower()
    run(str(programs / "pip"), "check")
    components = yaml.safe_load(run(str(programs / "pcap-receiver"), "components").stdout)
    assert components["buildinfo"]["compiled"] is False
    assert {row["name"] for row in components["protocols"]} >= {"http", "grpc", "dns", "redis"}
    demo = run(str(programs / "pcap-receiver"), "demo")
    assert "GET /orders" in demo.stdout
