"""Redis: vectors from redis-server and its clients, then each rule of RESP and each attack by name.

Expected values come from the clients' own records in the vectors, hiredis as the other implementation of RESP, Zeek's logs
of its own captures, the specification, and what redis-server 7.0 was seen to do.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import hiredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.engine import Engine
from receiver.l7.conversation import Conversation
from receiver.l7.detect import Detector
from receiver.l7.matcher import Pairing
from receiver.l7.reading import Reading
from receiver.l7.redis import RedisDecoder
from receiver.l7.redis_names import Vocabulary
from receiver.l7.registry import PROTOCOLS
from receiver.pcap.file import FileSource
from receiver.pcap.flow import FlowTable
from receiver.pcap.stream import Reassembly
from receiver.telemetry.metrics import Metrics
from receiver.telemetry.pipeline import Telemetry
from receiver.telemetry.redact import Redactor
from receiver.telemetry.sampling import Sampler
from receiver.telemetry.spans import Identities, Spans
from receiver.wire.records import Protocol, Roundtrip, Sink
from tests.l7.harness import (
    CLIENT_SIDE,
    START_NS,
    TO_CLIENT,
    TO_SERVER,
    Collector,
    Damage,
    Run,
    Seen,
    Vector,
    check_random_bytes,
    check_vector,
    exchange,
    feed_bytewise,
    feed_recorded,
    feed_with_gap,
    load_all,
)

REDIS = next(protocol for protocol in PROTOCOLS if protocol.name == "redis")


def alone() -> tuple[Protocol]:
    """Redis with words that no other test has added to."""
    return (Protocol("redis", "redis", partial(RedisDecoder, Vocabulary()), client_only=True),)


ALONE = alone()
VECTORS = load_all("redis")
CAPTURES = Path(__file__).resolve().parents[3] / "shared" / "pcaps" / "redis"
SECRET = "hunter2-never-shown"  # as in tests/vectors/record_redis.py

Turn = tuple[int, bytes | None]


def command(*words: str | bytes | int) -> bytes:
    encoded = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)


def talk(*turns: Turn, run: Run | None = None) -> list[Seen]:
    run = run or Run(ALONE)
    for event in exchange(*turns):
        run.event(event)
    return run.end()


def ask(request: bytes, reply: bytes) -> Seen:
    (seen,) = talk((TO_SERVER, request), (TO_CLIENT, reply))
    return seen


def told(seen: list[Seen]) -> list[tuple[Any, str, Any]]:
    return [(one["operation"], one.outcome, one["status"]) for one in seen]


def errors(*turns: Turn) -> list[str]:
    run = Run(ALONE)
    talk(*turns, run=run)
    return [what for _, what in run.reading.errors]


# --- vectors ---


def resumes(vector: Vector, seen: Seen) -> bool:
    """Whether the way is found again where this one begins."""
    if vector.name == "client-reply":
        return False  # when CLIENT REPLY is what was lost, nothing tells which commands are answered
    if vector.name == "secrets-inline":
        return False  # AUTH and +OK are words of other protocols as well
    return not (vector.name == "inline" and seen.request.operation == "EXISTS")  # in two pieces: half a line is none


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_vector(vector: Vector) -> None:
    if vector.name == "psync":
        vector = replace(vector, events=vector.events[:8])  # joined in the stream behind: a test of its own
    check_vector(ALONE, vector, lambda seen: resumes(vector, seen))


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_vector_is_found_among_all_protocols_and_nothing_is_left_over(vector: Vector) -> None:
    run = Run(PROTOCOLS)
    for event in vector.events:
        run.event(event)
    seen = run.end()
    assert {one.protocol for one in seen} == {"redis"}
    assert len(seen) == len(vector.expected)
    assert not run.reading.errors
    assert run.pairing.unmatched == 0


def test_without_detail_there_are_no_attributes() -> None:
    for vector in VECTORS:
        seen = feed_recorded(lambda: Run(ALONE, detail=False), vector)
        assert [one["operation"] for one in seen] == [one["operation"] for one in vector.expected]
        assert all(not one.request.attributes and not (one.response and one.response.attributes) for one in seen)


@pytest.mark.parametrize(
    "name", ["pipelined", "client-skip-while-off", "django-cloud", "excessive-pipelining", "pipeline-with-quotes", "pubsub"]
)
def test_real_capture_as_zeek_says(name: str) -> None:
    """But for two things: Zeek forgets the commands beyond its limit of a pipeline, and pairs no SUBSCRIBE."""
    files = list(CAPTURES.glob(f"{name}.pcap*"))
    if not files:
        pytest.skip(f"NOT RUN: {CAPTURES} is not there")
    log = (CAPTURES / f"{name}.zeek.log").read_text().splitlines()
    rows = [line.split("\t") for line in log if line and not line.startswith("#")]
    wanted = []
    for row in rows:
        operation = row[6].upper()
        if name == "excessive-pipelining" and operation == "-":
            operation = "PING"
        success = "T" if "SUBSCRIBE" in operation else row[9]
        wanted.append((int(row[3]), operation, success))
    ports: list[int] = []

    class WithPorts(Collector):
        def roundtrip(self, roundtrip: Roundtrip) -> int:
            assert roundtrip.endpoints is not None
            ports.append(roundtrip.endpoints.client_port)
            return super().roundtrip(roundtrip)

    sink = WithPorts()
    engine = Engine(FlowTable(Reassembly(), server_ports={6379}), Reading(Pairing(sink), Detector(PROTOCOLS)))
    source = FileSource((str(files[0]),), lambda link_type: "")
    source.open()
    source.run(engine.process_batch, lambda now: None, lambda: False)
    source.close()
    engine.finish()
    shown = {"ok": "T", "error": "F"}
    seen = [(port, one["operation"], shown.get(one.outcome, "-")) for port, one in zip(ports, sink.seen, strict=True)]
    assert sorted(seen) == sorted(wanted)


# --- nothing is paired with what it does not belong to ---


def numbered() -> Vector:
    """Each pair can be told from every other by the command's name and the error's code; some in pipelines, in many segments."""
    turns: list[tuple[int, bytes]] = []
    at = 0
    for batch in (1, 1, 8, 1, 3, 1, 16, 1, 1, 2, 1):
        requests = b"".join(command(f"X.Y{i}", "k" * i) for i in range(at, at + batch))
        replies = b"".join(
            b"-E%d wrong\r\n" % i if i % 3 else b"!%d\r\nE%d wrong\r\n-E0 or right\r\n" % (21 + len(str(i)), i)
            for i in range(at, at + batch)
        )
        turns += [(TO_SERVER, requests[i : i + 90]) for i in range(0, len(requests), 90)]
        turns += [(TO_CLIENT, replies[i : i + 70]) for i in range(0, len(replies), 70)]
        at += batch
    return Vector("numbered", "redis", exchange(*turns), ())


def holes(vector: Vector) -> Iterator[Damage]:
    for index, event in enumerate(vector.events):
        size = len(event.payload or b"")
        for at in range(0, size, 2):
            yield Damage(index, at, size - at)
            yield Damage(index, at, min(7, size - at), told=at % 4 == 0)


def test_hole_never_pairs_strangers_and_reading_goes_on() -> None:
    vector = numbered()
    whole = feed_recorded(lambda: Run(ALONE), vector)
    assert [(one["operation"], one["status"]) for one in whole] == [(f"X.Y{i}", f"E{i}") for i in range(36)]
    for damage in holes(vector):
        seen = [one for one in feed_with_gap(lambda: Run(ALONE), vector, damage) if one.paired]
        for one in seen:
            assert one["status"] == one["operation"].replace("X.Y", "E"), damage
        # What shares the pipeline of 16, at most, and one on each side of it.
        assert len(seen) >= 36 - 18, damage


# --- pipelines, pieces, sizes ---


def test_pipeline_of_a_thousand_is_a_thousand_roundtrips() -> None:
    seen = talk((TO_SERVER, command("INCR", "n") * 1000), (TO_CLIENT, b"".join(b":%d\r\n" % i for i in range(1000))))
    assert told(seen) == [("INCR", "ok", None)] * 1000


def test_large_value_is_skipped_and_counted() -> None:
    value = b"x" * 1_000_000
    request, reply = command("SET", "k", value), b"+OK\r\n"
    run = Run(ALONE, head_max=200)
    for i in range(0, len(request), 1400):
        run.feed(TO_SERVER, request[i : i + 1400], START_NS + i)
    run.feed(TO_CLIENT, reply, START_NS + len(request))
    (seen,) = run.end()
    assert seen.sizes == (len(request), len(reply))
    assert seen.times[1] == START_NS + (len(request) - 1) // 1400 * 1400
    assert seen["db.query.text"] == "SET ? ?"


def test_command_of_many_arguments_needs_no_room() -> None:
    pairs = [word for i in range(20_000) for word in (f"key:{i}", f"value {i}")]
    request = command("MSET", *pairs)
    run = Run(ALONE, head_max=200)
    for i in range(0, len(request), 999):
        run.feed(TO_SERVER, request[i : i + 999])
    run.feed(TO_CLIENT, b"+OK\r\n")
    (seen,) = run.end()
    assert seen.outcome == "ok"
    assert seen.sizes[0] == len(request)
    assert seen["db.query.text"] == "MSET" + " ?" * 16 + " ..."


def test_array_of_many_values_needs_no_room() -> None:
    reply = b"*50000\r\n" + b"$5\r\nab\r\nc\r\n" * 50_000
    run = Run(ALONE, head_max=200).feed(TO_SERVER, command("LRANGE", "l", 0, -1))
    for i in range(0, len(reply), 1001):
        run.feed(TO_CLIENT, reply[i : i + 1001])
    run.feed(TO_SERVER, command("PING")).feed(TO_CLIENT, b"+PONG\r\n")
    seen = run.end()
    assert told(seen) == [("LRANGE", "ok", None), ("PING", "ok", None)]
    assert seen[0].sizes[1] == len(reply)


def test_gap_inside_a_value_harms_nothing() -> None:
    run = Run(ALONE).feed(TO_SERVER, command("GET", "k") + command("GET", "l"))
    run.feed(TO_CLIENT, b"$5000\r\n" + b"x" * 1000).gap(TO_CLIENT, 3000)
    run.feed(TO_CLIENT, b"x" * 1000 + b"\r\n$1\r\ny\r\n")
    seen = run.end()
    assert told(seen) == [("GET", "ok", None)] * 2
    assert seen[0].sizes[1] == 5009


def test_values_that_look_like_frames_are_values() -> None:
    value = b"\r\n*1\r\n$4\r\nPING\r\n+OK\r\n-ERR\r\n"
    seen = talk(
        (TO_SERVER, command("SET", value, value)),
        (TO_CLIENT, b"+OK\r\n"),
        (TO_SERVER, command("MGET", value, "b")),
        (TO_CLIENT, b"*2\r\n$%d\r\n%s\r\n$-1\r\n" % (len(value), value)),
    )
    assert told(seen) == [("SET", "ok", None), ("MGET", "ok", None)]


def test_long_line_is_passed_in_pieces() -> None:
    run = Run(ALONE, head_max=5000).feed(TO_SERVER, command("EVAL", "return redis.status_reply(...)", 0))
    run.feed(TO_CLIENT, b"+" + b"x" * 4000).feed(TO_CLIENT, b"y" * 40_000).feed(TO_CLIENT, b"z\r\n")
    run.feed(TO_SERVER, command("PING")).feed(TO_CLIENT, b"+PONG\r\n")
    seen = run.end()
    assert told(seen) == [("EVAL", "ok", None), ("PING", "ok", None)]
    assert seen[0].sizes[1] == 44_004


# --- names, text, namespace ---


@pytest.mark.parametrize(
    ("words", "operation", "text"),
    [
        (("get", "k"), "GET", "GET ?"),
        (("GeT", "k"), "GET", "GET ?"),
        (("PING",), "PING", "PING"),
        (("FT.SEARCH", "i", "q"), "FT.SEARCH", "FT.SEARCH ? ?"),
        (("json.set", "a", "$", "{}"), "JSON.SET", "JSON.SET ? ? ?"),
        (("MY-CMD_2", "x"), "MY-CMD_2", "MY-CMD_2 ?"),
        (("config", "get", "dir"), "CONFIG", "CONFIG GET ?"),
        (("CONFIG", SECRET, "x"), "CONFIG", "CONFIG ? ?"),
        (("XINFO", "STREAM", "s"), "XINFO", "XINFO STREAM ?"),
        (("CLIENT", "KILL", "ID", "7"), "CLIENT", "CLIENT KILL ? ?"),
        (("N" * 64, "k"), "N" * 64, "N" * 64 + " ?"),
        (("N" * 65, "k"), "_OTHER", "_OTHER ?"),
        (("N" * 5000, "k"), "_OTHER", "_OTHER ?"),
        (("GET k", "k"), "_OTHER", "_OTHER ?"),
        (("G\xcbT", "k"), "_OTHER", "_OTHER ?"),
        (("", "k"), "_OTHER", "_OTHER ?"),
        (("AUTH", SECRET), "AUTH", "AUTH"),
        (("HELLO", 3, "AUTH", "u", SECRET), "HELLO", "HELLO"),
    ],
)
def test_name_and_text(words: tuple[str, ...], operation: str, text: str) -> None:
    seen = talk((TO_SERVER, command("PING")), (TO_CLIENT, b"+PONG\r\n"), (TO_SERVER, command(*words)), (TO_CLIENT, b"+OK\r\n"))
    assert (seen[1]["operation"], seen[1]["db.query.text"]) == (operation, text)


def test_operation_and_text_are_the_same_objects_again() -> None:
    class Keeps(Sink):
        def __init__(self) -> None:
            self.kept: list[tuple[Any, ...]] = []

        def roundtrip(self, roundtrip: Roundtrip) -> int:
            request, response = roundtrip.request, roundtrip.response
            assert request is not None and response is not None and request.attributes is not None
            self.kept.append((request.operation, request.namespace, request.attributes[1], response.status, response.error_type))
            return 0

    kept: list[tuple[Any, ...]] = []
    for name in (b"get", b"GET", b"Get"):
        sink = Keeps()
        conversation = Conversation(Reading(Pairing(sink), Detector(ALONE)), Run(ALONE).connection, True)
        request, reply = command(name, "k"), b"-WRONGTYPE no\r\n"
        conversation.feed(TO_SERVER, request, 0, len(request), START_NS)
        conversation.feed(TO_CLIENT, reply, 0, len(reply), START_NS)
        kept += sink.kept
    assert len(kept) == 3
    for one in kept[1:]:
        assert all(a is b for a, b in zip(one, kept[0], strict=True))


def test_names_that_clients_make_up_are_bounded() -> None:
    run = Run(alone()).feed(TO_SERVER, command("PING")).feed(TO_CLIENT, b"+PONG\r\n")
    seen = talk(*[turn for i in range(600) for turn in ((TO_SERVER, command(f"MADEUP{i}")), (TO_CLIENT, b"-ERR no\r\n"))], run=run)
    names = [one["operation"] for one in seen[1:]]
    assert names == [f"MADEUP{i}" if i < 512 else "_OTHER" for i in range(600)]


def test_error_codes_that_scripts_make_up_are_bounded() -> None:
    turns = [turn for i in range(200) for turn in ((TO_SERVER, command("EVAL")), (TO_CLIENT, b"-CODE%d x\r\n" % i))]
    seen = talk(*turns, run=Run(alone()))
    codes = {one["status"] for one in seen}
    assert codes - {None} < {f"CODE{i}" for i in range(200)}
    assert 2 < len(codes) <= 129
    assert {one["error_type"] for one in seen if one["status"] is None} == {"_OTHER"}


@pytest.mark.parametrize(
    ("reply", "status", "error_type"),
    [
        (b"-ERR unknown command\r\n", "ERR", "ERR"),
        (b"-WRONGTYPE Operation\r\n", "WRONGTYPE", "WRONGTYPE"),
        (b"-MOVED 3999 127.0.0.1:6381\r\n", "MOVED", "MOVED"),
        (b"-ASK 3999 127.0.0.1:6381\r\n", "ASK", "ASK"),
        (b"-NOAUTH\r\n", "NOAUTH", "NOAUTH"),
        (b"!21\r\nSYNTAX invalid syntax\r\n", "SYNTAX", "SYNTAX"),
        (b"!3\r\nERR\r\n", "ERR", "ERR"),
        (b"-my own words\r\n", None, "_OTHER"),
        (b"-" + b"X" * 33 + b" y\r\n", None, "_OTHER"),
        (b"-\r\n", None, "_OTHER"),
        (b"!0\r\n\r\n", None, "_OTHER"),
    ],
)
def test_error_by_its_first_word(reply: bytes, status: str | None, error_type: str) -> None:
    seen = ask(command("GET", "k"), reply)
    assert (seen.outcome, seen["status"], seen["error_type"]) == ("error", status, error_type)
    vector = Vector("error", "redis", exchange((TO_SERVER, command("GET", "k")), (TO_CLIENT, reply)), ())
    (bytewise,) = feed_bytewise(lambda: Run(ALONE), vector)
    assert (bytewise.outcome, bytewise["status"], bytewise["error_type"]) == ("error", status, error_type)


def test_namespace_is_the_selected_index() -> None:
    seen = talk(
        (TO_SERVER, command("GET", "k")),
        (TO_CLIENT, b"$-1\r\n"),
        (TO_SERVER, command("SELECT", 7) + command("GET", "k")),
        (TO_CLIENT, b"+OK\r\n$-1\r\n"),
        (TO_SERVER, command("SELECT", 9999)),
        (TO_CLIENT, b"-ERR DB index is out of range\r\n"),
        (TO_SERVER, command("GET", "k")),
        (TO_CLIENT, b"$-1\r\n"),
        (TO_SERVER, command("RESET")),
        (TO_CLIENT, b"+RESET\r\n"),
        (TO_SERVER, command("GET", "k")),
        (TO_CLIENT, b"$-1\r\n"),
    )
    assert [one["namespace"] for one in seen] == ["0", "7", "7", None, "7", "0", "0"]


def test_joined_late_the_namespace_is_unknown_until_selected() -> None:
    run = Run(ALONE, from_start=False)
    seen = talk(
        (TO_SERVER, command("GET", "k")),
        (TO_CLIENT, b"$-1\r\n"),
        (TO_SERVER, command("SELECT", 2)),
        (TO_CLIENT, b"+OK\r\n"),
        (TO_SERVER, command("GET", "k")),
        (TO_CLIENT, b"$-1\r\n"),
        run=run,
    )
    assert [one["namespace"] for one in seen] == [None, "2", "2"]


def test_script_is_a_stored_procedure() -> None:
    sha = "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12"
    assert ask(command("EVALSHA", sha, 1, "k"), b":1\r\n")["db.stored_procedure.name"] == sha
    assert ask(command("FCALL", "my_function", 0), b":1\r\n")["db.stored_procedure.name"] == "my_function"
    assert ask(command("EVALSHA", "no digest: " + SECRET, 0), b":1\r\n")["db.stored_procedure.name"] is None
    assert ask(command("EVAL", "return 1", 0), b":1\r\n")["db.stored_procedure.name"] is None


# --- what commands do to the connection ---


def test_confirmations_of_several_channels_are_one_reply() -> None:
    confirmed = b"".join(b"*3\r\n$9\r\nsubscribe\r\n$1\r\n%c\r\n:%d\r\n" % (97 + i, i + 1) for i in range(3))
    run = Run(ALONE)
    seen = talk(
        (TO_SERVER, command("SUBSCRIBE", "a", "b", "c") + command("PING")),
        (TO_CLIENT, confirmed + b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"),
        (TO_CLIENT, b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n" * 5),
        run=run,
    )
    assert told(seen) == [("SUBSCRIBE", "ok", None), ("PING", "ok", None)]
    assert seen[0].sizes[1] == len(confirmed)
    assert run.pairing.unmatched == 0


def test_list_that_looks_like_a_message_is_a_reply_where_nothing_is_subscribed() -> None:
    looks = b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"
    assert ask(command("LRANGE", "l", 0, -1), looks).outcome == "ok"
    assert ask(command("LRANGE", "l", 0, -1), looks.replace(b"$7\r\nmessage", b"$9\r\nsubscribe")).outcome == "ok"


def test_subscriber_joined_late_gets_no_invented_roundtrips() -> None:
    run = Run(ALONE, from_start=False)
    message = b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n"
    for _ in range(3):
        run.feed(TO_CLIENT, message)
    run.feed(TO_SERVER, command("PING")).feed(TO_CLIENT, message + b"*2\r\n$4\r\npong\r\n$0\r\n\r\n" + message)
    assert told(run.end()) == [("PING", "ok", None)]
    assert run.pairing.unmatched == 0


def test_pushes_between_replies_are_no_replies() -> None:
    push = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n"
    run = Run(ALONE)
    seen = talk(
        (TO_SERVER, command("GET", "a") * 3), (TO_CLIENT, push + b"_\r\n" + push * 2 + b"$1\r\nx\r\n#t\r\n" + push), run=run
    )
    assert told(seen) == [("GET", "ok", None)] * 3
    assert [one.sizes[1] for one in seen] == [3, 7, 4]
    assert run.pairing.unmatched == 0


def test_replies_come_again_when_turning_them_off_was_refused() -> None:
    seen = talk(
        (TO_SERVER, command("CLIENT", "REPLY", "OFF")),
        (TO_CLIENT, b"-NOAUTH Authentication required.\r\n"),
        (TO_SERVER, command("AUTH", "x")),
        (TO_CLIENT, b"+OK\r\n"),
    )
    assert told(seen) == [("CLIENT", "one_way", None), ("AUTH", "ok", None)]


@pytest.mark.parametrize("words", [("BLPOP", "q", 0), ("XREAD", "BLOCK", 0, "STREAMS", "s", "$"), ("WAIT", 1, 0)])
def test_blocking_command_waits_longer_than_any_timeout(words: tuple[str, ...]) -> None:
    run = Run(ALONE).feed(TO_SERVER, command(*words) + command("PING"), START_NS)
    hour = 3_600_000_000_000
    run.conversation.expire(START_NS + hour)
    assert run.seen == []
    run.feed(TO_CLIENT, b"*-1\r\n+PONG\r\n", START_NS + hour)
    seen = run.end()
    assert told(seen) == [(words[0], "ok", None), ("PING", "ok", None)]
    assert seen[0].times[3] - seen[0].times[0] == hour


def test_other_command_times_out_and_its_late_answer_goes_to_nobody() -> None:
    run = Run(ALONE).feed(TO_SERVER, command("GET", "k"), START_NS)
    run.conversation.expire(START_NS + 40_000_000_000)
    run.feed(TO_SERVER, command("PING")).feed(TO_CLIENT, b"$-1\r\n+PONG\r\n")
    assert told(run.end()) == [("GET", "timeout", None), ("PING", "ok", None)]
    assert run.pairing.unmatched == 1


@pytest.mark.parametrize("first", [b"+CONTINUE\r\n", b"\n\n+FULLRESYNC 125082cc2a21054de7ca87b8867d3998a0f84fc9 0\r\n"])
def test_replication_stream_is_left_alone(first: bytes) -> None:
    run = Run(ALONE)
    seen = talk(
        (TO_SERVER, command("PSYNC", "?", -1)),
        (TO_CLIENT, first),
        (TO_CLIENT, b"$10\r\nREDIS0010\xfa" + command("SELECT", 0) + command("SET", "a", 1)),
        (TO_SERVER, command("REPLCONF", "ACK", 1)),
        (TO_CLIENT, b"\x00\xff garbage"),
        run=run,
    )
    assert told(seen) == [("PSYNC", "ok", None)]
    assert not run.reading.errors
    assert run.pairing.unmatched == 0


@pytest.mark.parametrize("said", [command("REPLCONF", "ACK", 1), command("SYNC", "more")])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_what_begins_replication_is_over_with_the_piece_that_says_so(said: bytes, size: int) -> None:
    run = Run(ALONE)
    for i in range(0, len(said), size):
        run.feed(TO_SERVER, said[i : i + size])
    assert [(one["operation"], one.outcome) for one in run.seen] == [(said.split(b"\r\n")[2].decode(), "one_way")]
    assert len(run.end()) == 1


def test_answer_that_begins_replication_may_come_in_pieces() -> None:
    run = Run(ALONE).feed(TO_SERVER, command("PSYNC", "?", -1)).feed(TO_CLIENT, b"+FULLRESYNC " + b"0" * 2000)
    assert told(run.seen) == [("PSYNC", "ok", None)]
    assert len(run.feed(TO_CLIENT, b"0 1\r\n$5\r\nREDIS").end()) == 1


def test_replication_joined_late_is_given_up_at_the_first_acknowledgement() -> None:
    run = Run(ALONE, from_start=False).feed(TO_CLIENT, command("SELECT", 0) + command("SET", "a", 1))
    run.feed(TO_SERVER, command("REPLCONF", "ACK", 1)).feed(TO_CLIENT, command("INCR", "a"))
    assert [one.outcome for one in run.seen] == ["lost", "lost"]
    assert len(run.end()) == 2
    assert list(run.reading.errors) == [("redis", "replication joined late")]


def test_refused_psync_is_an_ordinary_error() -> None:
    seen = talk(
        (TO_SERVER, command("PSYNC", "?", -1)),
        (TO_CLIENT, b"-NOMASTERLINK Can't\r\n"),
        (TO_SERVER, command("PING")),
        (TO_CLIENT, b"+PONG\r\n"),
    )
    assert told(seen) == [("PSYNC", "error", "NOMASTERLINK"), ("PING", "ok", None)]


def test_sync_has_no_reply_that_could_be_read() -> None:
    assert told(talk((TO_SERVER, command("SYNC")), (TO_CLIENT, b"\n$5\r\nREDIS"))) == [("SYNC", "one_way", None)]


def test_empty_commands_are_not_answered() -> None:
    seen = talk((TO_SERVER, b"*0\r\n*-1\r\n\r\n*-7\r\n" + command("PING")), (TO_CLIENT, b"+PONG\r\n"))
    assert told(seen) == [("PING", "ok", None)]


def test_error_before_any_command_is_unmatched() -> None:
    run = Run(ALONE)
    seen = talk((TO_CLIENT, b"-DENIED Redis is running in protected mode\r\n"), (TO_SERVER, command("PING")), run=run)
    assert told(seen) == [("PING", "closed", None)]
    assert run.pairing.unmatched == 1


# --- RESP3 types, by the specification's own examples ---


STREAMED = [
    b"$?\r\n;4\r\nHell\r\n;5\r\no wor\r\n;1\r\nd\r\n;0\r\n",
    b"$?\r\n;0\r\n",
    b"*?\r\n:1\r\n:2\r\n:3\r\n.\r\n",
    b"*?\r\n.\r\n",
    b"%?\r\n+a\r\n:1\r\n+b\r\n:2\r\n.\r\n",
    b"~?\r\n*?\r\n*?\r\n.\r\n.\r\n*2\r\n*?\r\n:1\r\n.\r\n:2\r\n.\r\n",
    b"*2\r\n*?\r\n$?\r\n;1\r\nx\r\n;0\r\n.\r\n%1\r\n+k\r\n*0\r\n",
    b"*?\r\n|1\r\n+ttl\r\n:3600\r\n:5\r\n.\r\n",
]
WHOLE = [
    b"+OK\r\n", b"+\r\n", b":-5\r\n", b":+5\r\n", b"$-1\r\n", b"$0\r\n\r\n", b"*-1\r\n", b"*0\r\n", b"_\r\n", b"#t\r\n",
    b",1.23\r\n", b",inf\r\n", b"(3492890328409238509324850943850943825024385\r\n",
    b"=15\r\ntxt:Some string\r\n", b"~2\r\n+a\r\n+b\r\n", b"%2\r\n+first\r\n:1\r\n+second\r\n*2\r\n:1\r\n#f\r\n", b"%0\r\n",
    b"*3\r\n:1\r\n*2\r\n$1\r\na\r\n*1\r\n*1\r\n_\r\n%1\r\n+k\r\n~1\r\n:1\r\n", b"*2\r\n-ERR inside\r\n+OK\r\n",
    b"*3\r\n:1\r\n:2\r\n|1\r\n+ttl\r\n:3600\r\n:3\r\n", b"*1\r\n" * 500 + b":1\r\n",
]


@pytest.mark.parametrize("reply", STREAMED + WHOLE)
def test_value_ends_where_it_ends(reply: bytes) -> None:
    events = exchange((TO_SERVER, command("X.Y") + command("PING")), (TO_CLIENT, reply + b"+PONG\r\n"))
    vector = Vector("value", "redis", events, ())
    seen = feed_recorded(lambda: Run(ALONE), vector)
    assert told(seen) == [("X.Y", "ok", None), ("PING", "ok", None)]
    assert seen[0].sizes[1] == len(reply)
    assert feed_bytewise(lambda: Run(ALONE), vector) == seen


@pytest.mark.parametrize("reply", [b"|1\r\n+key-popularity\r\n%2\r\n$1\r\na\r\n,0.1923\r\n$1\r\nb\r\n,0.0012\r\n"])
def test_attribute_before_a_reply_is_no_reply(reply: bytes) -> None:
    seen = talk((TO_SERVER, command("X.Y") + command("PING")), (TO_CLIENT, reply + b"*2\r\n:1\r\n:2\r\n" + reply + b"+PONG\r\n"))
    assert told(seen) == [("X.Y", "ok", None), ("PING", "ok", None)]


def values(depth: int = 3) -> st.SearchStrategy[bytes]:
    text = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12).map(str.encode)
    leaf = st.one_of(
        text.map(lambda t: b"+" + t + b"\r\n"),
        st.binary(max_size=40).map(lambda b: b"$%d\r\n%s\r\n" % (len(b), b)),
        st.integers(-(2**63), 2**63 - 1).map(lambda n: b":%d\r\n" % n),
        st.sampled_from(
            [b"$-1\r\n", b"*-1\r\n", b"_\r\n", b"#t\r\n", b",1.5\r\n", b"(123456789012345678901234\r\n", b"=7\r\ntxt:abc\r\n"]
        ),
    )
    if depth == 0:
        return leaf
    inner = values(depth - 1)
    return st.one_of(
        leaf,
        st.lists(inner, max_size=4).map(lambda v: b"*%d\r\n" % len(v) + b"".join(v)),
        st.lists(leaf, max_size=3).map(lambda v: b"~%d\r\n" % len(v) + b"".join(v)),
        st.lists(st.tuples(leaf, inner), max_size=3).map(lambda v: b"%%%d\r\n" % len(v) + b"".join(k + x for k, x in v)),
    )


@settings(max_examples=150)
@given(st.lists(values(), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_replies_are_counted_as_hiredis_counts_them(replies: list[bytes], source: random.Random) -> None:
    wire = b"".join(replies)
    reader = hiredis.Reader(errors="replace", replyError=lambda text: ("error", text))
    reader.feed(wire)
    count = 0
    while True:
        try:
            if reader.gets() is False and not reader.has_data():
                break
        except (hiredis.ProtocolError, TypeError):
            return  # it refuses what cannot be hashed as a key or an element
        count += 1
        if count == len(replies):
            break
    assert count == len(replies)
    run = Run(ALONE).feed(TO_SERVER, command("X.Y") * len(replies))
    at = 0
    while at < len(wire):
        size = source.choice((1, 2, 5, 30, 1000))
        run.feed(TO_CLIENT, wire[at : at + size])
        at += size
    seen = run.end()
    assert [one.sizes[1] for one in seen] == [len(reply) for reply in replies]


# --- hostile bytes ---


@pytest.mark.parametrize(
    ("request_bytes", "what"),
    [
        (b"*1\r\n:4\r\n", "not a command"),
        (b"*x\r\n", "not a count"),
        (b"*?\r\n", "not a count"),
        (b"*12345678901\r\n", "not a count"),
        (b"*2147483648\r\n", "too many arguments"),
        (b"*1\r\n$4294967297\r\n", "not a command"),
        (b"*2\r\n$3\r\nGET\r\n$4294967297\r\n", "not an argument"),
        (b"*2\r\n$3\r\nGET\r\n$-1\r\n", "not an argument"),
        (b"*2\r\n$3\r\nGET\r\n+k\r\n", "not an argument"),
        (b"*2\r\n$3\r\nGETxx$1\r\nk\r\n", "no end of a string"),
        (b"*2\r\n$3\r\nGET\r\n$1\r\nkxx", "no end of a string"),
        (b"\x00\x01\x02\r\n", "not a command"),
        (b"G\xcbT k\r\n", "not a command"),
    ],
)
def test_request_against_the_rules(request_bytes: bytes, what: str) -> None:
    assert errors((TO_SERVER, command("PING")), (TO_CLIENT, b"+PONG\r\n"), (TO_SERVER, request_bytes)) == [what]


@pytest.mark.parametrize(
    ("reply", "what"),
    [
        (b"OK\r\n", "not a value"),
        (b"+OK\n", "no end of a line"),
        (b":x\r\n", "not a number"),
        (b"$5\r\nhelloxx", "no end of a string"),
        (b"$4294967297\r\n", "not a value"),
        (b"$-\r\n", "not a value"),
        (b"$99999999999\r\n", "not a value"),
        (b"*2147483648\r\n", "not a value"),
        (b"*2147483647\r\n*2147483647\r\n", "too many values"),
        (b"%2147483647\r\n", "too many values"),
        (b"*1\r\n>1\r\n", "not a value"),
        (b".\r\n", "not a value"),
        (b"*1\r\n.\r\n", "not a value"),
        (b";4\r\n", "not a value"),
        (b"$?\r\n$4\r\n", "not a chunk"),
        (b"=-1\r\n", "not a value"),
        (b"*?\r\n" * 33, "nested too deep"),
    ],
)
def test_reply_against_the_rules(reply: bytes, what: str) -> None:
    assert errors((TO_SERVER, command("PING")), (TO_CLIENT, reply)) == [what]


def test_streamed_aggregates_to_the_limit() -> None:
    assert ask(command("X.Y"), b"*?\r\n" * 32 + b".\r\n" * 32).outcome == "ok"


def test_inline_line_to_the_limit() -> None:
    line = b"ECHO " + b"x" * (65536 - 7)
    start = (TO_SERVER, command("PING")), (TO_CLIENT, b"+PONG\r\n")
    assert errors(*start, (TO_SERVER, line), (TO_SERVER, b"\r\n")) == []
    assert errors(*start, (TO_SERVER, line + b"xx"), (TO_SERVER, b"\r\n")) == ["too big an inline request"]


def test_bad_bytes_lose_no_later_roundtrip() -> None:
    seen = talk(
        (TO_SERVER, command("GET", "a")),
        (TO_CLIENT, b"?????\r\n"),
        (TO_SERVER, command("GET", "b")),
        (TO_CLIENT, b"$1\r\nx\r\n"),
    )
    assert told(seen) == [("GET", "lost", None), ("GET", "ok", None)]


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.sampled_from((TO_SERVER, TO_CLIENT)),
            st.one_of(
                st.binary(max_size=60),
                values(2),
                st.lists(st.sampled_from([b"*", b"$", b"-1", b"?", b"3", b"\r\n", b"GET", b";", b".", b">", b"|", b"!", b"%",
                    b"PSYNC", b"CLIENT", b"REPLY", b"OFF"]), max_size=14).map(b"".join),
                st.lists(st.sampled_from(["MULTI", "EXEC", "SUBSCRIBE", "a", "CLIENT", "REPLY", "SKIP", "RESET", "HELLO",
                    "SELECT", "3", "SYNC"]), min_size=1, max_size=4).map(lambda w: command(*w)),
            ),
        ),
        max_size=14,
    ),
    st.booleans(),
)
def test_no_bytes_raise_anything_but_malformed(turns: list[tuple[int, bytes]], from_start: bool) -> None:
    run = Run(ALONE, from_start=from_start)
    for direction, payload in turns:
        run.feed(direction, payload)
    run.end()  # looks for `internal` among the errors


# --- what breaks the protocol, and the server's word for it ---

REFUSED = b"-ERR Protocol error: "


@pytest.mark.parametrize(
    ("broken", "reply", "name"),
    [
        (b"*abc\r\n", b"invalid multibulk length", "_OTHER"),
        (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$abc\r\n", b"invalid bulk length", "SET"),
        (b"*2\r\n$3\r\nGET\r\n:5\r\n", b"expected '$', got ':'", "GET"),
        (b"*1\r\n!3\r\nGET\r\n", b"expected '$', got '!'", "_OTHER"),
        (b"*2\r\n$-5\r\n", b"invalid bulk length", "_OTHER"),
        (b'SET k "unbalanced\r\n', b"unbalanced quotes in request", "SET"),
        (b"x" * 70_000, b"too big inline request", "_OTHER"),
        (b"*2\r\n$3\r\nGET\r\n$9999999999\r\n", b"invalid bulk length", "GET"),
        (b"*3\r\n$7\r\nEVALSHA\r\n$zz\r\n", b"invalid bulk length", "EVALSHA"),
    ],
    ids=lambda value: repr(value)[:30],
)
@pytest.mark.parametrize("first", [True, False])
def test_command_that_breaks_the_protocol_has_its_answer(broken: bytes, reply: bytes, name: str, first: bool) -> None:
    """Replies as redis-server 7.0.15 gave them to these very bytes; it closes then."""
    for cut in {0, len(broken) // 2, len(broken) - 1}:
        run = Run(PROTOCOLS)
        if not first:
            run.feed(TO_SERVER, command("PING")).feed(TO_CLIENT, b"+PONG\r\n")
        elif broken[:1] not in b"*S":
            continue  # what the flow is, is known by its answer; nothing is kept of so much before that
        for piece in (broken[:cut], broken[cut:]):
            if piece:
                run.feed(TO_SERVER, piece)
        answer = REFUSED + reply + b"\r\n"
        run.feed(TO_CLIENT, answer[:9]).feed(TO_CLIENT, answer[9:])
        seen = run.end()
        assert told(seen)[0 if first else 1 :] == [(name, "error", "ERR")]
        assert run.pairing.unmatched == 0
        assert all(one.times[0] <= one.times[1] <= one.times[2] for one in seen)


def test_pipeline_that_ends_in_a_broken_command() -> None:
    seen = talk(
        (TO_SERVER, command("PING") + command("GET", "k") + b"*x\r\n"),
        (TO_CLIENT, b"+PONG\r\n$-1\r\n" + REFUSED + b"invalid multibulk length\r\n"),
    )
    assert told(seen) == [("PING", "ok", None), ("GET", "ok", None), ("_OTHER", "error", "ERR")]


def test_broken_bytes_without_that_answer_are_no_command() -> None:
    """After a hole anything may stand where a command was thought to begin: only the server's word shows that one did."""
    run = Run(PROTOCOLS).feed(TO_SERVER, command("PING")).feed(TO_CLIENT, b"+PONG\r\n").feed(TO_SERVER, b"*x\r\n")
    run.feed(TO_SERVER, command("GET", "k")).feed(TO_CLIENT, b"$-1\r\n")
    assert told(run.end()) == [("PING", "ok", None), ("GET", "ok", None)]
    assert (run.pairing.unmatched, run.reading.errors) == (0, {("redis", "not a count"): 1})


# --- detection ---


@pytest.mark.parametrize(
    "payload",
    [
        command("GET", "k"),
        command("hello", 3),
        command("FT.SEARCH", "i", "q"),
        b"*2\r\n$3\r\nGET\r\n$100000\r\nxxx",
    ],
)
def test_first_command_decides(payload: bytes) -> None:
    assert Run(ALONE).feed(TO_SERVER, payload).reading.detected


@pytest.mark.parametrize(
    ("payload", "rest"),
    [
        (command("STRANGE", "k"), b""),
        (command("subscribe", "k"), b""),
        (b"*2\r\n$3", b"\r\nGET\r\n$1\r\nk\r\n"),
        (b"*", b"1\r\n$4\r\nPING\r\n"),
        (b"PING\r\n", b""),
        (b"set a b\r\n", b""),
        (b"AUT", b"H x\r\n"),
    ],
)
def test_what_others_could_say_as_well_waits_for_more(payload: bytes, rest: bytes) -> None:
    run = Run(ALONE).feed(TO_SERVER, payload)
    assert not run.reading.detected
    run.feed(TO_SERVER, rest).feed(TO_CLIENT, b"+PONG\r\n")
    assert run.reading.detected
    assert [one.outcome for one in run.end()] == ["ok"]


@pytest.mark.parametrize(
    ("payload", "answer"),
    [
        (b"+PONG\r\n", True),
        (b"$5\r\nhello\r\n", True),
        (b"$500\r\nhel", True),
        (b"$-1\r\n", True),
        (b":1\r\n", True),
        (b"*2\r\n$1\r\na\r\n$1\r\nb\r\n", True),
        (b"*-1\r\n", True),
        (b"%7\r\n$6\r\nserver\r\n", True),
        (b"-NOAUTH Authentication required.\r\n", True),
        (b"-ERR unknown command 'X'\r\n", True),
        (b"+OK\r\n:3\r\n", True),
        (b"+OK\r\n", None),
        (b"+OK POP3 server ready\r\n", None),
        (b"-ERR no such mailbox\r\n", None),
        (b"+OK\r\n-ERR 'Authorization Violation'\r\n", None),
        (command("GET", "k"), None),  # a request, seen with the roles the other way round
        (b"220 mail.test ESMTP\r\n", False),
        (b"SSH-2.0-OpenSSH_9.2\r\n", False),
        (b"HTTP/1.1 200 OK\r\n", False),
        (b"VALUE k 0 1\r\n", False),
        (b"STORED\r\n", False),
        (b'INFO {"server_id":"x"}\r\n', False),
        (b"* OK IMAP4rev1\r\n", False),
        (b"$5\r\nhelloxx", False),
        (b":irc.test 001 nick :Welcome\r\n", False),
        (b"+\x00\r\n", False),
        (b"\x4a\x00\x00\x00\x0a8.0.36", False),
    ],
)
def test_first_bytes_of_a_server(payload: bytes, answer: bool | None) -> None:
    """None: more is wanted."""
    run = Run(ALONE).feed(TO_CLIENT, payload)
    assert (True if run.reading.detected else False if run.reading.bytes_set_aside else None) is answer


LOOKALIKES = {
    "http": [(TO_SERVER, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), (TO_CLIENT, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")],
    "http with a redis word": [(TO_SERVER, b"SET a HTTP/1.1\r\n\r\n"), (TO_CLIENT, b"HTTP/1.1 400 Bad Request\r\n\r\n")],
    "memcached": [
        (TO_SERVER, b"set k 0 0 5\r\nhello\r\n"),
        (TO_CLIENT, b"STORED\r\n"),
        (TO_SERVER, b"get k\r\n"),
        (TO_CLIENT, b"VALUE k 0 5\r\nhello\r\nEND\r\n"),
        (TO_SERVER, b"incr n 1\r\n"),
        (TO_CLIENT, b"5\r\n"),
    ],
    "smtp": [
        (TO_CLIENT, b"220 mail.test ESMTP\r\n"),
        (TO_SERVER, b"EHLO a.test\r\n"),
        (TO_CLIENT, b"250-mail.test\r\n250 AUTH PLAIN\r\n"),
        (TO_SERVER, b"AUTH PLAIN x\r\n"),
        (TO_CLIENT, b"235 ok\r\n"),
        (TO_SERVER, b"QUIT\r\n"),
    ],
    "pop3": [
        (TO_CLIENT, b"+OK ready\r\n"),
        (TO_SERVER, b"USER a\r\n"),
        (TO_CLIENT, b"+OK\r\n"),
        (TO_SERVER, b"AUTH x\r\n"),
        (TO_CLIENT, b"-ERR no\r\n"),
        (TO_SERVER, b"QUIT\r\n"),
        (TO_CLIENT, b"+OK bye\r\n"),
    ],
    "nats": [
        (TO_CLIENT, b'INFO {"server_id":"x"}\r\n'),
        (TO_SERVER, b"CONNECT {}\r\nPING\r\n"),
        (TO_CLIENT, b"PONG\r\n"),
        (TO_SERVER, b"PING\r\n"),
        (TO_CLIENT, b"PONG\r\n"),
    ],
    "ssh": [
        (TO_SERVER, b"SSH-2.0-OpenSSH_9.2\r\n"),
        (TO_CLIENT, b"SSH-2.0-OpenSSH_9.2\r\n"),
        (TO_SERVER, b"\x00\x00\x05\xdc\x07\x14"),
    ],
    "tls": [(TO_SERVER, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), (TO_CLIENT, b"\x16\x03\x03\x00\x7a\x02")],
    "no size": [(TO_SERVER, b"*2\r\nGET\r\n"), (TO_CLIENT, b"what?\r\n")],
    "no name": [(TO_SERVER, b"*2\r\n$3\r\nG\x00T\r\n"), (TO_CLIENT, b"what?\r\n")],
}


@pytest.mark.parametrize("from_start", [True, False])
@pytest.mark.parametrize("name", LOOKALIKES)
def test_lookalike_is_refused(name: str, from_start: bool) -> None:
    if name == "no name" and not from_start:
        return  # as a server's list of values it is right
    run = Run(ALONE, from_start=from_start)
    for direction, payload in LOOKALIKES[name]:
        run.feed(direction, payload)
    assert not run.reading.detected


@pytest.mark.parametrize("words", [("GET", "k"), ("CLIENT", "SETINFO", "LIB-NAME", "x")])
def test_joined_late_from_the_other_side_the_roles_are_swapped(words: tuple[str, ...]) -> None:
    run = Run(ALONE, from_start=False)
    run.feed(TO_CLIENT, command(*words)).feed(TO_SERVER, b"+OK\r\n")
    assert run.connection.swapped
    run.feed(TO_CLIENT, command("PING")).feed(TO_SERVER, b"+PONG\r\n")
    assert [one["operation"] for one in run.seen + run.end()][-1] == "PING"


def test_random_bytes_are_hardly_ever_redis() -> None:
    check_random_bytes(ALONE)


# --- what is emitted ---


def emitted(vector: Vector, vantage: int) -> tuple[bytes, list[Any]]:
    """Every byte of spans, and the series, of a vector."""
    spans = Spans(Redactor())
    metrics = Metrics(PROTOCOLS, emitted=("redis/server",))
    telemetry = Telemetry(metrics, spans, Sampler(), Identities())
    run = Run((REDIS,), vantage=vantage)
    pairing = Pairing(telemetry)
    conversation = Conversation(Reading(pairing, Detector((REDIS,))), run.connection, True)
    for event in vector.events:
        if event.payload is None:
            conversation.close(event.direction, event.ts_ns)
        else:
            conversation.feed(event.direction, event.payload, 0, len(event.payload), event.ts_ns)
    conversation.end(5, event.ts_ns)
    lent, count = spans.lend()
    assert count == len(vector.expected)
    return bytes(lent), metrics.durations()


@pytest.mark.parametrize("vantage", [0, 1])
@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_secrets_are_in_nothing_that_is_emitted(vector: Vector, vantage: int) -> None:
    wire = b"".join(event.payload or b"" for event in vector.events)
    if "secret" in vector.name or vector.name.startswith(("redis-py", "hiredis")):
        assert SECRET.encode() in wire
    data, durations = emitted(vector, vantage)
    assert SECRET.encode() not in data
    assert SECRET not in repr(durations)


def test_metric_of_the_clients_side() -> None:
    vector = next(one for one in VECTORS if one.name == "redis-cli")
    (metric,) = emitted(vector, CLIENT_SIDE)[1]
    assert (metric.name, metric.unit) == ("db.client.operation.duration", "s")
    assert metric.bounds == (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
    wrong = [dict(point.attributes) for point in metric.points if dict(point.attributes).get("error.type") == "WRONGTYPE"]
    assert wrong == [
        {
            "db.system.name": "redis",
            "db.operation.name": "LPUSH",
            "db.namespace": "0",
            "db.response.status_code": "WRONGTYPE",
            "error.type": "WRONGTYPE",
            "server.address": "192.0.2.2",
            "server.port": 80,
        }
    ]
    assert sum(point.count for point in metric.points) == len(vector.expected)


def test_metric_of_the_servers_side_is_our_own() -> None:
    vector = next(one for one in VECTORS if one.name == "redis-cli")
    (metric,) = emitted(vector, 0)[1]
    assert metric.name == "pcap_receiver.db.server.operation.duration"
    assert all(dict(point.attributes)["pcap_receiver.vantage"] == "server" for point in metric.points)


def test_database_is_unknown_when_the_answer_to_select_is_lost() -> None:
    run = Run(ALONE).feed(TO_SERVER, command("SELECT", 7))
    run.gap(TO_CLIENT, 5)
    seen = talk((TO_SERVER, command("GET", "k")), (TO_CLIENT, b"$-1\r\n"), run=run)
    assert [(one.outcome, one["namespace"]) for one in seen] == [("lost", "7"), ("ok", None)]


def test_command_cut_in_its_name_is_not_taken_for_an_answer() -> None:
    run = Run(ALONE, from_start=False).feed(TO_SERVER, b"*2\r\n$9\r\nSU")
    assert not run.reading.detected and not run.connection.swapped


def test_name_of_an_array_that_came_in_pieces_is_no_command_in_a_line() -> None:
    run = Run(ALONE, from_start=False)
    seen = talk(
        (TO_CLIENT, b"$1\r\na\r\n"),
        (TO_SERVER, b"*3\r\n$6\r\n"),
        (TO_SERVER, b"object\r\n"),
        (TO_SERVER, b"$8\r\nencoding\r\n$1\r\na\r\n"),
        (TO_CLIENT, b"$3\r\nint\r\n"),
        run=run,
    )
    assert seen == []
