"""HTTP/2 and gRPC between real programs whose connection was open and in use before anybody looked.

Needs root, tcpdump, Node (Debian packages tcpdump, nodejs), grpcio, and grpc-lab (./dev upstreams grpc-lab).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.joined_late import EVERY, NEEDS, PAIRS, Phase, watch
from tests.integration.namespaces import Namespace
from tests.integration.servers import need

CALLS = 400
STEADY, VARIED = Phase(CALLS, False), Phase(CALLS, True)


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    need("tcpdump")
    made = Namespace(f"pr-late-{os.getpid()}")
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if "node" not in pair])
def test_no_error_of_a_warm_channel_is_ok_and_it_heals_where_it_can(namespace: Namespace, tmp_path: Path, pair: str) -> None:
    need(*(name for peer in PAIRS[pair] for name in NEEDS[peer]))
    account = watch(namespace, tmp_path, pair, Phase(5 * EVERY, False), STEADY, VARIED)
    assert account.false() == []
    assert {one.protocol for one in account.told[1:]} == {"grpc"}  # the first may be found out only when it has ended
    steady = account.outcomes(0, CALLS)
    assert steady["unknown"] > 0 and not steady.keys() - {"ok", "error", "unknown"}
    client, server = PAIRS[pair]
    # grpc-go puts each of the varied calls' fields into its table, until nothing is left that was there before; grpc-core puts no
    # metadata there.
    assert {one["operation"] for one in account.told[-CALLS // 8 :]} == {"lab.Lab/Echo" if client == "grpc-go" else None}
    if server == "grpcio":
        assert account.outcomes() == {"unknown": 2 * CALLS}
        return
    assert account.healed() < CALLS + 3 * CALLS // 4
    healed = account.outcomes(account.healed())
    failed = sum(outcome == "error" for outcome, _ in account.truth[account.healed() :])
    assert (healed["error"], healed["ok"]) == (failed, 2 * CALLS - account.healed() - failed)


def test_statuses_of_http_that_are_in_the_static_table_are_known_at_once(namespace: Namespace, tmp_path: Path) -> None:
    need("node")
    account = watch(namespace, tmp_path, "node to node", Phase(5 * EVERY, False), STEADY, VARIED)
    assert account.false() == []
    assert account.outcomes().total() == 2 * CALLS == sum(sum(one.values()) for one in account.counted)
    told = [one["status"] for one in account.told]
    for status in (200, 500):
        assert told.count(status) == sum(one.get(str(status), 0) for one in account.counted)
    busy = [one.outcome for one, (_, status) in zip(account.told, account.truth, strict=True) if status == 503]
    assert busy[0] == "unknown" and busy[-1] == "error"  # in an entry that nobody saw; then written again
