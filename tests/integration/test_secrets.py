"""Secrets in every place that protocols have for them, spoken to real servers: in no byte that leaves the program.

Searched are what the Collector got, what VictoriaMetrics stores, the debug exporter, the log at its most talkative, the pages and
the screen of `watch`. Needs root, redis-server, nginx, MariaDB, PostgreSQL, their clients, and the upstreams; RabbitMQ and Kafka
where they are.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.integration.namespaces import APPLICATION
from tests.integration.servers import RECEIVER_ENV, Program, Site, http_get, program, receiver_command, wait_for
from tests.integration.test_redis import SERVER
from tests.vectors import amqp_broker, kafka_broker

PLANTED = "planted"
REDIS_EACH = ("AUTH", "HELLO", "ACL", "CONFIG", "MIGRATE", "SET", "GET", "HSET", "EVAL", "EVALSHA", "PUBLISH", "CLIENT", "MSET")

# Runs in the client's namespace. Each secret has a number, so that one that leaks says which it was.
WORKLOAD = r"""
import socket, sys, time
host, number = sys.argv[1], 0
def secret():
    global number
    number += 1
    return "planted-%d" % number
def command(*words):
    words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
def talk(port, *pieces):
    with socket.create_connection((host, port), timeout=5) as s:
        s.settimeout(0.3)
        for piece in pieces:
            try:
                s.sendall(piece)
                time.sleep(0.03)
                s.recv(65536)
            except OSError:
                pass
def redis(*pieces):
    talk(6379, *pieces)
password = secret()
redis(
    command("PING"), command("AUTH", secret()), command("AUTH", secret(), secret()),
    command("HELLO", 3, "AUTH", "default", secret(), "SETNAME", secret()), command("HELLO", 2),
    command("ACL", "SETUSER", secret(), "on", ">" + secret(), "~" + secret()), command("ACL", secret()),
    command("CONFIG", "SET", "requirepass", password), command("AUTH", password),
    command("CONFIG", "SET", "masterauth", secret()), command("CONFIG", "GET", "masterauth"), command("CONFIG", secret(), secret()),
    command("MIGRATE", "127.0.0.1", 6390, secret(), 0, 50, "AUTH", secret()),
    command("MIGRATE", "127.0.0.1", 6390, "", 0, 50, "AUTH2", secret(), secret(), "KEYS", secret()),
    command("SET", secret(), secret()), command("GET", secret()), command("MSET", secret(), secret(), secret(), secret()),
    command("HSET", secret(), secret(), secret()), command("RPUSH", secret(), *[secret() for _ in range(40)]),
    command("EVAL", "return redis.error_reply('%s %s')" % (secret(), secret()), 1, secret(), secret()),
    command("EVALSHA", secret(), 0), command("EVALSHA", (secret() * 5)[:40], 0),
    command("SCRIPT", "LOAD", "return '%s'" % secret()),
    command("PUBLISH", secret(), secret()), command("CLIENT", "SETNAME", secret()), command("CLIENT", "REPLY", secret()),
    command("CLIENT", "LIST"), command("SELECT", secret()), command("ECHO", secret()), command("PING", secret()),
    command("GET"), command("SET", secret()), command("AUTH"), command("LPUSH", secret(), secret()),
    command("OBJECT", secret(), secret()),
    command(secret() + " " + secret(), secret()), command(secret() * 20, secret()), command("REPLCONF", secret(), secret()),
    command("SUBSCRIBE", secret()), command("UNSUBSCRIBE", secret()), command("CONFIG", "SET", "requirepass", ""),
)
line = lambda text: text.encode() + b"\r\n"
redis(command("PING"), line('AUTH "%s' % secret()), line("AUTH '%s" % secret()))
redis(line("PING"), line("AUTH %s" % secret()), line("AUTH x %s" % secret()), line('SET "%s" "%s\\x41"' % (secret(), secret())))
for broken in (
    b"*2\r\n$4\r\nAUTH\r\n$-7\r\n%s\r\n", b"*2\r\n$4\r\nAUTH\r\n$3\r\n%s\r\n", b"*2\r\n$4\r\nAUTH\r\n%s\r\n",
    b"*2\r\n$AUTH\r\n%s\r\n", b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n%s\r\n", b"*9999999999\r\n$4\r\nAUTH\r\n%s\r\n",
    b"*-7\r\nAUTH %s\r\n", b"$8\r\n%s\r\n", b":%s\r\n", b"*2\r\n$4\r\nAUTH\r\n$900\r\n%s", b"\x00\x01%s\r\n",
    b"*1\r\n$300\r\n%s" + b"x" * 287 + b"\r\n",
):
    redis(command("PING"), broken % secret().encode(), command("PING"))
head = "Host: a.test\r\n"
def http(*texts):
    talk(8080, *(text.encode() for text in texts))
basic = "Authorization: Basic %s\r\n" % secret()
http(
    "GET /kept HTTP/1.1\r\n" + head + basic + "Cookie: id=%s; b=%s\r\nX-Api-Key: %s\r\n" % (secret(), secret(), secret())
    + "Proxy-Authorization: %s\r\n\r\n" % secret(),
    "GET http://user:%s@a.test/kept?token=%s HTTP/1.1\r\n" % (secret(), secret()) + head + "\r\n",
    "POST /kept?a=%s&%s HTTP/1.1\r\n" % (secret(), secret()) + head + "Content-Length: 10\r\n\r\n" + (secret() + " " * 10)[:10],
    "GET /kept HTTP/1.1\r\n" + head + "Referer: http://a/?t=%s\r\nAuthorization: Bearer\r\n %s\r\n\r\n" % (secret(), secret()),
)
ok = "GET /kept HTTP/1.1\r\n" + head + "\r\n"
for broken in (
    "GET /kept HTTP/1.1\r\n" + head + "Authorization %s\r\n\r\n" % secret(),
    "GET /kept HTTP/1.1\r\n" + head + "Content-Length: %s\r\n\r\n" % secret(),
    "GET /kept HTTP/1.1\r\n" + head + "Cookie: %s\x00\r\n\r\n" % secret(),
    "GET /kept HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n%s\r\n" % secret(),
    "GET /kept?%s HTTP/9.%s\r\n" % (secret(), secret()) + head + "\r\n",
    "GET /kept?a=%s b=%s HTTP/1.1\r\n" % (secret(), secret()) + head + "\r\n",
    "GET /kept HTTP/1.1\r\n" + head + "Authorization: Bearer " + secret() * 9000 + "\r\n\r\n",
):
    http(ok, broken)
print(number)
"""


BROKERS = {"amqp": amqp_broker, "kafka": kafka_broker}


def test_planted_secrets_leave_in_no_way(site: Site) -> None:
    program("redis-server")
    site.nginx()
    (site.folder / "redis").mkdir()
    redis = Program(SERVER, site.application, site.folder / "redis")
    site.programs.append(redis)
    redis.start()
    wait_for(lambda: "Ready to accept" in redis.output(), "redis-server")
    planted: list[int] = []

    def workload() -> None:
        planted.append(int(site.client.run("python3", "-c", WORKLOAD, APPLICATION, timeout_s=120).stdout))

    shown, broken = told(site, workload, "pcap_receiver_db_server_operation_duration", ("redis", "http"))
    assert planted[0] > 130
    # What is to be searched is there.
    for name in ("collector", "receiver", "watch"):
        missing = [each for each in (*REDIS_EACH, "/kept") if each not in shown[name]]
        assert not missing, (name, missing)
    assert "db_operation_name" in shown["store"] and "debug" in shown["receiver"].lower()
    assert min(broken.values()) > 0, broken
    search(shown)


def test_planted_secrets_of_databases_and_brokers_leave_in_no_way(site: Site) -> None:
    program("mariadbd")
    program("pgbench")
    program("ferretdb-lab")
    vectors = Path(__file__).resolve().parent.parent / "vectors"
    said: list[str] = []

    def workload() -> None:
        command = [sys.executable, "-W", "ignore", os.fspath(Path(__file__).with_name("planted.py")), os.fspath(vectors)]
        said.extend(site.application.run(*command, timeout_s=180).stdout.splitlines())

    shown, _ = told(site, workload, "db_client_operation_duration", ())
    *left, planted = said
    assert [line.split()[0] for line in left] == [name for name, module in BROKERS.items() if module.why_not()], left
    assert int(planted) > 150
    for name in ("collector", "watch"):
        missing = [each for each in ("CREATE TABLE t", "INSERT", "COPY", "carts") if each not in shown[name]]
        assert not missing, (name, missing)
    assert "hunter2" not in "".join(shown.values())
    search(shown)


def told(site: Site, workload: Callable[[], None], metric: str, broken: Sequence[str]) -> tuple[dict[str, str], dict[str, int]]:
    """All that is told of a workload, by where it went, until the store has `metric`; and how often `broken` protocols were."""
    collector = site.collector()
    store = site.victoria_metrics()
    screens: list[Program] = []
    for name, more in (("watch", ()), ("table", ("--table",))):
        argv = receiver_command("watch", "-i", "any", "--debug", *more)
        screens.append(Program(argv, site.application, site.folder / name, RECEIVER_ENV))
    site.programs += screens
    for screen in screens:
        screen.start()
    receiver = site.receiver(
        "service.telemetry.logs.level=debug",
        "receivers.pcap.db.server_side=true",
        "receivers.pcap.messaging.server_side=true",
        "receivers.pcap.kafka.record_headers=true",
        "exporters.debug.verbosity=detailed",
        "service.pipelines.traces.exporters=[otlp_grpc, debug]",
        "service.pipelines.metrics.exporters=[otlp_grpc, prometheus_remote_write, debug]",
    )

    workload()

    def at_rest() -> bool:
        before = receiver.roundtrips(), len(collector.spans())
        time.sleep(2.5)  # libpcap hands a block over up to its timeout late, and exporters send every second
        return before == (receiver.roundtrips(), len(collector.spans())) and min(before) > 0

    wait_for(at_rest, "what is told to arrive")
    pages = [http_get(site.application, url)[1] for url in ("http://localhost:8898/metrics", "http://localhost:13143/")]
    wait_for(lambda: metric in store.exported(), f"{metric} in VictoriaMetrics")
    errors = {name: receiver.own("decode_errors_total", protocol=name) for name in broken}
    receiver.stop()
    for screen in screens:
        screen.stop()
    shown = {
        "collector": collector.exported(),
        "store": store.exported(),
        "receiver": receiver.output(),
        "pages": "".join(pages),
        "watch": screens[0].output(),
        "table": screens[1].output(),
    }
    return shown, errors


def search(shown: dict[str, str]) -> None:
    for name, text in shown.items():
        at = text.lower().find(PLANTED)
        assert at < 0, (name, text[max(0, at - 200) : at + 200])
