"""PostgreSQL: vectors from real servers and clients, then each rule of the protocol and each attack by name.

Expected values come from the clients' own accounts in the vectors, the documentation of the protocol, and what PostgreSQL 15 was
seen to do.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from receiver.l7.conversation import Conversation
from receiver.l7.detect import Detector
from receiver.l7.matcher import Pairing
from receiver.l7.postgresql import PostgresqlDecoder, Tables
from receiver.l7.reading import Reading
from receiver.l7.registry import PROTOCOLS
from receiver.telemetry.metrics import Metrics
from receiver.telemetry.pipeline import Telemetry
from receiver.telemetry.redact import Redactor
from receiver.telemetry.sampling import Sampler
from receiver.telemetry.spans import Identities, Spans
from receiver.wire.records import Protocol
from tests.l7.harness import (
    CLIENT_SIDE,
    START_NS,
    TO_CLIENT,
    TO_SERVER,
    Damage,
    Event,
    Run,
    Seen,
    Vector,
    check_vector,
    exchange,
    feed_recorded,
    feed_with_gap,
    load_all,
)

TABLES = Tables()
ALONE = (Protocol("postgresql", "postgresql", partial(PostgresqlDecoder, TABLES), ports=(5432,), client_only=True),)
VECTORS = load_all("postgresql")
SECRET = "hunter2-never-shown"  # as in tests/vectors/record_postgresql.py

Turn = tuple[int, bytes | None]


# --- messages by hand ---


def message(kind: bytes, *fields: bytes) -> bytes:
    body = b"".join(fields)
    return kind + struct.pack(">I", 4 + len(body)) + body


def startup(version: int = 196608, **parameters: str) -> bytes:
    body = b"".join(word.encode() + b"\x00" for pair in parameters.items() for word in pair) + b"\x00"
    return struct.pack(">II", 8 + len(body), version) + body


def first(code: int, more: bytes = b"") -> bytes:
    return struct.pack(">II", 8 + len(more), code) + more


def query(text: str | bytes) -> bytes:
    return message(b"Q", text.encode() if isinstance(text, str) else text, b"\x00")


def parse(text: str, name: str = "") -> bytes:
    return message(b"P", name.encode(), b"\x00", text.encode(), b"\x00\x00\x00")


def bind(name: str = "", portal: str = "", *values: bytes) -> bytes:
    sent = struct.pack(">H", len(values)) + b"".join(struct.pack(">I", len(value)) + value for value in values)
    return message(b"B", portal.encode(), b"\x00", name.encode(), b"\x00\x00\x00", sent, b"\x00\x00")


def execute(portal: str = "", rows: int = 0) -> bytes:
    return message(b"E", portal.encode(), b"\x00", struct.pack(">I", rows))


def describe(kind: str = "P", name: str = "") -> bytes:
    return message(b"D", kind.encode(), name.encode(), b"\x00")


def close(kind: str, name: str) -> bytes:
    return message(b"C", kind.encode(), name.encode(), b"\x00")


SYNC, FLUSH, TERMINATE = message(b"S"), message(b"H"), message(b"X")
PARSED, BOUND, CLOSED, NO_DATA, SUSPENDED, EMPTY = (message(kind) for kind in (b"1", b"2", b"3", b"n", b"s", b"I"))
AUTHENTICATED = message(b"R", bytes(4))


def ready(status: bytes = b"I") -> bytes:
    return message(b"Z", status)


def done(tag: str) -> bytes:
    return message(b"C", tag.encode(), b"\x00")


def failed(code: str, severity: str = "ERROR", text: str = SECRET) -> bytes:
    fields = {"S": severity, "V": severity, "C": code, "M": text}
    return message(b"E", *(kind.encode() + value.encode() + b"\x00" for kind, value in fields.items()), b"\x00")


def columns(*names: str) -> bytes:
    each = b"".join(name.encode() + b"\x00" + struct.pack(">IHIhiH", 0, 0, 25, -1, -1, 0) for name in names)
    return message(b"T", struct.pack(">H", len(names)), each)


def row(*values: bytes) -> bytes:
    return message(b"D", struct.pack(">H", len(values)), *(struct.pack(">I", len(value)) + value for value in values))


LOGIN: list[Turn] = [
    (TO_SERVER, startup(user="lab", database="shop")),
    (TO_CLIENT, AUTHENTICATED + message(b"S", b"server_version\x0018.1\x00") + message(b"K", bytes(8)) + ready()),
]


def talk(*turns: Turn, run: Run | None = None, login: bool = True) -> list[Seen]:
    run = run or Run(ALONE)
    for event in exchange(*(LOGIN if login else []), *turns):
        run.event(event)
    seen = run.end()
    assert not run.reading.errors
    return seen[1:] if login else seen


def told(seen: list[Seen]) -> list[tuple[Any, ...]]:
    """Name, outcome, status and rows of each."""
    return [(one["operation"] or first_word(one), one.outcome, one["status"], one["db.response.returned_rows"]) for one in seen]


def first_word(one: Seen) -> str | None:
    return one["summary"].split()[0] if one["summary"] else None


# --- vectors ---


def plain(vector: Vector) -> Vector:
    """Without the tags, which the harness does not know."""
    kept: list[Mapping[str, Any]] = [{name: value for name, value in one.items() if name != "tag"} for one in vector.expected]
    return replace(vector, expected=kept)


def resumes(seen: Seen) -> bool:
    """Whether the way is found again where this one begins: where no Sync came since the hole, a Parse may stand before a Bind."""
    return seen.request.operation != "BIND"


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_vector(vector: Vector) -> None:
    check_vector(ALONE, plain(vector), resumes)


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_summary_of_a_vector_begins_as_the_clients_tags_do(vector: Vector) -> None:
    seen = feed_recorded(lambda: Run(ALONE), vector)
    wanted = [(one["tag"].split() or [None])[0] for one in vector.expected if "tag" in one]
    words = {"END": "COMMIT"}  # what pgbench's scripts call it
    summaries = [first_word(one) for one, expected in zip(seen, vector.expected, strict=True) if "tag" in expected]
    assert [words.get(word.upper(), word.upper()) if word else None for word in summaries] == wanted


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_vector_is_found_among_all_protocols_and_nothing_is_left_over(vector: Vector) -> None:
    run = Run(PROTOCOLS)
    for event in vector.events:
        run.event(event)
    seen = run.end()
    assert {one.protocol for one in seen} == {"postgresql"}
    assert len(seen) == len(vector.expected)
    assert not run.reading.errors
    assert run.pairing.unmatched == 0


def test_without_detail_there_are_no_attributes() -> None:
    for vector in VECTORS:
        seen = feed_recorded(partial(Run, ALONE, detail=False), vector)
        whole = feed_recorded(partial(Run, ALONE), vector)
        assert [(one["summary"], one.outcome, one["status"]) for one in seen] == [
            (one["summary"], one.outcome, one["status"]) for one in whole
        ]
        assert all(not one.request.attributes and not (one.response and one.response.attributes) for one in seen)


# --- nothing is paired with what it does not belong to ---


def numbered(extended: bool) -> Vector:
    """Each pair can be told from every other by its code or its rows; some in pipelines, in many segments."""
    turns: list[Turn] = list(LOGIN)
    at = 0
    for batch in (1, 1, 4, 1, 3, 1, 9, 1, 1, 2, 1):
        requests, answers = b"", b""
        for i in range(at, at + batch):
            if extended:
                requests += parse(f"SELECT a{i}") + bind() + describe() + execute() + SYNC
                answers += PARSED + BOUND
            else:
                requests += query(f"SELECT a{i}")
            rows = columns("n") + row(b"x" * i) * i
            answers += (failed(f"A{i:04d}") if i % 3 else rows + done(f"SELECT {i}")) + ready()
        turns += [(TO_SERVER, requests[i : i + 90]) for i in range(0, len(requests), 90)]
        turns += [(TO_CLIENT, answers[i : i + 170]) for i in range(0, len(answers), 170)]
        at += batch
    return Vector("numbered", "postgresql", exchange(*turns), ())


def holes(vector: Vector) -> Iterator[Damage]:
    for index, event in enumerate(vector.events):
        size = len(event.payload or b"")
        for at in range(0, size, 3):
            yield Damage(index, at, size - at)
            yield Damage(index, at, min(7, size - at), told=at % 4 == 0)


@pytest.mark.parametrize("extended", [False, True])
def test_hole_never_pairs_strangers_and_reading_goes_on(extended: bool) -> None:
    vector = numbered(extended)
    truth = feed_recorded(partial(Run, ALONE), vector)
    assert len(truth) == 26
    known = {(one.times[0], one.outcome, one["status"], one["db.response.returned_rows"]) for one in truth}
    texts = {(one.times[0], one["db.query.text"]) for one in truth}
    last = truth[-1]
    for damage in holes(vector):
        seen = feed_with_gap(partial(Run, ALONE), vector, damage)
        for one in seen:
            if one.paired:
                assert (one.times[0], one.outcome, one["status"], one["db.response.returned_rows"]) in known, (damage, one)
            if one["db.query.text"] is not None:
                assert (one.times[0], one["db.query.text"]) in texts, (damage, one)
        if vector.events[damage.index].ts_ns < last.times[0]:
            assert any(one.times[0] == last.times[0] and one["status"] == last["status"] for one in seen), damage


def pipelines() -> Vector:
    """Under one Sync each; errors in some, and what they skip."""
    turns: list[Turn] = list(LOGIN)
    at = 0
    for batch, wrong in ((3, 1), (1, -1), (4, 0), (1, -1), (5, 4), (1, 0), (1, -1), (6, 2), (1, -1)):
        for i in range(at, at + batch):
            turns.append((TO_SERVER, parse(f"SELECT {i}") + bind() + execute() + (SYNC if i == at + batch - 1 else b"")))
            if wrong < 0 or i - at < wrong:
                turns.append((TO_CLIENT, PARSED + BOUND + row(b"x") * i + done(f"SELECT {i}")))
            elif i - at == wrong:
                turns.append((TO_CLIENT, PARSED + failed(f"A{i:04d}")))
        turns.append((TO_CLIENT, ready()))
        at += batch
    return Vector("pipelines", "postgresql", exchange(*turns), ())


def test_hole_in_a_pipeline_that_fails_never_pairs_strangers() -> None:
    vector = pipelines()
    truth = feed_recorded(partial(Run, ALONE), vector)
    known = {(one.times[0], one.outcome, one["status"], one["error_type"], one["db.response.returned_rows"]) for one in truth}
    assert len(known) == len(truth) == 24
    assert [one["error_type"] for one in truth].count("aborted") == 1 + 3 + 3
    for damage in holes(vector):
        for one in feed_with_gap(partial(Run, ALONE), vector, damage):
            if one.paired:
                pair = (one.times[0], one.outcome, one["status"], one["error_type"], one["db.response.returned_rows"])
                assert pair in known, (damage, one)
    for index in range(1, len(vector.events)):
        run = Run(ALONE, from_start=False)
        for event in vector.events[index:]:
            run.event(event)
        for one in run.end():
            if one.paired:
                pair = (one.times[0], one.outcome, one["status"], one["error_type"], one["db.response.returned_rows"])
                assert pair in known, (index, one)


# --- rules ---


def test_simple_query_is_a_roundtrip_from_its_first_to_its_last_byte() -> None:
    run = Run(ALONE)
    for direction, payload in LOGIN:
        assert payload is not None
        run.feed(direction, payload, START_NS)
    run.feed(TO_SERVER, query("SELECT name FROM shop"), START_NS + 5)
    run.feed(TO_CLIENT, columns("name"), START_NS + 10).feed(TO_CLIENT, row(b"x") * 3, START_NS + 20)
    run.feed(TO_CLIENT, done("SELECT 3") + ready(), START_NS + 30)
    one = run.end()[1]
    assert one.times == (START_NS + 5, START_NS + 5, START_NS + 10, START_NS + 30)
    assert (one.outcome, one["namespace"], one["db.response.returned_rows"]) == ("ok", "shop", 3)


def test_database_is_named_as_the_user_where_nothing_else_is_said() -> None:
    (one,) = talk((TO_SERVER, startup(user="lab")), (TO_CLIENT, AUTHENTICATED + ready()), login=False)
    assert told([one]) == [("LOGIN", "ok", None, None)]
    assert one["namespace"] == "lab"


def test_extended_query_begins_with_its_first_message() -> None:
    for turns in ([parse("SELECT 1") + bind(), execute() + SYNC], [parse("SELECT 1"), bind(), execute(), SYNC]):
        seen = talk(*((TO_SERVER, turn) for turn in turns), (TO_CLIENT, PARSED + BOUND + row(b"1") + done("SELECT 1") + ready()))
        assert told(seen) == [("SELECT", "ok", None, 1)]
        assert seen[0].times[0] == START_NS + 2_000_000


def test_prepare_is_a_roundtrip_of_its_own_and_each_execution_is_one() -> None:
    seen = talk(
        (TO_SERVER, parse("SELECT 1", "s") + describe("S", "s") + SYNC),
        (TO_CLIENT, PARSED + message(b"t", b"\x00\x00") + columns("a") + ready()),
        (TO_SERVER, bind("s") + execute() + SYNC),
        (TO_CLIENT, BOUND + row(b"1") + done("SELECT 1") + ready()),
        (TO_SERVER, bind("s") + execute() + SYNC + bind("s") + execute() + SYNC),
        (TO_CLIENT, (BOUND + row(b"1") + row(b"1") + done("SELECT 2") + ready()) * 2),
        (TO_SERVER, close("S", "s") + SYNC),
        (TO_CLIENT, CLOSED + ready()),
    )
    assert told(seen) == [("PREPARE", "ok", None, None), ("SELECT", "ok", None, 1), *[("SELECT", "ok", None, 2)] * 2]


def test_portal_that_is_suspended_is_fetched_again() -> None:
    seen = talk(
        (TO_SERVER, parse("SELECT 1") + bind("", "p") + execute("p", 2) + FLUSH),
        (TO_CLIENT, PARSED + BOUND + row(b"1") * 2 + SUSPENDED),
        (TO_SERVER, execute("p", 2) + FLUSH),
        (TO_CLIENT, row(b"1") * 2 + SUSPENDED),
        (TO_SERVER, execute("p", 2) + close("P", "p") + SYNC),
        (TO_CLIENT, row(b"1") + done("SELECT 1") + CLOSED + ready()),
    )
    assert [(one.outcome, one["db.response.returned_rows"]) for one in seen] == [("ok", 2), ("ok", 2), ("ok", 1)]


def test_portal_that_is_bound_before_the_batch_before_was_answered_is_kept() -> None:
    """As pgjdbc does: `ready, no transaction` is of the batch before, and ends none of the portals of this one."""
    first = parse("SELECT 1 FROM t", "s") + bind("s", "p") + execute("p", 2) + SYNC
    seen = talk(
        (TO_SERVER, close("S", "old") + SYNC + query("BEGIN") + first),
        (TO_CLIENT, CLOSED + ready()),
        (TO_CLIENT, done("BEGIN") + ready(b"T")),
        (TO_CLIENT, PARSED + BOUND + row(b"1") * 2 + SUSPENDED + ready(b"T")),
        (TO_SERVER, execute("p", 2) + SYNC),
        (TO_CLIENT, row(b"1") * 2 + SUSPENDED + ready(b"T")),
    )
    assert [one["summary"] for one in seen] == ["BEGIN", "SELECT t", "SELECT t"]


def test_error_skips_the_rest_of_its_batch_and_nothing_behind() -> None:
    three = (parse("SELECT 1") + bind() + execute()) * 3 + SYNC
    seen = talk(
        (TO_SERVER, three + three),
        (TO_CLIENT, PARSED + BOUND + row(b"1") + done("SELECT 1") + PARSED + failed("22012") + ready()),
        (TO_CLIENT, (PARSED + BOUND + row(b"1") + done("SELECT 1")) * 3 + ready()),
    )
    assert [(one.outcome, one["status"], one["error_type"]) for one in seen] == [
        ("ok", None, None),
        ("error", "22012", "22012"),
        ("error", None, "aborted"),
        *[("ok", None, None)] * 3,
    ]


def test_error_of_the_commit_belongs_to_the_sync() -> None:
    seen = talk(
        (TO_SERVER, parse("INSERT") + bind() + execute() + SYNC),
        (TO_CLIENT, PARSED + BOUND + done("INSERT 0 1") + failed("23503") + ready()),
        (TO_SERVER, query("SELECT 1")),
        (TO_CLIENT, row(b"1") + done("SELECT 1") + ready()),
    )
    assert told(seen) == [("INSERT", "ok", None, None), ("SYNC", "error", "23503", None), ("SELECT", "ok", None, 1)]


def test_statements_behind_what_is_seen_of_a_long_query_are_told_by_their_tags() -> None:
    text = "SELECT '" + SECRET * 400 + "'; UPDATE a SET b = 1; DELETE FROM a"
    seen = talk(
        (TO_SERVER, query(text)),
        (TO_CLIENT, columns("a") + row(b"1") + done("SELECT 1") + done("UPDATE 3") + failed("42P01") + ready()),
        (TO_SERVER, query("SELECT 1")),
        (TO_CLIENT, columns("a") + row(b"1") + done("SELECT 1") + ready()),
    )
    assert [(one.outcome, one["status"]) for one in seen] == [("ok", None), ("ok", None), ("error", "42P01"), ("ok", None)]
    assert [first_word(one) for one in seen][1] == "UPDATE"


def test_each_statement_of_a_query_is_a_roundtrip_and_an_error_ends_the_rest() -> None:
    seen = talk(
        (TO_SERVER, query("SELECT 1; UPDATE a SET b = ';'; SELECT 2; ")),
        (TO_CLIENT, columns("a") + row(b"1") + done("SELECT 1") + failed("42P01") + ready()),
    )
    assert [(first_word(one), one.outcome, one["error_type"]) for one in seen] == [
        ("SELECT", "ok", None),
        ("UPDATE", "error", "42P01"),
        ("SELECT", "error", "aborted"),
    ]


def test_statements_in_one_query_beyond_the_cap_are_told_by_their_tags() -> None:
    run = Run(ALONE)
    seen = talk((TO_SERVER, query("SELECT 1;" * 300)), (TO_CLIENT, done("SELECT 0") * 300 + ready()), run=run)
    assert [one.outcome for one in seen] == ["ok"] * 300
    assert run.reading.limits == {"postgresql_statements": 1}


def test_copy_in_and_out_are_one_roundtrip_each_however_many_rows() -> None:
    rows = message(b"d", b"1\t" + SECRET.encode() + b"\n") * 50
    seen = talk(
        (TO_SERVER, query("COPY a FROM STDIN")),
        (TO_CLIENT, message(b"G", bytes(3))),
        (TO_SERVER, rows),
        (TO_SERVER, rows + message(b"c")),
        (TO_CLIENT, done("COPY 100") + ready()),
        (TO_SERVER, query("COPY a TO STDOUT")),
        (TO_CLIENT, message(b"H", bytes(3)) + rows),
        (TO_CLIENT, message(b"c") + done("COPY 50") + ready()),
        (TO_SERVER, query("COPY a FROM STDIN")),
        (TO_CLIENT, message(b"G", bytes(3))),
        (TO_SERVER, message(b"f", SECRET.encode() + b"\x00")),
        (TO_CLIENT, failed("57014") + ready()),
    )
    assert told(seen)[:2] == [("COPY", "ok", None, None)] * 2
    assert (seen[2].outcome, seen[2]["status"]) == ("error", "57014")


def test_copy_in_of_the_extended_protocol_has_a_sync_that_nobody_answers() -> None:
    seen = talk(
        (TO_SERVER, parse("COPY a FROM STDIN") + bind() + execute() + SYNC),
        (TO_CLIENT, PARSED + BOUND + message(b"G", bytes(3))),
        (TO_SERVER, message(b"d", b"1\n") + message(b"c") + SYNC),
        (TO_CLIENT, done("COPY 1") + ready()),
        (TO_SERVER, parse("SELECT 1") + bind() + execute() + SYNC),
        (TO_CLIENT, PARSED + BOUND + failed("22012") + ready()),
    )
    assert [(one.outcome, one["status"]) for one in seen] == [("ok", None), ("error", "22012")]


def test_what_comes_without_being_asked_for_is_no_answer() -> None:
    news = message(b"A", bytes(4), b"news\x00", SECRET.encode(), b"\x00")
    notice = message(b"N", b"SNOTICE\x00C00000\x00M" + SECRET.encode() + b"\x00\x00")
    changed = message(b"S", b"TimeZone\x00UTC\x00")
    run = Run(ALONE)
    seen = talk(
        (TO_CLIENT, news + notice + changed),
        (TO_SERVER, query("SELECT 1")),
        (TO_CLIENT, notice + columns("a") + news + row(b"1") + changed + done("SELECT 1") + news + ready() + notice),
        (TO_CLIENT, failed("57P01", "FATAL")),
        run=run,
    )
    assert told(seen) == [("SELECT", "ok", None, 1)]
    assert run.pairing.unmatched == 0


@pytest.mark.parametrize("code", ["00000", "01000"])
def test_classes_that_are_no_errors(code: str) -> None:
    seen = talk((TO_SERVER, query("SELECT 1")), (TO_CLIENT, failed(code) + ready()))
    assert told(seen) == [("SELECT", "ok", code, None)]


@pytest.mark.parametrize("code", ["4200", "42p01", "42P012", "", "\u00e4\u00e4\u00e4"])
def test_code_that_is_none_is_not_shown(code: str) -> None:
    seen = talk((TO_SERVER, query("SELECT 1")), (TO_CLIENT, failed(code) + ready()))
    assert (seen[0].outcome, seen[0]["status"], seen[0]["error_type"]) == ("error", None, "_OTHER")


def test_requests_for_encryption_are_answered_by_a_byte() -> None:
    answer = AUTHENTICATED + ready()
    for code in (80877103, 80877104):
        seen = talk((TO_SERVER, first(code)), (TO_CLIENT, b"N"), (TO_SERVER, startup(user="a")), (TO_CLIENT, answer), login=False)
        assert told(seen) == [("LOGIN", "ok", None, None)]
    both = [(TO_SERVER, first(80877104)), (TO_CLIENT, b"N"), (TO_SERVER, first(80877103)), (TO_CLIENT, b"N")]
    seen = talk(*both, (TO_SERVER, startup(user="a")), (TO_CLIENT, answer), login=False)
    assert told(seen) == [("LOGIN", "ok", None, None)]


def test_what_is_encrypted_is_tls_from_there_on() -> None:
    from tests.l7.test_tls import hello

    run = Run(PROTOCOLS)
    run.feed(TO_SERVER, first(80877103)).feed(TO_CLIENT, b"S")
    run.feed(TO_SERVER, hello()).feed(TO_CLIENT, b"\x16\x03\x03" + bytes(90))
    assert run.end() == [] and not run.reading.errors
    assert run.reading.detected == {"postgresql": 1, "tls": 1}
    run = Run(ALONE)
    run.feed(TO_SERVER, first(80877104)).feed(TO_CLIENT, b"G").feed(TO_SERVER, b"\x00\x00\x10\x00" + bytes(900))
    assert run.end() == [] and not run.reading.errors


@pytest.mark.parametrize("key", [4, 32, 256])
def test_cancel_request_has_a_connection_of_its_own_and_no_answer(key: int) -> None:
    seen = talk((TO_SERVER, first(80877102, bytes(4 + key))), (TO_SERVER, None), login=False)
    assert told(seen) == [("CANCEL", "one_way", None, None)]


def test_login_is_negotiated_down_and_goes_on() -> None:
    seen = talk(
        (TO_SERVER, startup(196610, user="lab", **{"_pq_.new": "1"})),
        (TO_CLIENT, message(b"v", struct.pack(">II", 0, 1), b"_pq_.new\x00")),
        (TO_CLIENT, message(b"R", struct.pack(">I", 10), b"SCRAM-SHA-256\x00\x00")),
        (TO_SERVER, message(b"p", b"SCRAM-SHA-256\x00", struct.pack(">I", 5), b"n,,n=")),
        (TO_CLIENT, message(b"R", struct.pack(">I", 11), b"r=x")),
        (TO_SERVER, message(b"p", SECRET.encode())),
        (TO_CLIENT, message(b"R", struct.pack(">I", 12), b"v=y") + AUTHENTICATED + message(b"K", bytes(4 + 32)) + ready()),
        login=False,
    )
    assert told(seen) == [("LOGIN", "ok", None, None)]


def test_login_that_fails_has_its_code() -> None:
    for code in ("28P01", "53300", "3D000", "57P03"):
        seen = talk((TO_SERVER, startup(user="a")), (TO_CLIENT, failed(code, "FATAL")), (TO_CLIENT, None), login=False)
        assert told(seen) == [("LOGIN", "error", code, None)]


def test_replication_is_named_and_left_alone() -> None:
    run = Run(ALONE)
    seen = talk(
        (TO_SERVER, query("START_REPLICATION 0/0")),
        (TO_CLIENT, message(b"W", bytes(3)) + message(b"d", b"w" + bytes(100))),
        (TO_SERVER, message(b"d", b"r" + bytes(33)) + query(SECRET)),
        (TO_CLIENT, b"\xff" * 1000),
        run=run,
    )
    assert told(seen) == [("START_REPLICATION", "ok", None, None)]


def test_row_of_a_gigabyte_is_counted_and_a_hole_in_it_does_no_harm() -> None:
    run = Run(ALONE)
    for direction, payload in LOGIN:
        assert payload is not None
        run.feed(direction, payload)
    large = row(b"x" * 100_000)
    run.feed(TO_SERVER, query("SELECT 1")).feed(TO_CLIENT, columns("a") + large[:700]).gap(TO_CLIENT, 90_000)
    run.feed(TO_CLIENT, large[90_700:] + row(b"1") + done("SELECT 2") + ready())
    assert told(run.end()[1:]) == [("SELECT", "ok", None, 2)]
    assert not run.reading.errors


def test_result_that_takes_longer_than_the_timeout_is_not_given_up() -> None:
    run = Run(ALONE)
    for direction, payload in LOGIN:
        assert payload is not None
        run.feed(direction, payload)
    second = 1_000_000_000
    run.feed(TO_SERVER, query("SELECT 1"), START_NS).feed(TO_CLIENT, columns("a"), START_NS)
    for i in range(1, 50):
        run.feed(TO_CLIENT, row(b"x"), START_NS + i * second)
        run.conversation.expire(START_NS + i * second)
    run.feed(TO_CLIENT, done("SELECT 49") + ready(), START_NS + 50 * second)
    assert told(run.end()[1:]) == [("SELECT", "ok", None, 49)]


def test_joined_in_the_middle_of_a_result_the_next_statement_is_read() -> None:
    for first_word, tag in (("SELECT", "SELECT 1"), ("UPDATE", "UPDATE 1")):
        run = Run(ALONE, from_start=False)
        rows = row(b"x" * 30, b"y" * 40) * 20
        run.feed(TO_CLIENT, rows[25:700]).feed(TO_CLIENT, rows[700:] + done("SELECT 20") + ready())
        run.feed(TO_SERVER, parse(first_word) + bind() + execute() + SYNC).feed(TO_CLIENT, PARSED + BOUND + done(tag) + ready())
        run.feed(TO_SERVER, parse("SELECT 1") + bind() + execute() + SYNC)
        run.feed(TO_CLIENT, PARSED + BOUND + failed("A0001") + ready())
        run.feed(TO_SERVER, query("SELECT 1")).feed(TO_CLIENT, columns("a") + row(b"1") + done("SELECT 1") + ready())
        assert [(one.outcome, one["status"]) for one in run.end()] == [("ok", None), ("error", "A0001"), ("ok", None)]


def test_joined_in_a_pipeline_an_error_is_put_down_to_nobody() -> None:
    """It may be that of a statement before the first that was seen."""
    run = Run(ALONE, from_start=False)
    run.feed(TO_SERVER, (parse("SELECT 1") + bind() + execute()) * 2 + SYNC)
    run.feed(TO_CLIENT, PARSED + failed("A0001") + ready())
    run.feed(TO_SERVER, query("SELECT 1")).feed(TO_CLIENT, columns("a") + row(b"1") + done("SELECT 1") + ready())
    run.feed(TO_SERVER, query("SELECT 1")).feed(TO_CLIENT, columns("a") + row(b"1") * 2 + done("SELECT 2") + ready())
    told = [(one.outcome, one["db.response.returned_rows"]) for one in run.end()]
    assert told == [("lost", None), ("lost", None), ("ok", 1), ("ok", 2)]


# --- attacks ---


def test_lengths_that_cannot_be_are_an_error_and_the_next_message_is_read() -> None:
    for broken in (b"Q\x00\x00\x00\x03", b"Q\x7f\xff\xff\xff", b"S\x00\x01\x00\x00", b"\xfe\x00\x00\x00\x04"):
        run = Run(ALONE)
        for direction, payload in LOGIN:
            assert payload is not None
            run.feed(direction, payload)
        run.feed(TO_SERVER, broken + b"abc")
        assert run.reading.errors == {("postgresql", "not this protocol"): 1}
        run.feed(TO_SERVER, query("SELECT 1")).feed(TO_CLIENT, columns("a") + row(b"1") + done("SELECT 1") + ready())
        assert [one.outcome for one in run.end()[1:]] == ["ok"], broken


def test_statement_of_64_mb_is_seen_in_its_first_bytes() -> None:
    run = Run(ALONE)
    for direction, payload in LOGIN:
        assert payload is not None
        run.feed(direction, payload)
    size = 64 << 20
    run.feed(TO_SERVER, b"Q" + struct.pack(">I", 4 + 8 + size + 1) + b"SELECT '")
    for _ in range(1024):
        run.feed(TO_SERVER, b"x" * 65536)
    run.feed(TO_SERVER, b"\x00" + query("SELECT 2"))
    run.feed(TO_CLIENT, (columns("a") + row(b"1") + done("SELECT 1") + ready()) * 2)
    assert [one.outcome for one in run.end()[1:]] == ["ok", "ok"]


def test_bytes_of_any_kind_raise_nothing() -> None:
    chance = random.Random(5)
    kinds = b"QPBEDSHCXFpdfcRKZTDCE123nsIGHWNAVvt\x00"
    for _ in range(300):
        run = Run(ALONE, from_start=bool(chance.getrandbits(1)))
        for direction, payload in LOGIN:
            assert payload is not None
            run.feed(direction, payload)
        for _ in range(20):
            body = chance.randbytes(chance.randrange(30))
            length = chance.choice((4 + len(body), chance.randrange(60), chance.getrandbits(32)))
            run.feed(chance.getrandbits(1), bytes((chance.choice(kinds),)) + struct.pack(">I", length) + body)
        run.end()


@pytest.mark.parametrize("name", ["", "s" * 255, "s" * 256, "s" * 9000])
def test_names_of_any_length(name: str) -> None:
    seen = talk(
        (TO_SERVER, parse("SELECT 1", name) + bind(name) + execute() + SYNC),
        (TO_CLIENT, PARSED + BOUND + row(b"1") + done("SELECT 1") + ready()),
    )
    assert told(seen)[-1] == ("SELECT", "ok", None, 1)


LOOK_ALIKES = {
    "http": [(TO_SERVER, b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"), (TO_CLIENT, b"HTTP/1.1 204 None\r\n\r\n")],
    "post": [(TO_SERVER, b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n")],
    "mysql": [
        (TO_CLIENT, b"\x4a\x00\x00\x00\x0a8.0.36\x00" + bytes(60)),
        (TO_SERVER, b"\x51\x00\x00\x01\x85\xa6\xff\x01" + bytes(77)),
    ],
    "mysql command": [(TO_SERVER, b"\x51\x00\x00\x00\x03SELECT " + b"x" * 73), (TO_CLIENT, b"\x01\x00\x00\x01\x01")],
    "redis": [(TO_SERVER, b"*1\r\n$4\r\nPING\r\n"), (TO_CLIENT, b"+PONG\r\n")],
    "kafka": [(TO_SERVER, b"\x00\x00\x00\x29\x00\x12\x00\x04\x00\x00\x00\x00\x00\x0aclient-one" + bytes(21))],
    "dns": [(TO_SERVER, b"\x00\x1d\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04shop\x04test\x00\x00\x01\x00\x01")],
    "zeros": [(TO_SERVER, bytes(200)), (TO_CLIENT, bytes(200))],
    "text": [(TO_SERVER, b"QUIT\r\n"), (TO_CLIENT, b"C'est la vie\r\n"), (TO_SERVER, b"STAT\r\n"), (TO_CLIENT, b"ERROR\r\n")],
}


@pytest.mark.parametrize("name", LOOK_ALIKES)
@pytest.mark.parametrize("late", [False, True])
def test_others_are_refused(name: str, late: bool) -> None:
    run = Run(ALONE, from_start=not late)
    for direction, payload in LOOK_ALIKES[name]:
        run.feed(direction, payload)
    assert run.reading.detected == {}


# --- what is emitted ---

POSTGRESQL = next(protocol for protocol in PROTOCOLS if protocol.name == "postgresql")


def emitted(events: Sequence[Event], vantage: int) -> tuple[bytes, list[Any]]:
    """Every byte of spans, and the series."""
    spans = Spans(Redactor())
    metrics = Metrics(PROTOCOLS, emitted=("postgresql/server",))
    telemetry = Telemetry(metrics, spans, Sampler(), Identities())
    run = Run((POSTGRESQL,), vantage=vantage)
    conversation = Conversation(Reading(Pairing(telemetry), Detector((POSTGRESQL,))), run.connection, True)
    for event in events:
        if event.payload is None:
            conversation.close(event.direction, event.ts_ns)
        else:
            conversation.feed(event.direction, event.payload, 0, len(event.payload), event.ts_ns)
    conversation.end(5, event.ts_ns)
    return bytes(spans.lend()[0]), metrics.durations()


@pytest.mark.parametrize("vantage", [0, 1])
@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_secrets_are_in_nothing_that_is_emitted(vector: Vector, vantage: int) -> None:
    if vector.name.startswith(("psycopg-simple", "psycopg-extended", "psycopg-copy", "login-password", "psql", "asyncpg")):
        assert SECRET.encode() in b"".join(event.payload or b"" for event in vector.events)
    data, durations = emitted(vector.events, vantage)
    assert data and SECRET.encode() not in data
    assert SECRET not in repr(durations)


@pytest.mark.parametrize("vantage", [0, 1])
def test_secrets_in_statements_of_every_kind_are_in_nothing_that_is_emitted(vantage: int) -> None:
    texts = [
        f"CREATE ROLE a PASSWORD '{SECRET}'",
        f"ALTER ROLE a WITH ENCRYPTED PASSWORD E'\\x41{SECRET}'",
        f"SELECT $a${SECRET}$a$, U&'{SECRET}', B'1{SECRET}', '{SECRET}''{SECRET}' -- {SECRET}",
        f"SELECT /* {SECRET} /* */ {SECRET} */ 1 FROM a WHERE b IN ('{SECRET}', '{SECRET}')",
        f"INSERT INTO a VALUES ('{SECRET}', $${SECRET}$$); COPY a FROM STDIN; SET x = '{SECRET}'",
        f"SELECT '{SECRET}",
        f"SELECT '{'x' * 5000}{SECRET}'",
        f"'{SECRET}' {SECRET}",
    ]
    turns = list(LOGIN)
    for text in texts:
        turns += [(TO_SERVER, query(text)), (TO_CLIENT, failed("42601") + ready())]
        turns += [(TO_SERVER, parse(text, "s") + bind("s", "", SECRET.encode()) + execute() + close("S", "s") + SYNC)]
        turns += [(TO_CLIENT, PARSED + BOUND + row(SECRET.encode()) + done("SELECT 1") + CLOSED + ready())]
    data, durations = emitted(exchange(*turns), vantage)
    assert data and SECRET.encode() not in data
    assert SECRET not in repr(durations)


def test_metric_of_the_clients_side() -> None:
    vector = next(one for one in VECTORS if one.name == "psycopg-pipeline")
    (metric,) = emitted(vector.events, CLIENT_SIDE)[1]
    assert (metric.name, metric.unit) == ("db.client.operation.duration", "s")
    points = [dict(point.attributes) for point in metric.points]
    wrong = [point for point in points if "error.type" in point]
    codes = {(point["error.type"], point.get("db.response.status_code")) for point in wrong}
    assert codes == {("22012", "22012"), ("aborted", None)}
    assert {point["db.namespace"] for point in points} == {"postgres"}
    assert {point["db.system.name"] for point in points} == {"postgresql"}
    assert sum(point.count for point in metric.points) == len(vector.expected)
