"""Small captures of what link layers, IP and UDP do on real networks (`tests/cases`), each read as a file by the whole way from the
filter to the roundtrip. What is right was held against the specifications and tshark."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from receiver.engine import Engine
from receiver.pcap.bpf import FilterPlan, build_filter
from receiver.pcap.file import FileSource
from tests.l7.harness import Collector
from tests.pcap.packets import engine

CASES = Path(__file__).resolve().parent.parent / "cases"
PLANS = {"layer 4": FilterPlan(), "roundtrips alone": FilterPlan(layer4=False)}


def read(name: str, plan: FilterPlan) -> tuple[Engine, Collector]:
    seen = Collector()
    on = engine(sink=seen, unwrap=plan.unwrap)
    source = FileSource((str(CASES / name),), partial(build_filter, plan), user_filter="")
    source.open()
    source.run(on.process_batch, on.tick, lambda: False)
    on.finish()
    assert on.packets == on.parsed + sum(on.skipped_packets().values())
    return on, seen


def lookups(seen: Collector, ms: float = 10) -> int:
    """How many there are; each has an answer, in so long."""
    for one in seen.seen:
        assert one.protocol == "dns" and one.outcome == "ok" and one.response is not None and one.response.status == "NOERROR"
        assert abs(one.times[3] - one.times[0] - ms * 1e6) <= 20_000  # fragments are 10 us apart
    return len(seen.seen)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("dns_fragments.pcap", 4),
        ("udp_length.pcap", 2),
        ("hidden_by_filter.pcap", 6),
        ("hidden_by_filter_sll.pcap", 5),
        ("nflog.pcap", 1),
    ],
)
def test_each_look_up_is_told(name: str, count: int, plan: str) -> None:
    on, seen = read(name, PLANS[plan])
    assert lookups(seen) == count
    assert (on.reading.pairing.unmatched, on.packets) == (0, on.parsed)


@pytest.mark.parametrize("plan", PLANS)
def test_interface_that_cannot_be_filtered_beside_one_that_can(plan: str) -> None:
    on, seen = read("mixed_usb.pcapng", PLANS[plan])
    assert lookups(seen) == 1
    assert on.skipped_packets()["unknown_link"] == 1


@pytest.mark.parametrize("plan", PLANS)
def test_datagram_seen_on_two_interfaces(plan: str) -> None:
    on, seen = read("two_interfaces.pcapng", PLANS[plan])
    assert lookups(seen, 0.5) == 1
    assert seen.seen[0].sizes[0] == 36
    assert (on.reading.pairing.unmatched, on.reading.pairing.repeated, on.skipped_packets()["duplicate"]) == (0, 0, 2)


def test_vxlan_on_the_port_that_linux_has() -> None:
    for layer4 in (True, False):
        _, seen = read("vxlan_8472.pcap", FilterPlan(layer4=layer4, unwrap=True))
        assert lookups(seen) == 1


def test_options_behind_a_datagram_are_no_payload() -> None:
    _, seen = read("udp_length.pcap", FilterPlan())
    assert sorted(one.sizes for one in seen.seen) == [(38, 54), (39, 55)]
