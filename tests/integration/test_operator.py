"""What an operator meets: the log from start to end, a configuration that is changed meanwhile, ports that take a privilege."""

from __future__ import annotations

import re
import sys

from tests.integration.namespaces import BACKEND
from tests.integration.servers import RECEIVER_ENV, Receiver, Site, http_get, program, wait_for


def test_the_log_tells_where_it_captures_and_sends_and_at_the_end_what_became_of_it(site: Site) -> None:
    site.nginx()
    collector = site.collector()
    receiver = site.receiver("service.pipelines.metrics.exporters=[otlp_grpc]")
    sent = site.wrk(1, 2, 50)
    wait_for(lambda: receiver.spans_sent() == sent, "all spans")
    assert receiver.stop() == 0
    lines = [line.split("\t", 3) for line in receiver.output().splitlines()]
    first = next(line[3] for line in lines if line[2] == "receiver.service" and line[1] == "info")
    assert first == f"capturing on any; traces to otlp_grpc ({BACKEND}:4317); metrics to otlp_grpc ({BACKEND}:4317)"
    figures = rf"stopped: read \d+ packets, 0 dropped by the capture, {sent} roundtrips; "
    assert re.fullmatch(figures + rf"otlp_grpc: {sent} spans sent; otlp_grpc: \d+ metric points sent", lines[-1][3])
    assert len(collector.spans()) == sent


def test_the_last_line_tells_what_was_not_sent(site: Site) -> None:
    site.nginx()
    receiver = site.receiver("service.pipelines={traces: {exporters: [otlp_grpc]}}", "service.shutdown_timeout=1s")
    sent = site.wrk(1, 2, 50)
    wait_for(lambda: receiver.roundtrips() == sent, "all roundtrips")
    assert receiver.stop() == 0
    # What it gave up of its own metrics follows, where an interval has passed.
    assert f" {sent} roundtrips; otlp_grpc: 0 spans sent, {sent} dropped" in receiver.output().splitlines()[-1]


def test_a_changed_file_says_key_by_key_what_it_does_not_change(site: Site) -> None:
    receiver = site.receiver("service.pipelines.traces.exporters=[otlp_grpc]")
    pcap = "receivers:\n  pcap: {"
    changed = Receiver.CONFIG.replace(pcap, f'{pcap}snaplen: 256, http: {{routes: ["/a/{{b}}"]}}, ')
    changed = changed.replace("localhost:13143", "localhost:13144") + "  telemetry: {logs: {encoding: json}}\n"
    said = receiver.reload(changed, "configuration reloaded").splitlines()
    needs = "was not taken: it needs a restart"
    assert f"receivers.pcap.snaplen: 65535 -> 256 {needs}" in said[0]
    assert f"extensions.health_check.endpoint: localhost:13143 -> localhost:13144 {needs}" in said[1]
    taken = "configuration reloaded: receivers.pcap.http.routes, service.telemetry.logs.encoding"
    assert f'"msg": "{taken}"' in said[2]
    assert http_get(site.application, Receiver.HEALTH)[0] == 200


def test_privileged_ports_are_listened_on_before_privileges_are_given_up(site: Site) -> None:
    settings = ("extensions.health_check.endpoint=localhost:80", "service.telemetry.metrics.endpoint=localhost:81")
    (site.folder / "receiver").mkdir()
    receiver = Receiver(site.application, site.folder / "receiver", *settings)
    site._start(receiver, "http://localhost:80/")
    assert http_get(site.application, "http://localhost:81/metrics")[0] == 200
    status = (f"/proc/{receiver.process.pid}/status",)
    assert "CapEff:\t0000000000000000" in site.application.run("cat", *status).stdout


def test_a_privileged_port_without_the_privilege_is_one_line_that_says_so(site: Site) -> None:
    environment = [f"{key}={value}" for key, value in RECEIVER_ENV.items()]
    limited = [program("setpriv"), "--bounding-set=-all,+net_raw", "--inh-caps=-all"]
    settings = ["--set", "exporters={debug: {}}", "--set", "extensions.health_check.endpoint=localhost:80"]
    command = ["env", *environment, *limited, sys.executable, "-m", "receiver", *settings]
    done = site.application.run(*command, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "extensions.health_check.endpoint: cannot listen on localhost:80: not permitted, a port below"
        " net.ipv4.ip_unprivileged_port_start (1024 as a rule) takes CAP_NET_BIND_SERVICE"
    )
