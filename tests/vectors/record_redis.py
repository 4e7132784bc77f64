"""Records the vectors of Redis: a real redis-server, real clients, and a socket that says what no client does.

    python tests/vectors/record_redis.py [name ...]        as record.py

Needs redis-server, redis-cli and redis-benchmark on the PATH, redis-py and hiredis. Expected is the client's own
record: redis-py's account (`redis_account.py`), what redis-cli was told and printed; of a socket, the documentation
of the command.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import redis
from record import Relay, free_port, program, speak, version, write
from redis_account import Account, Expected, client

# What must never be found in anything that is told of these conversations.
SECRET = "hunter2-never-shown"


@contextlib.contextmanager
def server(*settings: str) -> Iterator[int]:
    with tempfile.TemporaryDirectory(prefix="record-") as folder:
        port = free_port()
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        with program([*command, "--dir", folder, "--enable-debug-command", "local", *settings], port):
            yield port


def about(who: str) -> dict[str, str]:
    said = version("redis-server", "--version").split()
    return {"folder": "redis", "protocol": "redis", "server": f"Redis {said[2].removeprefix('v=')}", "client": who}


def redis_py() -> str:
    return f"redis-py {redis.__version__}"


def command(*words: str | bytes | int) -> bytes:
    encoded = [word if isinstance(word, bytes) else str(word).encode("latin-1") for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)


def told(line: str, status: str | None = None, outcome: str | None = None, **more: Any) -> dict[str, Any]:
    """A roundtrip by its text: the operation is the first word."""
    one = {"operation": line.split()[0], "db.query.text": line, "status": status, **more}
    one["outcome"] = outcome or ("ok" if status is None else "error")
    return {name.replace("__", "."): value for name, value in one.items()}


SCENARIOS: dict[str, Callable[[], None]] = {}


def scenario(name: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def keep(function: Callable[[], None]) -> Callable[[], None]:
        SCENARIOS[name] = function
        return function

    return keep


# --- redis-py ---


def workload(r: redis.Redis) -> None:
    """What an application does, and its mistakes."""
    r.set("key", "value")
    r.set("crlf", b"a\r\n+OK\r\n$3\r\n*1\r\nb")
    r.set("large", b"x" * 3000)
    r.get("large")
    with r.pipeline(transaction=False) as pipeline:
        pipeline.get("key").get("missing").get("crlf").incr("number")
        pipeline.hset("hash", mapping={"a": 1, "b": 2}).hgetall("hash").rpush("list", *range(5)).lrange("list", 0, -1)
        pipeline.sadd("set", "a", "b").smembers("set").zadd("sorted", {"a": 1.5}).zscore("sorted", "a")
        pipeline.mget("key", "missing", "number").config_get("maxmemory").lpush("key", "x")
        pipeline.execute(raise_on_error=False)
    r.blpop(["nothing"], timeout=0.05)
    for wrong in (
        lambda: r.execute_command("NOSUCH", SECRET),
        lambda: r.evalsha("0" * 40, 0),
        lambda: r.incr("key"),
    ):
        with contextlib.suppress(redis.ResponseError):
            wrong()
    script = r.script_load("return {KEYS[1], ARGV[1], 3, {4, false}}")
    r.evalsha(script, 1, "key", SECRET)
    with r.pipeline(transaction=False) as pipeline:
        for i in range(8):
            pipeline.set(f"p{i}", i).get(f"p{i}")
        pipeline.execute(raise_on_error=False)
    with r.pipeline(transaction=True) as pipeline:
        pipeline.set("t", 1).incr("t").lpush("key", "x").get("t")
        pipeline.execute(raise_on_error=False)


def with_redis_py(name: str, who: str, **settings: Any) -> None:
    with server("--requirepass", SECRET) as port:
        relay = Relay(port)
        account = Account()
        r = client(relay.port, account, password=SECRET, **settings)
        workload(r)
        r.connection_pool.disconnect()
        write(name, about(who), relay.only(), account.expected())


@scenario("redis-py-resp2")
def redis_py_resp2() -> None:
    from redis._parsers import _RESP2Parser

    with_redis_py("redis-py-resp2", redis_py(), db=2, protocol=2, parser_class=_RESP2Parser)


@scenario("redis-py-resp3")
def redis_py_resp3() -> None:
    from redis._parsers import _RESP3Parser

    with_redis_py("redis-py-resp3", redis_py(), protocol=3, parser_class=_RESP3Parser, client_name="shop")


@scenario("hiredis-resp3")
def hiredis_resp3() -> None:
    from hiredis import __version__ as hiredis_version
    from redis._parsers import _HiredisParser

    with_redis_py("hiredis-resp3", f"{redis_py()}, hiredis {hiredis_version}", protocol=3, parser_class=_HiredisParser)


# --- redis-cli, redis-benchmark ---

CLI = """set a "b c"
get a
lpush a x
hello 3
hgetall nothing
config get port
select 3
dbsize
multi
set a 1
incr a
exec
nosuch a
hello 2
select 99
xadd s * f v
xrange s - +
object encoding a
client no-evict on
echo "+OK"
"""


@scenario("redis-cli")
def redis_cli() -> None:
    with server() as port:
        relay = Relay(port)
        said = subprocess.run(["redis-cli", "-p", str(relay.port)], input=CLI, capture_output=True, text=True, check=True).stdout
        # With its output not on a terminal it prints errors bare: `WRONGTYPE Operation against ...`.
        codes = [line.split()[0] for line in said.splitlines() if line.split()[:1] in (["ERR"], ["WRONGTYPE"])]
        assert codes == ["WRONGTYPE", "ERR", "ERR"], said
        wrong = {"lpush a x": "WRONGTYPE", "nosuch a": "ERR", "select 99": "ERR"}
        expected: Expected = []
        for line in CLI.splitlines():
            code = wrong.get(line)
            expected.append({"operation": line.split()[0].upper(), "status": code, "outcome": "ok" if code is None else "error"})
        for one, database in zip(expected[6:12], "333333", strict=True):
            one["namespace"] = database
        expected[11]["db.operation.batch.size"] = 2
        expected[15]["namespace"] = "3"  # SELECT 99 was refused
        recording = relay.only()
        # It asks for COMMAND DOCS first, 200 KB.
        first = next(i for i, event in enumerate(recording.events) if event[2] and b"SET" in event[2].upper()[:40])
        recording.events = recording.events[first:]
        write("redis-cli", about(" ".join(version("redis-cli", "--version").split()[:2])), recording, expected)


@scenario("redis-benchmark")
def redis_benchmark() -> None:
    with server() as port:
        relay = Relay(port)
        run = [
            "redis-benchmark",
            "-p",
            str(relay.port),
            "-c",
            "1",
            "-P",
            "16",
            "-n",
            "48",
            "-q",
            "-t",
            "set,get,lpush,mset",
        ]
        subprocess.run(run, capture_output=True, check=True)
        # A connection asks for the configuration first; then there is one for each test, of 48 commands.
        for recording in relay.recordings:
            assert recording.done.wait(5)
        wanted = ("SET", "GET", "LPUSH", "MSET")
        tests = [one for one in relay.recordings if sum(len(e[2] or b"") for e in one.events if e[1]) > 600]
        assert len(tests) == len(wanted)
        for name, recording in list(zip(wanted, tests, strict=True))[1::2]:
            expected: Expected = [{"operation": name, "status": None, "outcome": "ok"}] * 48
            who = " ".join(version("redis-benchmark", "--version").split()[:2])
            write(f"redis-benchmark-{name.lower()}", about(who + " -P 16"), recording, expected)


# --- publish and subscribe ---


def publish_and_subscribe(name: str, protocol: int) -> None:
    with server() as port:
        relay = Relay(port)
        publisher = redis.Redis(port=port)
        subscriber = redis.Redis(port=relay.port, protocol=protocol, driver_info=None)
        channel = subscriber.pubsub()
        channel.subscribe("news", "weather")
        assert channel.get_message(timeout=5) and channel.get_message(timeout=5)
        channel.psubscribe("p*")
        assert channel.get_message(timeout=5)
        for i in range(3):
            publisher.publish("news", f"message {i}")
        publisher.publish("party", "+OK")
        for _ in range(4):
            message = channel.get_message(timeout=5)
            assert message and message["type"] in ("message", "pmessage"), message
        channel.ping()
        assert channel.get_message(timeout=5)
        for leave in (lambda: channel.unsubscribe("news"), channel.punsubscribe, channel.unsubscribe):
            leave()
            assert channel.get_message(timeout=5)
        channel.close()
        # Redis 7 knows no CLIENT MAINT_NOTIFICATIONS.
        setup = [told("HELLO"), told("CLIENT MAINT_NOTIFICATIONS ? ? ?", "ERR")] if protocol == 3 else []
        expected = [
            *setup,
            told("SUBSCRIBE ? ?"),
            told("PSUBSCRIBE ?"),
            told("PING"),
            told("UNSUBSCRIBE ?"),
            told("PUNSUBSCRIBE"),
            told("UNSUBSCRIBE"),
        ]
        write(name, about(redis_py()), relay.only(), expected)


@scenario("pubsub-resp2")
def pubsub_resp2() -> None:
    publish_and_subscribe("pubsub-resp2", 2)


@scenario("pubsub-resp3")
def pubsub_resp3() -> None:
    publish_and_subscribe("pubsub-resp3", 3)


# --- a socket ---


@scenario("inline")
def inline() -> None:
    """By "Redis serialization protocol specification", "Inline commands", and what redis-server makes of quotes."""
    with server() as port:
        relay = Relay(port)
        speak(
            relay.port,
            b"PING\r\n",
            0.02,
            b"set a \"b c\"\r\n\r\n*0\r\n*-1\r\nget   'a'\r\n",
            0.02,
            b"SET b 1\nGET b\n",
            0.02,
            b"GET a\r\n" + command("GET", "b") + b"DEL a b\r\n",
            0.02,
            b"EXISTS a\r",
            0.02,
            b"\n",
            0.02,
            b'SET bad "never closed\r\n',
        )
        expected = [
            told("PING"),
            told("SET ? ?"),
            told("GET ?"),
            told("SET ? ?"),
            told("GET ?"),
            told("GET ?"),
            told("GET ?"),
            told("DEL ? ?"),
            told("EXISTS ?"),
            told("SET ? ?", "ERR"),
        ]
        write("inline", about("a socket"), relay.only(), expected)


@scenario("client-reply")
def client_reply() -> None:
    """By the page of CLIENT REPLY; RESET turns replies on again, confirmations of subscriptions come even when off."""
    with server() as port:
        relay = Relay(port)
        speak(
            relay.port,
            command("CLIENT", "REPLY", "OFF") + command("SET", "a", "1"),
            0.02,
            command("INCR", "a") + command("client", "reply", "on") + command("GET", "a"),
            0.02,
            command("CLIENT", "REPLY", "SKIP") + command("INCR", "a") + command("GET", "a"),
            0.02,
            command("CLIENT", "REPLY", "OFF") + command("CLIENT", "REPLY", "SKIP") + command("PING"),
            0.02,
            command("SUBSCRIBE", "c"),
            0.02,
            command("RESET") + command("PING"),
            0.02,
            command("CLIENT", "REPLY", "SKIP") + command("RESET") + command("PING"),
            0.02,
            command("CLIENT", "REPLY", "SIDEWAYS") + command("ECHO", "x"),
            0.02,
        )
        # Told when they are over: what gets no reply at once, the others when they are answered.
        expected = [
            told("CLIENT REPLY ?", outcome="one_way"),
            told("SET ? ?", outcome="one_way"),
            told("INCR ?", outcome="one_way"),
            told("CLIENT REPLY ?"),
            told("GET ?"),
            told("CLIENT REPLY ?", outcome="one_way"),
            told("INCR ?", outcome="one_way"),
            told("GET ?"),
            told("CLIENT REPLY ?", outcome="one_way"),
            told("CLIENT REPLY ?", outcome="one_way"),
            told("PING", outcome="one_way"),
            told("SUBSCRIBE ?"),
            told("RESET"),
            told("PING"),
            told("CLIENT REPLY ?", outcome="one_way"),
            told("RESET", outcome="one_way"),
            told("PING"),
            told("CLIENT REPLY ?", "ERR"),
            told("ECHO ?"),
        ]
        write("client-reply", about("a socket"), relay.only(), expected)


@scenario("multi")
def multi() -> None:
    with server() as port:
        relay = Relay(port)
        speak(
            relay.port,
            command("MULTI") + command("SELECT", 3) + command("GET", "a") + command("BLPOP", "a", 0) + command("EXEC"),
            0.02,
            command("GET", "a"),
            0.02,
            command("MULTI") + command("EXEC"),
            0.02,
            command("MULTI") + command("NOSUCH") + command("EXEC"),
            0.02,
            command("WATCH", "a") + command("SET", "a", 1) + command("MULTI") + command("SELECT", 5) + command("EXEC"),
            0.02,
            command("MULTI") + command("MULTI") + command("GET", "a") + command("DISCARD") + command("GET", "a"),
            0.02,
            command("EXEC"),
            0.02,
            command("SELECT", "x"),
            0.02,
            command("GET", "a"),
            0.02,
            command("MULTI") + command("SUBSCRIBE", "c", "d") + command("EXEC"),
            0.02,
            command("PING"),
            0.02,
        )
        size = "db__operation__batch__size"
        expected = [
            told("MULTI", namespace="0"),
            told("SELECT ?"),
            told("GET ?"),
            told("BLPOP ? ?"),
            told("EXEC", **{size: 3}),
            told("GET ?", namespace="3"),
            told("MULTI"),
            told("EXEC", **{size: 0}),
            told("MULTI"),
            told("NOSUCH", "ERR"),
            told("EXEC", "EXECABORT", **{size: None}),
            told("WATCH ?"),
            told("SET ? ?"),
            told("MULTI"),
            told("SELECT ?", namespace="3"),
            told("EXEC", **{size: None}),  # nil: the watched key was changed
            told("MULTI", namespace="3"),
            told("MULTI", "ERR"),
            told("GET ?"),
            told("DISCARD"),
            told("GET ?", namespace="3"),
            told("EXEC", "ERR"),
            told("SELECT ?", "ERR"),
            told("GET ?", namespace="3"),
            told("MULTI"),
            told("SUBSCRIBE ? ?"),
            told("EXEC"),
            told("PING"),
        ]
        write("multi", about("a socket"), relay.only(), expected)


TYPES = "string integer double null array set map attrib push verbatim true false bignum"


@scenario("resp3-types")
def resp3_types() -> None:
    """DEBUG PROTOCOL answers with each type in turn."""
    with server() as port:
        relay = Relay(port)
        lines: list[bytes | float] = [command("HELLO", 3), 0.02]
        for kind in TYPES.split():
            lines += [command("DEBUG", "PROTOCOL", kind), 0.01]
        everything = b"".join(command("DEBUG", "PROTOCOL", kind) for kind in TYPES.split())
        lines += [everything, 0.03, command("DEBUG", "NOSUCH"), 0.02, command("HELLO", 2), 0.02]
        lines += [command("DEBUG", "PROTOCOL", "map"), 0.02, command("HELLO", 9), 0.02]
        speak(relay.port, *lines)
        expected = [
            told("HELLO"),
            *[told("DEBUG PROTOCOL ?") for _ in range(2 * len(TYPES.split()))],
            told("DEBUG ?", "ERR"),
            told("HELLO"),
            told("DEBUG PROTOCOL ?"),
            told("HELLO", "NOPROTO"),
        ]
        write("resp3-types", about("a socket"), relay.only(), expected)


@scenario("monitor")
def monitor() -> None:
    with server() as port:
        relay = Relay(port)
        other = redis.Redis(port=port)
        other.ping()

        def meanwhile() -> None:
            time.sleep(0.05)
            other.set("seen", "x" * 3000)
            other.get("seen")

        watcher = threading.Thread(target=meanwhile)
        watcher.start()
        speak(
            relay.port,
            command("MONITOR"),
            0.15,
            command("PING"),
            0.05,
            command("GET", "a"),
            0.05,
            command("RESET"),
            0.05,
        )
        watcher.join()
        expected = [told("MONITOR"), told("PING"), told("GET ?", "ERR"), told("RESET")]
        write("monitor", about("a socket"), relay.only(), expected)


@scenario("tracking")
def tracking() -> None:
    """Invalidations are pushes that nobody asked for, between replies."""
    with server() as port:
        relay = Relay(port)
        speak(
            relay.port,
            command("HELLO", 3) + command("CLIENT", "TRACKING", "ON", "BCAST"),
            0.02,
            command("SET", "a", 1) + command("SET", "b", 1) + command("GET", "a"),
            0.05,
            command("SUBSCRIBE", "c") + command("LRANGE", "l", 0, -1) + command("PUBLISH", "c", "m"),
            0.05,
            command("UNSUBSCRIBE") + command("GET", "a"),
            0.05,
        )
        expected = [
            told("HELLO"),
            told("CLIENT TRACKING ? ?"),
            told("SET ? ?"),
            told("SET ? ?"),
            told("GET ?"),
            told("SUBSCRIBE ?"),
            told("LRANGE ? ? ?"),
            told("PUBLISH ? ?"),
            told("UNSUBSCRIBE"),
            told("GET ?"),
        ]
        write("tracking", about("a socket"), relay.only(), expected)


@scenario("psync")
def psync() -> None:
    """A replica's first words, then its stream, which is left alone: what the master sends are commands, not
    replies."""
    with server("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1") as port:
        relay = Relay(port)
        other = redis.Redis(port=port)
        other.set("a", b"\r\n+OK\r\n")

        def meanwhile() -> None:
            time.sleep(0.4)
            other.set("b", 1)
            other.incr("b")

        writer = threading.Thread(target=meanwhile)
        writer.start()
        speak(
            relay.port,
            command("PING"),
            0.02,
            command("REPLCONF", "listening-port", 1) + command("REPLCONF", "capa", "psync2"),
            0.02,
            command("PSYNC", "?", -1),
            0.8,
            command("REPLCONF", "ACK", 1),
            0.1,
        )
        writer.join()
        expected = [told("PING"), told("REPLCONF ? ?"), told("REPLCONF ? ?"), told("PSYNC ? ?")]
        write("psync", about("a socket"), relay.only(), expected)


@scenario("secrets")
def secrets() -> None:
    """Credentials in each place that takes them, accepted and refused, and values; nothing of it may be told."""
    with server("--requirepass", SECRET) as port:
        relay = Relay(port)
        speak(
            relay.port,
            command("GET", "a"),
            0.02,
            command("AUTH", "wrong-" + SECRET),
            0.02,
            command("AUTH", "nobody", SECRET),
            0.02,
            command("HELLO", 2, "AUTH", "default", SECRET, "SETNAME", SECRET),
            0.02,
            command("AUTH", SECRET),
            0.02,
            command("SET", SECRET, SECRET) + command("GET", SECRET),
            0.02,
            command("CONFIG", SECRET) + command(SECRET + " " + SECRET, "x") + command("HSET", "h", SECRET, SECRET),
            0.02,
            command("EVAL", f"return redis.error_reply('{SECRET} {SECRET}')", 0),
            0.02,
            command("ACL", "SETUSER", "u", ">" + SECRET) + command("CONFIG", "SET", "masterauth", SECRET),
            0.02,
            command("PUBLISH", SECRET, SECRET) + command("ECHO", SECRET),
            0.02,
        )
        expected = [
            told("GET ?", "NOAUTH"),
            told("AUTH", "WRONGPASS"),
            told("AUTH", "WRONGPASS"),
            told("HELLO"),
            told("AUTH"),
            told("SET ? ?"),
            told("GET ?"),
            told("CONFIG ?", "ERR"),
            told("_OTHER ?", "ERR"),
            told("HSET ? ? ?"),
            told("EVAL ? ?", None, "error", error_type="_OTHER"),
            told("ACL SETUSER ? ?"),
            told("CONFIG SET ? ?"),
            told("PUBLISH ? ?"),
            told("ECHO ?"),
        ]
        write("secrets", about("a socket"), relay.only(), expected)


@scenario("secrets-inline")
def secrets_inline() -> None:
    with server("--requirepass", SECRET) as port:
        relay = Relay(port)
        lines: list[bytes | float] = [b"GET a\r\n", 0.02, f"AUTH {SECRET}\r\n".encode(), 0.02]
        speak(relay.port, *lines, f'set {SECRET} "{SECRET}"\r\nget {SECRET}\r\n'.encode(), 0.02)
        expected = [told("GET ?", "NOAUTH"), told("AUTH"), told("SET ? ?"), told("GET ?")]
        write("secrets-inline", about("a socket"), relay.only(), expected)


def main() -> None:
    words = sys.argv[1:]
    for name, run in SCENARIOS.items():
        if not words or any(word in name for word in words):
            run()


if __name__ == "__main__":
    os.chdir(Path(__file__).parent)
    main()
