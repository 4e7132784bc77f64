"""What every test relies on: that it tests what it says it tests."""

from __future__ import annotations

import importlib.util
import os
from importlib.machinery import ExtensionFileLoader
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# A machine with other work may take any time for one example: no timing fails a test.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Stop when PCAP_RECEIVER_MODULES (`compiled`, `plain`) promises other modules than would be imported."""
    wanted = os.environ.get("PCAP_RECEIVER_MODULES")
    if wanted not in {None, "compiled", "plain"}:
        raise pytest.UsageError(f"PCAP_RECEIVER_MODULES: got {wanted!r}, takes compiled or plain")
    for pxd in sorted(ROOT.glob("receiver/**/*.pxd")) if wanted else ():
        name = ".".join(pxd.relative_to(ROOT).with_suffix("").parts)
        spec = importlib.util.find_spec(name)
        assert spec is not None, name
        assert spec.origin is not None, name
        if not Path(spec.origin).is_relative_to(ROOT):
            raise pytest.UsageError(f"{name} would come from {spec.origin}, not from {ROOT}")
        if isinstance(spec.loader, ExtensionFileLoader) != (wanted == "compiled"):
            raise pytest.UsageError(f"{name} is not {wanted}: {spec.origin}")
