"""The gateway of collector-config/ as a real Collector, behind a receiver that sees HTTP, Redis and gRPC, and the series of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from tests.integration.servers import ROOT, Program, Site, need, program, wait_for

CACHE, STOCK = "10.201.1.3", "10.201.1.4"  # both in the client's namespace
STORE = "http://127.0.0.1:8428/api/v1/write"
CALL = """
import sys, grpc
with grpc.insecure_channel(sys.argv[1], options=[("grpc.default_authority", "stock.shop")]) as channel:
    call = channel.unary_unary("/shop.Stock/Reserve")
    for _ in range(int(sys.argv[2])):
        assert call(b"x", timeout=10) == b"x"
"""


def alone(path: Path) -> dict[str, Any]:
    """The gateway's configuration without a cluster around it, and with a second for what takes ten."""
    config: dict[str, Any] = yaml.safe_load(path.read_text())
    del config["processors"]["k8s_attributes"]
    for pipeline in config["service"]["pipelines"].values():
        pipeline["processors"] = [name for name in pipeline.get("processors", ()) if name != "k8s_attributes"]
    config["exporters"]["load_balancing"]["resolver"] = {"static": {"hostnames": ["127.0.0.1:4319"]}}
    config["processors"]["tail_sampling"]["decision_wait"] = "1s"
    for connector in config["connectors"].values():
        connector["metrics_flush_interval"] = "1s"
    config["connectors"]["service_graph"]["store"]["ttl"] = "1s"
    return config


def test_the_graph_names_the_peers_and_each_service_has_one_target_info(site: Site) -> None:
    need("redis-server", "redis-cli", "otelcol", "victoria-metrics", "curl")
    site.nginx()
    site.client.run("ip", "address", "add", f"{STOCK}/24", "dev", "eth0")
    store = site.victoria_metrics()
    folder = site.folder / "gateway"
    folder.mkdir()
    (folder / "gateway.yaml").write_text(yaml.safe_dump(alone(ROOT / "collector-config" / "gateway.yaml")))
    environment = {"METRICS_ENDPOINT": STORE, "TRACES_ENDPOINT": "127.0.0.1:1", "HOSTNAME": "gateway-1", "GOMAXPROCS": "2"}
    gateway = Program([program("otelcol"), "--config", str(folder / "gateway.yaml")], site.backend, folder, environment)
    site._start(gateway, "http://127.0.0.1:13133/")
    redis = ["redis-server", "--port", "6379", "--bind", CACHE, "--protected-mode", "no", "--save", "", "--appendonly", "no"]
    site.background(redis, site.client, "eady to accept connections")
    echo = f"print('ready', flush=True); exec(open({str(ROOT / 'tests' / 'bench' / 'grpc_server.py')!r}).read())"
    site.background([sys.executable, "-c", echo, STOCK, "50051"], site.client, "ready")
    receiver = site.receiver(
        "service.pipelines.metrics.exporters=[otlp_grpc]", f"receivers.pcap.names={{{CACHE}: cache.shop}}"
    )
    for _ in range(3):
        site.curl("/")
        site.application.run("redis-cli", "-h", CACHE, "get", "a")
        site.application.run("redis-cli", "-h", CACHE, "-n", "3", "get", "a")
    site.application.run(sys.executable, "-c", CALL, f"{STOCK}:50051", "3")
    receiver.settle()

    def edges() -> dict[tuple[str, str], float]:
        found = store.query("sum by (client, server) (traces_service_graph_request_total)")
        return {(dict(labels).get("client", ""), dict(labels).get("server", "")): value for labels, value in found.items()}

    wait_for(lambda: sum(edges().values()) >= 12, "all edges", 60)
    assert edges() == {("user", "shop"): 3, ("shop", "cache.shop"): edges()["shop", "cache.shop"], ("shop", "stock.shop"): 3}
    assert edges()["shop", "cache.shop"] >= 6  # redis-cli has some of its own to ask
    wait_for(lambda: store.query('http_server_request_duration_seconds_count{job="shop"}'), "the receiver's own metrics")
    wait_for(lambda: store.query("traces_span_metrics_calls_total"), "metrics of spans")
    assert len(store.query("target_info")) == 1
