"""Fixtures of the integration suite: a site with its namespaces, empty of programs, for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.servers import Site, need, program


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Application, client and backend namespaces; the test starts the programs that it needs."""
    yield from _site(tmp_path, routed=False)


@pytest.fixture
def routed_site(tmp_path: Path) -> Iterator[Site]:
    """The same with a router between client and application that can lose packets."""
    program("nft")
    program("ethtool")
    yield from _site(tmp_path, routed=True)


def _site(folder: Path, routed: bool) -> Iterator[Site]:
    need()
    site = Site(folder, routed)
    try:
        yield site
    finally:
        site.close()
