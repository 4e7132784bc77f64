"""SIGHUP under load: a good file replaces what it changes, a bad one changes nothing, and no request goes missing over it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from tests.integration.namespaces import BACKEND
from tests.integration.servers import Collector, Receiver, Site, wait_for

CONNECTIONS = 4
DURATION = "http.server.request.duration"

# What is wrong: the file, and what of it the line must name. The last one takes the file away.
PCAP = "receivers:\n  pcap: {"
BAD: dict[str, tuple[str | None, str]] = {
    "not YAML": ("receivers: {pcap: [", "config.yaml"),
    "an unknown key": (Receiver.CONFIG.replace(PCAP, f"{PCAP}sampling: {{defualt: 0.5}}, "), "receivers.pcap.sampling.defualt"),
    "a value out of range": (Receiver.CONFIG.replace(PCAP, f"{PCAP}sampling: {{default: 7}}, "), "receivers.pcap.sampling.default"),
    "an exporter that is not there": (Receiver.CONFIG.replace("[otlp_grpc]", "[otlp_grpc, debug]"), "service.pipelines.traces"),
    "no file": (None, "config.yaml"),
}


@contextmanager
def load(site: Site, receiver: Receiver) -> Iterator[Future[int]]:
    """Requests over connections that stay open all the while; the count of them is there when all are answered."""
    with ThreadPoolExecutor(1) as pool:
        count = pool.submit(site.wrk, 3, CONNECTIONS, 5)
        wait_for(lambda: receiver.roundtrips() > 200, "the first requests")
        yield count


def requests_in(collector: Collector) -> int:
    newest = {tuple(sorted(point["attributes"].items())): int(point["count"]) for point in collector.points(DURATION)}
    return sum(newest.values())


def test_a_good_file_changes_sampling_and_exporter_and_loses_nothing(site: Site) -> None:
    nginx = site.nginx()
    first = site.collector()
    second = site.collector(namespace=site.client)
    receiver = site.receiver("service.pipelines.metrics.exporters=[otlp_grpc]")
    changed = Receiver.CONFIG.replace(f"{BACKEND}:4317", f"{site.client_address}:4317")
    changed = changed.replace(PCAP, f"{PCAP}sampling: {{default: 0.5}}, ")

    with load(site, receiver) as count:
        said = receiver.reload(changed, "configuration reloaded")
        before = receiver.roundtrips()
        wait_for(lambda: receiver.roundtrips() > before + 200, "more requests")
    sent = count.result()

    assert "not reloaded" not in said
    assert nginx.requests() == sent
    wait_for(lambda: receiver.own("spans_total", state="batched") == 0, "the last batch")
    # The connections were opened before and went on; what is exported to another place now is not taken for traffic.
    assert receiver.roundtrips() == receiver.own("roundtrips_total", protocol="http", outcome="ok") == sent
    not_sampled = receiver.own("spans_total", state="not_sampled")
    assert 0 < not_sampled < sent
    wait_for(lambda: len(first.spans()) + len(second.spans()) == sent - not_sampled, "every span in one of the two")
    assert min(len(first.spans()), len(second.spans())) > 0
    wait_for(lambda: requests_in(second) == sent, "all requests in the metrics")
    assert {point["attributes"].get("server.port") for point in second.points("pcap_receiver.network.packets")} == {8080}
    assert len({point["startTimeUnixNano"] for point in first.points(DURATION) + second.points(DURATION)}) == 1


def test_bad_files_change_nothing_and_say_so_in_a_line_each(site: Site) -> None:
    nginx = site.nginx()
    collector = site.collector()
    receiver = site.receiver("service.pipelines.metrics.exporters=[otlp_grpc]")

    with load(site, receiver) as count:
        for fault, (config, what) in BAD.items():
            (line,) = receiver.reload(config, "not reloaded").splitlines()
            assert what in line, fault
    sent = count.result()

    assert nginx.requests() == sent
    wait_for(lambda: len(collector.spans()) == sent, "a span of each request, by the exporter that stands")
    assert receiver.roundtrips() == sent
    assert receiver.own("spans_total", state="exported") == sent
