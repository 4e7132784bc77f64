"""What stands between the receiver and its backends: proxies, names that move, ways that go silent, TLS that is not there.

The receiver sees everything that leaves its namespace, its own exports too. Each test compares the spans that real backends got
with the requests that were made: one of our own would be one too many.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.namespaces import APPLICATION, BACKEND
from tests.integration.servers import (
    Collector,
    Program,
    Receiver,
    Site,
    Span,
    VictoriaMetrics,
    http_get,
    need,
    program,
    wait_for,
)

SERVER, CLIENT = 2, 3  # Span.SpanKind
PROXY_PORT = 3128
STORED = "sum(http_server_request_duration_seconds_count)"

TINYPROXY = """
Port {port}
Listen {address}
Timeout 600
LogFile "{folder}/proxy.log"
LogLevel Connect
MaxClients 100
DisableViaHeader Yes
"""


def tinyproxy(site: Site, more: str = "") -> Path:
    """A proxy in the backend's namespace; its log."""
    folder = site.folder / "tinyproxy"
    folder.mkdir()
    (folder / "conf").write_text(TINYPROXY.format(port=PROXY_PORT, address=BACKEND, folder=folder) + more)
    proxy = Program([program("tinyproxy"), "-d", "-c", str(folder / "conf")], site.backend, folder)
    site.programs.append(proxy)
    proxy.start()
    wait_for(lambda: http_get(site.backend, f"http://{BACKEND}:{PROXY_PORT}/")[0], "tinyproxy")
    return folder / "proxy.log"


def request(site: Site, count: int) -> None:
    for _ in range(count):
        assert site.curl("/") == "hello\n"


def kinds(spans: list[Span]) -> Counter[tuple[int, int]]:
    """Spans by kind and the port that was called."""
    return Counter((span["kind"], span["attributes"].get("server.port")) for span in spans)


def all_spans(receiver: Receiver, *collectors: Collector) -> list[Span]:
    """What all of them got, once everything is sent; as many as there were roundtrips, by the receiver's own account."""
    receiver.settle()
    assert receiver.spans_lost() == 0

    def spans() -> list[Span]:
        return [span for collector in collectors for span in collector.spans()]

    wait_for(lambda: len(spans()) >= receiver.spans_sent(), "the Collectors' files")
    found = spans()
    assert len(found) == receiver.spans_sent() == receiver.roundtrips()
    return found


def stored(store: VictoriaMetrics, count: int) -> None:
    """Wait until the store has so many requests, and has no series of any of ours."""
    wait_for(lambda: store.value(STORED) == count, f"{count} requests in the store", timeout_s=60)
    assert store.query("count(http_client_request_duration_seconds_count)") == {}
    assert store.query("count(rpc_client_call_duration_seconds_count)") == {}
    assert store.query("count(dns_lookup_duration_seconds_count)") == {}


def test_exports_through_a_proxy_arrive_and_are_none_of_the_application(site: Site) -> None:
    need("tinyproxy", "curl")
    site.nginx()
    collector, store = site.collector(), site.victoria_metrics()
    log = tinyproxy(site)
    receiver = site.receiver(
        env={"HTTPS_PROXY": f"http://{BACKEND}:{PROXY_PORT}", "HTTP_PROXY": f"{BACKEND}:{PROXY_PORT}", "NO_PROXY": "192.0.2.0/24"}
    )
    request(site, 20)
    # The application may go through the same proxy: that is its call, and seen.
    seen = site.application.run(program("curl"), "-sS", "-x", f"http://{BACKEND}:{PROXY_PORT}", f"http://{BACKEND}:13133/")
    assert "available" in seen.stdout.lower()
    request(site, 20)
    spans = all_spans(receiver, collector)
    assert kinds(spans) == {(SERVER, 8080): 40, (CLIENT, 13133): 1}  # the port is that of the URL
    wait_for(lambda: store.value(STORED) == 40, "40 in the store")
    text = log.read_text()
    assert text.count(f"CONNECT {BACKEND}:4317 HTTP/1.1") == 1  # one connection for all
    assert f"POST http://{BACKEND}:8428/api/v1/write HTTP/1.1" in text


def test_proxy_that_refuses_is_said_and_its_refusals_are_none_of_the_application(site: Site) -> None:
    need("tinyproxy", "curl")
    site.nginx()
    collector = site.collector()
    tinyproxy(site, "ConnectPort 443\n")
    receiver = site.receiver(
        f"exporters.otlp_grpc.proxy_url=http://{BACKEND}:{PROXY_PORT}",
        "exporters.prometheus_remote_write.endpoint=http://10.201.9.3:1/api/v1/write",
        f"exporters.prometheus_remote_write.proxy_url=http://{BACKEND}:{PROXY_PORT}",
        "service.shutdown_timeout=1s",
    )
    request(site, 5)
    wait_for(lambda: "403" in receiver.output() and "500" in receiver.output(), "what the proxy answers")
    time.sleep(5)  # many refusals later
    assert receiver.roundtrips() == 5
    assert f"the proxy {BACKEND}:{PROXY_PORT} answers CONNECT {BACKEND}:4317 with 403" in receiver.output()
    assert collector.spans() == []


def test_default_endpoints_do_without_a_dead_proxy(site: Site) -> None:
    need("curl")
    site.nginx()
    collector, store = site.collector(namespace=site.application), site.victoria_metrics(site.application)
    dead = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"), "http://192.0.2.1:3128")
    receiver = site.receiver(
        "exporters.otlp_grpc.endpoint=localhost:4317",
        "exporters.prometheus_remote_write.endpoint=http://localhost:8428/api/v1/write",
        "receivers.pcap.interfaces=[eth0]",
        env=dead,
    )
    request(site, 10)
    assert kinds(all_spans(receiver, collector)) == {(SERVER, 8080): 10}
    stored(store, 10)


@contextmanager
def files_of_the_namespace(site: Site, **files: str) -> Iterator[dict[str, Path]]:
    """`ip netns exec` mounts these over those in /etc: a change in place is seen by what runs already."""
    folder = Path("/etc/netns") / site.application.name
    folder.mkdir(parents=True)
    try:
        paths = {name.replace("_", "."): folder / name.replace("_", ".") for name in files}
        for name, text in files.items():
            (folder / name.replace("_", ".")).write_text(text)
        yield paths
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def move(site: Site, receiver: Receiver, first: Collector, first_store: VictoriaMetrics) -> tuple[Collector, VictoriaMetrics]:
    """Both backends end, and are elsewhere from now on."""
    receiver.settle()
    first.stop()
    first_store.stop()
    return site.collector(namespace=site.client), site.victoria_metrics(site.client)


BY_NAME = (
    "exporters.otlp_grpc.endpoint=collector.lab:4317",
    "exporters.prometheus_remote_write.endpoint=http://store.lab:8428/api/v1/write",
)


def test_name_in_the_hosts_file_that_moves(site: Site) -> None:
    need("curl")
    site.nginx()
    names = "127.0.0.1 localhost\n{0} collector.lab\n{0} store.lab\n"
    with files_of_the_namespace(site, hosts=names.format(BACKEND)) as files:
        collector, store = site.collector(), site.victoria_metrics()
        receiver = site.receiver(*BY_NAME)
        request(site, 15)
        stored(store, 15)
        second, second_store = move(site, receiver, collector, store)
        request(site, 5)  # before anybody knows where it went
        files["hosts"].write_text(names.format(site.client_address))
        request(site, 20)
        assert kinds(all_spans(receiver, collector, second)) == {(SERVER, 8080): 40}
        assert len(second.spans()) >= 20
        stored(second_store, 40)


def test_name_in_dns_that_moves(site: Site) -> None:
    """And the questions for it are not the application's; what that asks is."""
    need("curl", "dnsmasq")
    site.nginx()
    folder = site.folder / "dns"
    folder.mkdir()
    hosts = folder / "hosts"
    names = "{0} collector.lab\n{0} store.lab\n10.1.1.1 other.lab\n"
    hosts.write_text(names.format(BACKEND))
    options = (
        "-k", "-C", "/dev/null", "--no-resolv", "--no-hosts", "--local=/lab/", f"--addn-hosts={hosts}", "-q", "--log-facility=-",
        f"--listen-address={BACKEND}", "--bind-interfaces", "--local-ttl=0", "-u", "root", "--pid-file=",
    )  # fmt: skip
    dns = site.background([program("dnsmasq"), *options], site.backend, "started")
    with files_of_the_namespace(site, resolv_conf=f"nameserver {BACKEND}\nsearch lab\n", hosts="127.0.0.1 localhost\n"):
        collector, store = site.collector(), site.victoria_metrics()
        receiver = site.receiver(*BY_NAME)
        request(site, 15)
        stored(store, 15)
        second, second_store = move(site, receiver, collector, store)
        asked = dns.output().count("collector.lab")
        assert asked > 0
        hosts.write_text(names.format(site.client_address))
        dns.process.send_signal(1)  # SIGHUP: read again
        request(site, 25)
        site.application.run("getent", "ahosts", "other.lab")
        found = kinds(all_spans(receiver, collector, second))
        assert dns.output().count("collector.lab") > asked
        assert found.pop((CLIENT, 53)) == dns.output().count("query[A] other") + dns.output().count("query[AAAA] other") > 0
        assert found == {(SERVER, 8080): 40}
        wait_for(lambda: second_store.value(STORED) == 40, "40 in the store")


def test_connections_whose_packets_vanish_are_made_anew_and_nothing_is_lost(site: Site) -> None:
    need("curl", "nft", "ss")
    site.nginx()
    collector, store = site.collector(), site.victoria_metrics()
    receiver = site.receiver()
    request(site, 10)
    stored(store, 10)
    receiver.settle()
    which = f"( dport = :4317 or dport = :8428 ) and dst {BACKEND}"
    found = site.application.run(program("ss"), "-Htn", "state", "established", which)
    ports = [line.split()[2].rpartition(":")[2] for line in found.stdout.splitlines()]
    assert len(ports) == 2
    rules = ["add table inet lab"]
    for hook, side in (("output", "sport"), ("input", "dport")):
        rules.append(f"add chain inet lab {hook} {{ type filter hook {hook} priority 0; }}")
        rules.append(f"add rule inet lab {hook} tcp {side} {{ {', '.join(ports)} }} drop")
    site.application.run("nft", "; ".join(rules))
    began_s = time.monotonic()
    request(site, 30)
    stored(store, 40)
    spans = all_spans(receiver, collector)
    assert time.monotonic() - began_s < 60  # two time-outs of 5 s, and waits between
    assert kinds(spans) == {(SERVER, 8080): 40}
    assert len({span["spanId"] for span in spans}) == 40


@pytest.mark.parametrize("encoding", ["console", "json"])
def test_tls_to_a_collector_without_is_a_line_that_says_what_to_set(site: Site, encoding: str) -> None:
    need("curl")
    site.nginx()
    site.collector()
    site.victoria_metrics()
    receiver = site.receiver(
        "exporters.otlp_grpc.tls.insecure=false", f"service.telemetry.logs.encoding={encoding}", "service.shutdown_timeout=1s"
    )
    request(site, 3)
    wait_for(lambda: receiver.own("exporter_queue_items", exporter="otlp_grpc") > 0, "something to send")
    time.sleep(15)
    lines = receiver.output().splitlines()
    said = [line for line in lines if f"{BACKEND}:4317 does not speak TLS: set tls.insecure: true" in line]
    assert 1 <= len(said) <= 2, lines  # spans and metrics have a queue each
    if encoding == "json":
        assert all(json.loads(line)["level"] for line in lines)
    else:
        assert all("\t" in line for line in lines), lines
    assert receiver.roundtrips() == 3


def test_kubelet_like_probes_of_our_page_on_every_address_are_none_of_the_application(site: Site) -> None:
    need("curl")
    site.nginx()
    collector = site.collector()
    site.victoria_metrics()
    receiver = site.receiver("receivers.pcap.exclude.ports=[]", "extensions.health_check.endpoint=0.0.0.0:13143")
    for _ in range(3):
        answer = site.client.run(program("curl"), "-sS", "-o", "/dev/null", "-w", "%{http_code}", f"http://{APPLICATION}:13143/")
        assert answer.stdout == "200"
    request(site, 7)
    assert kinds(all_spans(receiver, collector)) == {(SERVER, 8080): 7}
