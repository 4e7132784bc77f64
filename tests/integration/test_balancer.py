"""HAProxy before nginx, speaking the PROXY protocol to it: who called is the one that the client, HAProxy and nginx say it was.

Needs root, HAProxy, nginx, curl and the Collector. The client calls from an address of its own, so that what is announced and who
connects are not the same.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integration.namespaces import APPLICATION, Namespace
from tests.integration.servers import Nginx, Program, Receiver, Site, Span, program, wait_for

CALLER = "10.201.7.7"
CALLS = 8

HAPROXY = """
global
  maxconn 1000
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
{parts}
"""
PART = """
listen {name}
  bind {address}:{port}
  server one {application}:{target} {option}
"""
# What HAProxy sends to which of nginx's ports; by the port that the client calls.
WAYS = {
    8001: ("v1", 8081, "send-proxy"),
    8002: ("v2", 8081, "send-proxy-v2 proxy-v2-options unique-id,crc32c"),
    8003: ("v1-h2", 8082, "send-proxy"),
    8004: ("v2-h2", 8082, "send-proxy-v2"),
    8005: ("check", 8081, "send-proxy-v2 check check-send-proxy inter 200ms"),
}


class Backend(Nginx):
    """nginx that wants a header before each connection, HTTP/1 on 8081 and HTTP/2 on 8082, and logs what it said."""

    CONFIG = Nginx.CONFIG.replace(
        "log_format count '$request_method $uri $status';",
        "log_format count '$uri $status $proxy_protocol_addr $proxy_protocol_port $remote_addr';",
    ).replace("listen 8080;", "listen 8080; listen 8081 proxy_protocol; listen 8082 http2 proxy_protocol;")


def balancer(site: Site) -> Program:
    """HAProxy beside the client; a folder with its configuration."""
    folder = site.folder / "haproxy"
    folder.mkdir()
    parts = "".join(
        PART.format(name=name, address=site.client_address, port=port, application=APPLICATION, target=target, option=option)
        for port, (name, target, option) in WAYS.items()
    )
    config = folder / "haproxy.cfg"
    config.write_text(HAPROXY.format(parts=parts))
    one = Program([program("haproxy"), "-db", "-f", str(config)], site.client, folder)
    site.programs.append(one)
    one.start()
    return one


def backend(site: Site) -> Nginx:
    folder = site.folder / "nginx"
    folder.mkdir()
    nginx = Backend(site.application, folder)
    site.programs.append(nginx)
    nginx.start()
    nginx.wait_ready("http://127.0.0.1:8080/ready")
    return nginx


def call(client: Namespace, address: str, port: int) -> list[tuple[str, str, int]]:
    """Path, status and the caller's port of some requests, by curl's account: on two connections, of HTTP/2 on one each (curl 7.88
    fails in the second of a connection)."""
    http2 = WAYS[port][1] == 8082
    options = ["--http2-prior-knowledge"] if http2 else []
    told: list[tuple[str, str, int]] = []
    connections = CALLS if http2 else 2
    for connection in range(connections):
        urls = [f"http://{address}:{port}/{WAYS[port][0]}/{connection}-{i}" for i in range(CALLS // connections)]
        outputs = [word for url in urls for word in ("-o", "/dev/null", url)]
        said = client.run(
            program("curl"), "-sS", "--max-time", "30", "--interface", CALLER, *options,
            "-w", "%{url_effective} %{http_code} %{local_port}\n", *outputs,
        ).stdout
        for line in said.splitlines():
            url, status, local = line.split()
            told.append((re.sub(r"^http://[^/]*", "", url), status, int(local)))
    return told


def spans_of(receiver: Receiver, collector_spans: list[Span]) -> list[tuple[str, str, str, int]]:
    return [
        (
            span["attributes"]["url.path"],
            str(span["attributes"]["http.response.status_code"]),
            span["attributes"]["client.address"],
            span["attributes"].get("client.port", 0),
        )
        for span in collector_spans
    ]


@pytest.mark.parametrize("trusted", [True, False])
def test_caller_behind_haproxy_is_whom_the_client_says(site: Site, trusted: bool, tmp_path: Path) -> None:
    program("haproxy")
    site.client.run("ip", "address", "add", f"{CALLER}/32", "dev", "lo")
    nginx = backend(site)
    balancer(site)
    collector = site.collector()
    settings = [f"receivers.pcap.trusted_proxies=[{site.client_address}]"] if trusted else []
    receiver = site.receiver(*settings)

    told = [row for port in WAYS for row in call(site.client, site.client_address, port)]

    assert len(told) == CALLS * len(WAYS)
    spans = wait_for(lambda: collector.spans() if len(collector.spans()) >= len(told) else [], f"{len(told)} spans")
    receiver.settle()
    assert nginx.requests() == len(told)
    logged = [line.split() for line in (nginx.folder / "access.log").read_text().splitlines()]
    # The server's account is the client's: the header was HAProxy's own.
    assert sorted((path, status, int(port)) for path, status, _, port, _ in logged) == sorted(told)
    assert {(address, peer) for *_, address, _, peer in logged} == {(CALLER, site.client_address)}
    ours = spans_of(receiver, collector.spans())
    if trusted:
        assert sorted(ours) == sorted((path, status, CALLER, port) for path, status, port in told)
    else:
        assert sorted(ours) == sorted((path, status, site.client_address, 0) for path, status, _ in told)
    assert {span["attributes"]["network.peer.address"] for span in spans} == {site.client_address}
    # Each connection began with a header: v1, v2, and the LOCAL ones of HAProxy's checks.
    assert receiver.own("flows_preambles_total", kind="proxy_v1") == 2 + CALLS
    assert receiver.own("flows_preambles_total", kind="proxy_v2") > 4 + CALLS
    assert receiver.own("decode_errors_total") == 0
    assert receiver.own("messages_total", direction="response", state="unmatched") == 0
