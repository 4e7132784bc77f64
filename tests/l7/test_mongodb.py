"""MongoDB: vectors from real servers and pymongo, then each rule of the protocol and each attack by name.

Expected values come from pymongo's own command monitoring in the vectors, from bsonspec.org and MongoDB's specifications; documents
are made by pymongo's `bson`, compressed data by the libraries.
"""

from __future__ import annotations

import random
import struct
import zlib
from typing import Any

import bson
import pytest
import snappy
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.config import PcapReceiver, Traces
from receiver.l7 import packed
from receiver.l7.conversation import Conversation
from receiver.l7.detect import Detector
from receiver.l7.matcher import Pairing
from receiver.l7.mongodb import rows
from receiver.l7.packed import Snappy
from receiver.l7.reading import Reading
from receiver.l7.registry import PROTOCOLS
from receiver.l7.shared import Shared
from receiver.telemetry.metrics import Metrics
from receiver.telemetry.pipeline import Telemetry
from receiver.telemetry.redact import Redactor
from receiver.telemetry.sampling import Sampler
from receiver.telemetry.spans import Identities, Spans
from tests.l7.harness import (
    CLIENT_SIDE,
    START_NS,
    TO_CLIENT,
    TO_SERVER,
    Event,
    Run,
    Seen,
    Vector,
    check_random_bytes,
    check_vector,
    load_all,
)

ALONE = rows(Shared())
VECTORS = load_all("mongodb")
SECRET = "hunter2-never-shown"  # as in tests/vectors/mongodb_account.py
ROWS, BATCH, CODE_NAME, AWAITED = (
    "db.response.returned_rows",
    "db.operation.batch.size",
    "pcap_receiver.mongodb.code_name",
    "pcap_receiver.mongodb.awaited",
)
SECOND_NS = 1_000_000_000
PARENT = "00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01"
TRACE, SPAN = bytes.fromhex(PARENT[3:35]), bytes.fromhex(PARENT[36:52])
CHECKSUM, MORE, EXHAUST = 1, 2, 1 << 16
OK: dict[str, Any] = {"ok": 1.0}

Document = dict[str, Any]


# --- messages by hand, as MongoDB's manual draws them ---


def message(number: int, to: int, opcode: int, inside: bytes) -> bytes:
    return struct.pack("<4i", 16 + len(inside), number, to, opcode) + inside


def body(document: Document | bytes) -> bytes:
    return b"\0" + (document if isinstance(document, bytes) else bson.encode(document))


def sequence(name: str, documents: list[Document]) -> bytes:
    inside = name.encode() + b"\0" + b"".join(bson.encode(one) for one in documents)
    return b"\1" + struct.pack("<i", 4 + len(inside)) + inside


def msg(number: int, *sections: bytes, to: int = 0, flags: int = 0) -> bytes:
    tail = b"\xde\xad\xbe\xef" if flags & CHECKSUM else b""
    return message(number, to, 2013, struct.pack("<I", flags) + b"".join(sections) + tail)


def command(number: int, document: Document | bytes, flags: int = 0) -> bytes:
    return msg(number, body(document), flags=flags)


def answer(to: int, document: Document | bytes, number: int = 0, flags: int = 0) -> bytes:
    return msg(number or to + 100_000, body(document), to=to, flags=flags)


def compressed(plain: bytes, compressor: int) -> bytes:
    from backports import zstd

    _, number, to, opcode = struct.unpack_from("<4i", plain)
    make = (bytes, snappy.compress, zlib.compress, zstd.compress)[compressor]
    return message(number, to, 2012, struct.pack("<iiB", opcode, len(plain) - 16, compressor) + make(plain[16:]))


def ask(*turns: tuple[int, bytes], run: Run | None = None) -> list[Seen]:
    run = run or Run(ALONE)
    for direction, payload in turns:
        run.feed(direction, payload)
    return run.end()


def one(request: bytes, response: bytes) -> Seen:
    (seen,) = ask((TO_SERVER, request), (TO_CLIENT, response))
    return seen


def said(seen: Seen) -> tuple[Any, ...]:
    return seen["operation"], seen["target"], seen["namespace"], seen["status"], seen.outcome


FIND = {"find": "carts", "filter": {"name": SECRET}, "$db": "shop"}


# --- vectors ---


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_vector(vector: Vector) -> None:
    check_vector(ALONE, vector)


# --- what a message says ---


def test_command_is_the_first_element_of_the_command_alone() -> None:
    inside = {"find": "users", "delete": 1, "insert": {"update": "x"}}
    seen = one(command(1, {"aggregate": "carts", "pipeline": [inside], "let": inside, "$db": "shop"}), answer(1, OK))
    assert said(seen) == ("aggregate", "carts", "shop", None, "ok")


def test_sections_in_any_order() -> None:
    documents = [{"_id": i, "find": "no command"} for i in range(5)]
    for sections in (
        (body({"insert": "carts", "$db": "shop"}), sequence("documents", documents)),
        (sequence("documents", documents), body({"insert": "carts", "$db": "shop"})),
    ):
        seen = one(msg(1, *sections), answer(1, {"n": 5, **OK}))
        assert said(seen) == ("insert", "carts", "shop", None, "ok") and seen[BATCH] == 5


@pytest.mark.parametrize("step", [1 << 20, 1460, 700])
def test_long_sequence_in_front_of_the_command(step: int) -> None:
    documents = [{"_id": i, "note": "x" * 5000} for i in range(40)]
    wire = msg(1, sequence("documents", documents), body({"insert": "carts", "$db": "shop"}), flags=CHECKSUM)
    run = Run(ALONE)
    for at in range(0, len(wire), step):
        run.feed(TO_SERVER, wire[at : at + step])
    (seen,) = ask((TO_CLIENT, answer(1, OK)), run=run)
    assert said(seen) == ("insert", "carts", "shop", None, "ok")
    assert seen[BATCH] == 40 and seen.sizes[0] == len(wire)


def test_batch_of_one_has_no_size_and_an_empty_one_has_zero() -> None:
    assert one(msg(1, body({"insert": "c", "$db": "d"}), sequence("documents", [{}])), answer(1, OK))[BATCH] is None
    assert one(command(1, {"insert": "c", "documents": [], "$db": "d"}), answer(1, OK))[BATCH] == 0
    assert one(command(1, {"update": "c", "updates": [{}, {}, {}], "$db": "d"}), answer(1, OK))[BATCH] == 3


def test_namespaces_of_a_bulk_write_are_no_operations() -> None:
    sequences = sequence("ops", [{"insert": 0}] * 4) + sequence("nsInfo", [{"ns": "d.c"}] * 2)
    asks = msg(1, body({"bulkWrite": 1, "$db": "admin"}), sequences)
    seen = one(asks, answer(1, {"cursor": {"id": 0, "firstBatch": [{"ok": 1}] * 4, "ns": "x"}, "nErrors": 0, **OK}))
    assert said(seen) == ("bulkWrite", None, "admin", None, "ok") and seen[BATCH] == 4 and seen[ROWS] is None
    seen = one(asks, answer(1, {"cursor": {"id": 0, "firstBatch": [], "ns": "x"}, "nErrors": 1, **OK}))
    assert seen.outcome == "error"


def test_checksum_is_no_section() -> None:
    asks, answers = command(1, FIND, CHECKSUM) + command(2, FIND), answer(1, OK, flags=CHECKSUM) + answer(2, OK)
    seen = ask((TO_SERVER, asks), (TO_CLIENT, answers))
    assert [said(each) for each in seen] == [("find", "carts", "shop", None, "ok")] * 2


def test_unknown_section_is_passed_over() -> None:
    odd = b"\2" + struct.pack("<i", 12) + b"8 bytes."
    assert said(one(msg(1, odd, body(FIND)), answer(1, OK)))[0] == "find"


@pytest.mark.parametrize(
    ("document", "target"),
    [
        ({"getMore": bson.Int64(7), "collection": "carts", "$db": "shop"}, "carts"),
        ({"killCursors": "carts", "cursors": [bson.Int64(7)] * 2000, "$db": "shop"}, "carts"),
        ({"aggregate": 1, "pipeline": [], "$db": "shop"}, None),
        ({"find": "a" * 300, "$db": "shop"}, None),
        ({"find": "", "$db": "shop"}, None),
        ({"createUser": SECRET, "pwd": SECRET, "$db": "shop"}, None),
        ({"getLog": SECRET, "$db": "shop"}, None),
        ({"madeUpCommand": SECRET, "$db": "shop"}, None),
        ({"explain": {"find": "carts"}, "$db": "shop"}, None),
        ({"find": "größe", "$db": "shop"}, "größe"),
    ],
    ids=lambda value: str(next(iter(value))) if isinstance(value, dict) else "",
)
def test_collection_of_a_command(document: Document, target: str | None) -> None:
    seen = one(command(1, document), answer(1, OK))
    assert said(seen) == (next(iter(document)), target, "shop", None, "ok")
    assert SECRET not in repr(seen)


def test_name_that_is_none_is_other() -> None:
    for name in ("no name", "x" * 65, "näme", "a\x01"):
        assert one(command(1, bson.encode({name: 1})), answer(1, OK))["operation"] == "_OTHER"


@pytest.mark.parametrize("rows_of", ["firstBatch", "nextBatch"])
@pytest.mark.parametrize("count", [0, 1, 101, 3000])
def test_returned_rows(rows_of: str, count: int) -> None:
    documents = [{"ok": 0, "code": 5, "nested": {"cursor": {"firstBatch": [1, 2]}}}] * count
    seen = one(command(1, FIND), answer(1, {"cursor": {rows_of: documents, "id": bson.Int64(0), "ns": "shop.carts"}, **OK}))
    assert seen[ROWS] == count and seen.outcome == "ok"


@pytest.mark.parametrize(
    ("document", "status", "name"),
    [
        ({"ok": 0.0, "errmsg": SECRET, "code": 59, "codeName": "CommandNotFound"}, "59", "CommandNotFound"),
        ({"ok": 0, "code": 13}, "13", None),
        ({"ok": False, "code": bson.Int64(-5)}, "-5", None),
        ({"ok": 0.0, "errmsg": SECRET}, None, None),
        ({"n": 1, "writeErrors": [{"index": 1, "code": 11000, "errmsg": SECRET}, {"index": 2, "code": 5}], **OK}, "11000", None),
        ({"n": 1, "writeConcernError": {"code": 64, "codeName": "WriteConcernFailed", "errmsg": SECRET}, **OK}, "64", None),
        ({"ok": 0.0, "code": 59, "codeName": f"not a name {SECRET}"}, "59", None),
    ],
)
def test_errors(document: Document, status: str | None, name: str | None) -> None:
    seen = one(command(1, FIND), answer(1, document))
    assert (seen.outcome, seen["status"], seen["error_type"], seen[CODE_NAME]) == ("error", status, status, name)
    assert SECRET not in repr(seen)


def test_good_answers() -> None:
    for document in (OK, {"ok": 1}, {"ok": True}, {"ok": bson.Int64(1)}, {"writeErrors": [], **OK}):
        assert one(command(1, FIND), answer(1, document)).outcome == "ok"
    for document in ({"n": 1}, {"ok": "1"}, {}, {"nested": OK}):
        assert one(command(1, FIND), answer(1, document)).outcome == "unknown"


# --- how they meet ---


def test_answers_come_in_any_order() -> None:
    asks = [(TO_SERVER, command(i, {"find": f"c{i}", "$db": "shop"})) for i in (1, 2, 3)]
    seen = ask(*asks, *[(TO_CLIENT, answer(i, {"cursor": {"firstBatch": [{}] * i}, **OK})) for i in (3, 1, 2)])
    assert [(each["target"], each[ROWS]) for each in seen] == [("c3", 3), ("c1", 1), ("c2", 2)]


@pytest.mark.parametrize("size", [10, 3_000, 70_000])
def test_unacknowledged_write_is_one_way(size: int) -> None:
    wire = msg(1, body({"insert": "c", "$db": "d"}), sequence("documents", [{"x": "y" * size}] * 9), flags=MORE)
    run = Run(ALONE)
    for at in range(0, len(wire), 1460):
        run.feed(TO_SERVER, wire[at : at + 1460], START_NS + at)
    first, second = ask((TO_SERVER, command(2, FIND)), (TO_CLIENT, answer(2, OK)), run=run)
    assert said(first) == ("insert", "c", "d", None, "one_way") and said(second)[0] == "find"
    assert first.sizes == (len(wire),) and first[BATCH] == 9
    assert first.times == (START_NS, START_NS + (len(wire) - 1) // 1460 * 1460)


def test_answers_of_a_cursor_that_go_on_are_one() -> None:
    def batch(to: int, number: int, count: int, flags: int) -> bytes:
        return answer(to, {"cursor": {"nextBatch": [{"x": "y" * 900}] * count}, **OK}, number, flags)

    asks = command(1, {"getMore": bson.Int64(7), "collection": "carts", "$db": "shop"}, EXHAUST)
    turns = [batch(1, 50, 3, MORE), batch(50, 51, 40, MORE), batch(51, 52, 30, MORE), batch(52, 53, 2, 0)]
    seen = ask((TO_SERVER, asks), *[(TO_CLIENT, turn) for turn in turns], (TO_SERVER, command(2, FIND)), (TO_CLIENT, answer(2, OK)))
    assert [said(each) for each in seen] == [("getMore", "carts", "shop", None, "ok"), ("find", "carts", "shop", None, "ok")]
    assert seen[0][ROWS] == 75 and seen[0].sizes[1] == sum(map(len, turns))


def test_cursor_that_fails_as_it_goes_on() -> None:
    asks = command(1, {"getMore": bson.Int64(7), "collection": "carts", "$db": "shop"}, EXHAUST)
    first = answer(1, {"cursor": {"nextBatch": [{}]}, **OK}, 50, MORE)
    (seen,) = ask((TO_SERVER, asks), (TO_CLIENT, first), (TO_CLIENT, answer(50, {"ok": 0.0, "code": 43})))
    assert said(seen) == ("getMore", "carts", "shop", "43", "error")


WATCH = {"hello": 1, "topologyVersion": {"processId": bson.ObjectId(b"x" * 12), "counter": bson.Int64(1)}, "maxAwaitTimeMS": 10_000}


def test_hello_that_waits_has_no_timeout_and_no_duration() -> None:
    metrics = Metrics(PROTOCOLS, emitted=("mongodb/server",))
    spans = Spans(Redactor())
    pairing = Pairing(Telemetry(metrics, spans, Sampler(), Identities()))
    family = [row for row in PROTOCOLS if row.family == "mongodb"]
    conversation = Conversation(Reading(pairing, Detector(family)), Run(ALONE).connection, True)

    def feed(direction: int, payload: bytes, after_s: int) -> None:
        conversation.expire(START_NS + after_s * SECOND_NS)
        conversation.feed(direction, payload, 0, len(payload), START_NS + after_s * SECOND_NS)

    feed(TO_SERVER, command(1, {"hello": 1, "$db": "admin"}), 0)
    feed(TO_CLIENT, answer(1, OK), 0)
    feed(TO_SERVER, command(2, {**WATCH, "$db": "admin"}, EXHAUST), 1)
    feed(TO_CLIENT, answer(2, OK, 60, MORE), 3601)
    for i in range(60, 65):
        feed(TO_CLIENT, answer(i, OK, i + 1, MORE), 3612 + 10 * i)
    conversation.end(5, START_NS + 5000 * SECOND_NS)
    assert (pairing.paired, pairing.unmatched, pairing.unanswered) == (2, 0, 0)
    (metric,) = metrics.durations()
    assert sum(point.count for point in metric.points) == 1
    lent, count = spans.lend()
    assert count == 2 and AWAITED.encode() in bytes(lent)


def test_news_of_which_the_hello_was_not_seen_are_nobodys_answer() -> None:
    run = Run(ALONE, from_start=False)
    turns = [(TO_CLIENT, answer(50, OK, 51, MORE)), (TO_CLIENT, answer(51, OK, 52, MORE))]
    (seen,) = ask(*turns, (TO_SERVER, command(9, FIND)), (TO_CLIENT, answer(9, OK)), run=run)
    assert said(seen)[0] == "find"


def test_tailable_cursor_may_wait() -> None:
    run = Run(ALONE).feed(TO_SERVER, command(1, {"getMore": bson.Int64(7), "collection": "c", "maxTimeMS": 99_000, "$db": "d"}))
    run.conversation.expire(START_NS + 60 * SECOND_NS)
    (seen,) = ask((TO_CLIENT, answer(1, OK)), run=run)
    assert seen.outcome == "ok"


@pytest.mark.parametrize(
    "document",
    [
        {"saslStart": 1, "mechanism": "PLAIN", "payload": SECRET.encode(), "$db": "admin"},
        {"saslContinue": 1, "conversationId": 1, "payload": SECRET.encode(), "$db": "admin"},
        {"hello": 1, "speculativeAuthenticate": {"saslStart": 1, "payload": SECRET.encode(), "db": SECRET}, "$db": "admin"},
        {"authenticate": 1, "user": SECRET, "$db": "admin"},
    ],
    ids=lambda document: str(next(iter(document))),
)
def test_who_proves_who_they_are_is_named_alone(document: Document) -> None:
    seen = one(command(1, document), answer(1, {"payload": SECRET.encode(), "codeName": SECRET, **OK}))
    assert said(seen) == (next(iter(document)), None, "admin", None, "ok") and SECRET not in repr(seen)


def test_unacknowledged_write_that_does_not_end_is_lost() -> None:
    wire = msg(1, body({"insert": "c", "$db": "d"}), sequence("documents", [{"x": "y" * 900}] * 90), flags=MORE)
    run = Run(ALONE).feed(TO_SERVER, wire[:20_000])
    run.gap(TO_SERVER, len(wire) - 20_000 - 100)
    first, second = ask((TO_SERVER, wire[-100:]), (TO_SERVER, command(2, FIND)), (TO_CLIENT, answer(2, OK)), run=run)
    assert said(first) == ("insert", "c", "d", None, "lost") and said(second) == ("find", "carts", "shop", None, "ok")


# --- older messages ---


def query(number: int, name: str, document: Document) -> bytes:
    return message(number, 0, 2004, b"\4\0\0\0" + name.encode() + b"\0" + struct.pack("<ii", 0, -1) + bson.encode(document))


def reply(to: int, *documents: Document, flags: int = 8) -> bytes:
    head = struct.pack("<IqiI", flags, 0, 0, len(documents))
    return message(to + 100_000, to, 1, head + b"".join(bson.encode(each) for each in documents))


def test_legacy_hello() -> None:
    asks = query(1, "admin.$cmd", {"isMaster": 1, "client": {"find": 1}})
    seen = one(asks, reply(1, {"ismaster": True, "maxWireVersion": 21, **OK}))
    assert said(seen) == ("isMaster", None, "admin", None, "ok") and seen[ROWS] is None
    seen = one(query(1, "shop.$cmd", {"find": "carts"}), reply(1, {"ok": 0.0, "code": 352}))
    assert said(seen) == ("find", "carts", "shop", "352", "error")


def test_legacy_query() -> None:
    seen = one(query(1, "shop.carts.old", {"name": SECRET}), reply(1, *[{"x": SECRET}] * 3))
    assert said(seen) == ("find", "carts.old", "shop", None, "ok") and seen[ROWS] == 3 and SECRET not in repr(seen)
    seen = one(query(1, "shop.carts", {}), reply(1, {"$err": SECRET, "code": 17}, flags=2))
    assert said(seen) == ("find", "carts", "shop", "17", "error")
    more = message(2, 0, 2005, bytes(4) + b"shop.carts\0" + bytes(12))
    hello = (TO_SERVER, query(1, "admin.$cmd", {"isMaster": 1})), (TO_CLIENT, reply(1, OK))
    seen = ask(*hello, (TO_SERVER, more), (TO_CLIENT, reply(2, {}, {})))[1]
    assert said(seen) == ("getMore", "carts", "shop", None, "ok") and seen[ROWS] == 2


def test_legacy_writes_are_one_way() -> None:
    inside = b"\0\0\0\0shop.carts\0" + bson.encode({"x": SECRET})
    wires = [message(i, 0, opcode, inside) for i, opcode in enumerate((2001, 2002, 2006), 1)]
    kill = message(9, 0, 2007, bytes(4) + struct.pack("<iqq", 2, 1, 2))
    seen = ask(*[(TO_SERVER, wire) for wire in (query(7, "a.$cmd", {"ping": 1}), *wires, kill)])
    assert [(each["operation"], each.outcome) for each in seen[:4]] == [
        (name, "one_way") for name in ("update", "insert", "delete", "killCursors")
    ]
    assert SECRET not in repr(seen)


# --- trace context ---


@pytest.mark.parametrize(
    "comment",
    [
        PARENT,
        {"traceparent": PARENT},
        {"other": [1], "tracestate": "a=b", "traceparent": PARENT},
        f"traceparent='{PARENT}'",
        f"route=x,traceparent={PARENT}",
        f'{{"a": 1, "traceparent": "{PARENT}", "b": 2}}',
    ],
    ids=str,
)
def test_comment_joins_the_trace(comment: Any) -> None:
    seen = one(command(1, {"find": "carts", "comment": comment, "$db": "shop"}), answer(1, OK))
    assert (seen.request.trace_id, seen.request.parent_id, seen.request.trace_flags) == (TRACE, SPAN, 1)
    assert seen.request.tracestate == (b"a=b" if "tracestate" in comment else None) and said(seen)[2] == "shop"


def test_section_of_telemetry_joins_the_trace() -> None:
    section = b"\3" + bson.encode({"x": 1, "otel": {"traceparent": PARENT}, "y": 2})
    for sections in ((body(FIND), section), (section, body(FIND))):
        seen = one(msg(1, *sections), answer(1, OK))
        assert seen.request.trace_id == TRACE and said(seen) == ("find", "carts", "shop", None, "ok")


@pytest.mark.parametrize(
    "comment",
    [SECRET, "traceparent", f"traceparent={PARENT}x", PARENT[:-1] + "x", {"traceparent": 1}, 7, {"a": {"traceparent": PARENT}}],
    ids=str,
)
def test_comment_that_is_none(comment: Any) -> None:
    seen = one(command(1, {"find": "carts", "filter": {"comment": PARENT}, "comment": comment, "$db": "shop"}), answer(1, OK))
    assert seen.request.trace_id is None and said(seen)[2] == "shop" and SECRET not in repr(seen)


def test_comment_is_not_read_where_nobody_wants_it() -> None:
    silent = rows(Shared(PcapReceiver(traces=Traces(propagators=()))))
    run = Run(silent)
    (seen,) = ask((TO_SERVER, command(1, {"find": "c", "comment": PARENT, "$db": "d"})), (TO_CLIENT, answer(1, OK)), run=run)
    assert seen.request.trace_id is None and seen["namespace"] == "d"


# --- compressed ---


@pytest.mark.parametrize("compressor", range(4))
def test_compressed(compressor: int) -> None:
    asks = compressed(msg(1, body({"insert": "c", "$db": "d"}), sequence("documents", [{"x": "y" * 90}] * 300)), compressor)
    replies = compressed(answer(1, {"cursor": {"firstBatch": [{"x": "y" * 90}] * 300}, **OK}), compressor)
    seen = one(asks, replies)
    assert said(seen) == ("insert", "c", "d", None, "ok") and seen[BATCH] == 300 and seen[ROWS] == 300
    old = one(compressed(query(1, "admin.$cmd", {"isMaster": 1}), compressor), compressed(reply(1, OK), compressor))
    assert said(old) == ("isMaster", None, "admin", None, "ok")


@pytest.mark.parametrize("compressor", range(1, 4))
def test_bomb_is_inflated_within_a_budget(compressor: int) -> None:
    run = Run(rows(shared := Shared()))
    huge = msg(1, body({"insert": "c", "$db": "d"}), sequence("documents", [{"x": "\0" * 16_000_000}]))
    replies = answer(1, {"cursor": {"firstBatch": [{"x": "\0" * 16_000_000}]}, **OK})
    (seen,) = ask((TO_SERVER, compressed(huge, compressor)), (TO_CLIENT, compressed(replies, compressor)), run=run)
    assert said(seen) == ("insert", "c", "d", None, "unknown") and seen[BATCH] is None and seen[ROWS] is None
    assert shared.limits["mongodb_inflate"] == 2
    assert not run.reading.errors


@pytest.mark.parametrize("compressor", range(1, 4))
def test_long_compressed_message_is_known_by_its_beginning(compressor: int) -> None:
    noise = random.Random(1).randbytes(300_000)
    asks = compressed(msg(1, body({"insert": "c", "$db": "d"}), sequence("documents", [{"x": noise}])), compressor)
    seen = ask((TO_SERVER, asks), (TO_CLIENT, answer(1, OK)), (TO_SERVER, command(2, FIND)), (TO_CLIENT, answer(2, OK)))
    assert [said(each) for each in seen] == [("insert", "c", "d", None, "ok"), ("find", "carts", "shop", None, "ok")]


def test_without_a_library_zstd_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "ZSTD_MODULES", ("no.such.module",))
    run = Run(rows(Shared()))
    (seen,) = ask((TO_SERVER, compressed(command(1, FIND), 3)), (TO_CLIENT, compressed(answer(1, OK), 3)), run=run)
    assert said(seen) == (None, None, None, None, "unknown")
    assert run.reading.errors == {("mongodb", "compressed with zstd"): 2}


@pytest.mark.parametrize("compressor", range(1, 4))
def test_broken_compressed_data_is_counted(compressor: int) -> None:
    good = compressed(command(1, {"insert": "c", "x": list(range(300))}), compressor)
    broken = good[:25] + b"\xff" * (len(good) - 25)
    run = Run(ALONE)
    turns = [(TO_SERVER, broken), (TO_SERVER, command(2, FIND)), (TO_CLIENT, answer(2, OK))]
    seen = ask(*turns, run=run)
    assert said(seen[0]) == ("find", "carts", "shop", None, "ok")
    assert sum(run.reading.errors.values()) == 1 and run.reading.bytes_set_aside == 0


def test_compressor_that_nobody_knows_is_counted() -> None:
    run = Run(ALONE).feed(TO_SERVER, command(1, FIND))
    run.feed(TO_SERVER, message(2, 0, 2012, struct.pack("<iiB", 2013, 50, 9) + b"x" * 20))
    run.feed(TO_SERVER, message(3, 0, 2012, b"short"))
    seen = ask((TO_CLIENT, answer(1, OK)), run=run)
    assert [(each["operation"], each.outcome) for each in seen] == [("find", "ok"), (None, "closed"), (None, "closed")]
    assert run.reading.errors == {("mongodb", "compressor unknown"): 1, ("mongodb", "compressed data cut short"): 1}


@settings(max_examples=200)
@given(st.lists(st.tuples(st.binary(min_size=1, max_size=40), st.integers(1, 400)), max_size=12), st.data())
def test_beginning_of_a_snappy_block(pieces: list[tuple[bytes, int]], data: st.DataObject) -> None:
    plain = b"".join(piece * times for piece, times in pieces)
    block = bytes(snappy.compress(plain))
    assert Snappy().decompress(block, len(plain)) == plain
    most = data.draw(st.integers(0, len(plain)))
    assert Snappy().decompress(block, most)[:most] == plain[:most]
    cut = data.draw(st.integers(1, len(block)))
    try:
        made = Snappy().decompress(block[:cut], 1 << 20)
    except ValueError:
        assert cut < 5  # the length itself is cut
    else:
        assert plain.startswith(made)


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_snappy_block_or_none(block: bytes) -> None:
    reader = Snappy()
    try:
        made = reader.decompress(block, 4096)
    except ValueError:
        return
    assert len(made) <= 4096
    if reader.eof:
        assert made == snappy.uncompress(block)


# --- what is broken, and what wants too much ---


def nested(depth: int) -> bytes:
    inside = b"\x05\0\0\0\0"
    for _ in range(depth):
        inside = struct.pack("<i", len(inside) + 8) + b"\3a\0" + inside + b"\0"
    return inside


def raw(*elements: bytes) -> bytes:
    inside = b"".join(elements)
    return struct.pack("<i", len(inside) + 5) + inside + b"\0"


PING = b"\x10ping\0\1\0\0\0"
BROKEN = {
    "length of the document too long": struct.pack("<i", 99) + PING + b"\0",
    "length of the document too short": struct.pack("<i", 3) + PING + b"\0",
    "length of a text too long": raw(PING, b"\2a\0\xff\xff\xff\x7fx\0"),
    "text without a length": raw(PING, b"\2a\0\0\0\0\0"),
    "length of a document inside too short": raw(PING, b"\3a\0\4\0\0\0\0"),
    "unknown type": raw(PING, b"\x63a\0\1\0\0\0"),
    "name without an end": raw(PING, b"\x10" + b"a" * 50)[:-1] + b"a",
    "ends early": struct.pack("<i", len(PING) + 9) + PING + b"\0" + b"more",
    "regular expression without an end": raw(PING, b"\x0ba\0" + b"x" * 50)[:-1] + b"x",
    "no name of a command": raw(b"\x10\0\1\0\0\0"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_document_is_counted_and_the_next_message_read(name: str) -> None:
    run = Run(ALONE).feed(TO_SERVER, command(7, FIND)).feed(TO_CLIENT, answer(7, OK))
    run.feed(TO_SERVER, command(1, BROKEN[name]) + command(2, FIND)).feed(TO_CLIENT, answer(1, OK) + answer(2, OK))
    seen = run.end()
    assert [said(each)[4] for each in seen] == ["ok", "ok", "ok"] and said(seen[2])[:3] == ("find", "carts", "shop")
    assert run.reading.errors == {("mongodb", "document broken"): 1} and run.reading.bytes_set_aside == 0


@pytest.mark.parametrize("name", BROKEN)
def test_broken_answer_is_no_good_one(name: str) -> None:
    document = raw(b"\x01ok\0" + struct.pack("<d", 1)) if name == "no name of a command" else BROKEN[name]
    seen = one(command(1, FIND), answer(1, document))
    assert seen.outcome == ("ok" if name == "no name of a command" else "unknown")


def test_documents_nested_10_000_deep() -> None:
    deep = nested(10_000)
    asks = command(1, raw(b"\2find\0\6\0\0\0carts\0", b"\3filter\0" + deep, b"\2$db\0\5\0\0\0shop\0"))
    seen = one(asks, answer(1, raw(b"\3cursor\0" + deep, b"\3deep\0" + deep, b"\1ok\0" + struct.pack("<d", 1))))
    assert said(seen) == ("find", "carts", "shop", None, "ok")


def test_a_million_cursors() -> None:
    elements = b"".join(b"\x12%d\0" % i + struct.pack("<q", i) for i in range(1_000_000))
    asks = command(1, raw(b"\2killCursors\0\6\0\0\0carts\0", b"\4cursors\0" + raw(elements), b"\2$db\0\5\0\0\0shop\0"))
    run = Run(ALONE)
    for at in range(0, len(asks), 65536):
        run.feed(TO_SERVER, asks[at : at + 65536])
    (seen,) = ask((TO_CLIENT, answer(1, OK)), run=run)
    assert said(seen) == ("killCursors", "carts", "shop", None, "ok") and seen.sizes[0] == len(asks)


def test_a_million_elements() -> None:
    asks = command(1, raw(PING, b"\x0aa\0" * 1_000_000))
    run = Run(rows(shared := Shared()))
    for at in range(0, len(asks), 65536):
        run.feed(TO_SERVER, asks[at : at + 65536])
    seen = ask((TO_CLIENT, answer(1, OK)), (TO_SERVER, command(2, FIND)), (TO_CLIENT, answer(2, OK)), run=run)
    assert [said(each)[0] for each in seen] == ["ping", "find"] and shared.limits["mongodb_elements"] == 1


def test_48_megabytes_are_passed_over_by_count() -> None:
    """Of which a hole takes some: nobody wanted them."""
    size = 2_999_970
    asks = msg(1, body({"insert": "c", "$db": "d"}), sequence("documents", [{"x": b"y" * size}] * 16))
    assert 47_900_000 < len(asks) <= 48_000_000
    run = Run(ALONE)
    step = 65536
    for i, at in enumerate(range(0, len(asks), step)):
        if i == 100:
            run.gap(TO_SERVER, step)
        else:
            run.feed(TO_SERVER, asks[at : at + step])
    (seen,) = ask((TO_CLIENT, answer(1, OK)), run=run)
    assert said(seen) == ("insert", "c", "d", None, "ok") and seen[BATCH] == 16 and run.reading.bytes_set_aside == 0


def test_length_that_lies_of_the_message() -> None:
    for wire in (b"\x0f\0\0\0" + command(1, FIND)[4:], struct.pack("<i", 48_000_001) + command(1, FIND)[4:]):
        run = Run(ALONE).feed(TO_SERVER, command(7, FIND)).feed(TO_CLIENT, answer(7, OK)).feed(TO_SERVER, wire)
        run.feed(TO_SERVER, command(2, FIND)).feed(TO_CLIENT, answer(2, OK))
        assert [said(each)[4] for each in run.end()] == ["ok", "ok"]
        assert run.reading.errors == {("mongodb", "not this protocol"): 1}


@pytest.mark.parametrize("opcode", [0, 1000, 2003, 2010, 9999, 2**31 - 1])
def test_unknown_opcode_is_counted_and_the_next_message_read(opcode: int) -> None:
    odd = message(5, 0, opcode, b"whatever it says")
    run = Run(ALONE).feed(TO_SERVER, command(7, FIND)).feed(TO_CLIENT, answer(7, OK))
    run.feed(TO_SERVER, odd + command(1, FIND)).feed(TO_CLIENT, answer(1, OK))
    assert [said(each)[4] for each in run.end()] == ["ok", "ok"]
    assert run.reading.errors == {("mongodb", "unknown opcode"): 1}


def test_invalid_names_are_not_told() -> None:
    bad = b"\2find\0\5\0\0\0c\xff\xfe\xfd\0"
    seen = one(command(1, raw(bad, b"\2$db\0\4\0\0\0d\0x\0")), answer(1, OK))
    assert said(seen) == ("find", None, None, None, "ok")


@settings(max_examples=400)
@given(st.binary(max_size=120), st.sampled_from([1, 2001, 2004, 2005, 2007, 2012, 2013]), st.booleans(), st.integers(0, 120))
def test_no_bytes_raise_anything_else(inside: bytes, opcode: int, from_server: bool, cut: int) -> None:
    run = Run(ALONE).feed(TO_SERVER, command(7, FIND)).feed(TO_CLIENT, answer(7, OK))
    wire = message(1, 1 if from_server else 0, opcode, inside)
    direction = TO_CLIENT if from_server else TO_SERVER
    run.feed(direction, wire[:cut]).feed(direction, wire[cut:])
    run.feed(TO_SERVER, command(2, FIND)).feed(TO_CLIENT, answer(2, OK))
    assert said(run.end()[0])[4] == "ok"  # and `Run.end` holds the books against each other


@settings(max_examples=300)
@given(st.integers(0, 10**9), st.booleans())
def test_damaged_messages_of_every_length(seed: int, long: bool) -> None:
    """A byte of a message is another one: whatever is made of it, the books are right (`Run.end`)."""
    chance = random.Random(seed)
    documents = [{"x": "y" * 900, "n": [1, {"a": None}]}] * (30 if long else 3)
    asks = bytearray(msg(1, body({"insert": "c", "$db": "d"}), sequence("documents", documents)))
    replies = bytearray(answer(1, {"cursor": {"firstBatch": documents, "id": bson.Int64(1)}, **OK}))
    for wire in (asks, replies):
        wire[chance.randrange(16, len(wire))] = chance.randrange(256)
    run = Run(ALONE)
    for direction, wire in ((TO_SERVER, asks), (TO_CLIENT, replies)):
        step = chance.choice((7, 300, 1460, 99_999))
        for at in range(0, len(wire), step):
            run.feed(direction, bytes(wire[at : at + step]))
    run.end()


# --- holes ---


def test_hole_in_a_batch_loses_what_it_took_and_no_more() -> None:
    documents = [{"x": "y" * 3000}] * 20
    replies = answer(1, {"cursor": {"firstBatch": documents}, **OK})
    whole = one(command(1, FIND), replies)
    outcomes = set()
    for at in range(1460, len(replies) - 1460, 487):
        run = Run(ALONE).feed(TO_SERVER, command(1, FIND)).feed(TO_CLIENT, replies[:at])
        run.gap(TO_CLIENT, 487)
        run.feed(TO_CLIENT, replies[at + 487 :])
        after = ask((TO_SERVER, command(2, {"ping": 1})), (TO_CLIENT, answer(2, OK)), run=run)
        first, second = sorted(after, key=lambda each: str(each["operation"]))
        outcomes.add(first.outcome)
        assert first.outcome == "lost" or (first.outcome, first[ROWS]) == ("ok", whole[ROWS])
        assert second.outcome == "ok"
    assert outcomes == {"lost", "ok"}


# --- detection ---


LOOKALIKES: dict[str, list[tuple[int, bytes]]] = {
    "an answer to nobody": [(TO_SERVER, answer(1, OK))],
    "a request by the server": [(TO_CLIENT, command(1, FIND))],
    "flags that nobody knows": [(TO_SERVER, msg(1, body(FIND), flags=1 << 9))],
    "no section": [(TO_SERVER, message(1, 0, 2013, bytes(4) + b"\x07" + bytes(30)))],
    "no word": [(TO_SERVER, command(1, {"\x01\x02": 1}))],
    "another opcode": [(TO_SERVER, message(1, 0, 2014, struct.pack("<I", 0) + body(FIND)))],
    "a length in front of text": [(TO_SERVER, struct.pack("<i", 60) + b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n" + b" " * 30)],
    "MySQL's greeting": [(TO_CLIENT, b"\x4a\0\0\0\x0a8.4.0\0" + bytes(66))],
    "zeros": [(TO_SERVER, bytes(100)), (TO_CLIENT, bytes(100))],
    "a query of no collection": [(TO_SERVER, message(1, 0, 2004, bytes(4) + b"nodot\0" + bytes(30)))],
}


@pytest.mark.parametrize("from_start", [True, False])
@pytest.mark.parametrize("name", LOOKALIKES)
def test_lookalike_is_refused(name: str, from_start: bool) -> None:
    run = Run(ALONE, from_start)
    for direction, payload in LOOKALIKES[name]:
        run.feed(direction, payload)
    # Joined late, what the other side would say is the other side's.
    swapped = not from_start and name in ("an answer to nobody", "a request by the server")
    assert run.reading.detected == ({"mongodb": 1} if swapped else {})


@pytest.mark.parametrize(
    ("direction", "wire"),
    [(TO_CLIENT, command(1, FIND)), (TO_SERVER, answer(1, OK)), (TO_CLIENT, query(1, "a.$cmd", {"x": 1}))],
    ids=["command", "answer", "query"],
)
def test_joined_late_from_the_other_side_the_roles_are_swapped(direction: int, wire: bytes) -> None:
    run = Run(ALONE, from_start=False).feed(direction, wire)
    assert run.connection.swapped and run.reading.detected == {"mongodb": 1}


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("size", [0, 25, 300])
def test_whatever_number_a_message_has_it_is_no_other_protocols(size: int, late: bool) -> None:
    """Where the number stands, others have a kind of message: a greeting of MySQL, a login of PostgreSQL."""
    for number in [*range(1, 256), 0x9D00, 0xA40A]:
        document = {"find": "carts", "x": "x" * size}
        pairs = [
            (command(number, document), answer(number, OK)),
            (query(number, "a.$cmd", {"isMaster": 1, **document}), reply(number, OK)),
        ]
        for asks, replies in pairs:
            run = Run(PROTOCOLS, from_start=not late)
            run.feed(TO_CLIENT if late else TO_SERVER, replies if late else asks)
            run.feed(TO_SERVER if late else TO_CLIENT, asks if late else replies)
            assert run.reading.detected == {"mongodb": 1}, number


def test_random_bytes_are_hardly_ever_mongodb() -> None:
    check_random_bytes(ALONE)


# --- what is emitted ---


def emitted(events: list[Event], vantage: int) -> tuple[bytes, int, list[Any]]:
    spans = Spans(Redactor())
    metrics = Metrics(PROTOCOLS, emitted=("mongodb/server",))
    telemetry = Telemetry(metrics, spans, Sampler(), Identities())
    family = [row for row in PROTOCOLS if row.family == "mongodb"]
    run = Run(family, vantage=vantage)
    conversation = Conversation(Reading(Pairing(telemetry), Detector(family)), run.connection, True)
    for event in events:
        if event.payload is None:
            conversation.close(event.direction, event.ts_ns)
        else:
            conversation.feed(event.direction, event.payload, 0, len(event.payload), event.ts_ns)
    conversation.end(5, event.ts_ns)
    lent, count = spans.lend()
    return bytes(lent), count, metrics.durations()


@pytest.mark.parametrize("vantage", [0, 1])
@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_secrets_are_in_nothing_that_is_emitted(vector: Vector, vantage: int) -> None:
    if vector.name in ("ferretdb-pymongo", "ferretdb-login", "java-pymongo"):
        assert SECRET.encode() in b"".join(event.payload or b"" for event in vector.events)
    data, count, durations = emitted(list(vector.events), vantage)
    assert count == len(vector.expected)
    assert SECRET.encode() not in data and SECRET not in repr(durations)


def test_metric_of_the_clients_side() -> None:
    vector = next(each for each in VECTORS if each.name == "ferretdb-pymongo")
    (metric,) = emitted(list(vector.events), CLIENT_SIDE)[2]
    assert (metric.name, metric.unit) == ("db.client.operation.duration", "s")
    wrong = [dict(point.attributes) for point in metric.points if dict(point.attributes).get("error.type") == "11000"]
    assert wrong == [
        {
            "db.system.name": "mongodb",
            "db.operation.name": "insert",
            "db.collection.name": "carts",
            "db.namespace": "shop",
            "db.response.status_code": "11000",
            "error.type": "11000",
            "server.address": "192.0.2.2",
            "server.port": 80,
        }
    ]
    assert sum(point.count for point in metric.points) == len(vector.expected)


def test_span_is_named_by_command_and_collection_or_database() -> None:
    events = [Event(TO_SERVER, command(1, FIND), START_NS), Event(TO_CLIENT, answer(1, OK), START_NS + 1)]
    data, count, _ = emitted(events, CLIENT_SIDE)
    assert count == 1 and b"find carts" in data and b"db.query.text" not in data
    events = [Event(TO_SERVER, command(1, {"ping": 1, "$db": "shop"}), START_NS), Event(TO_CLIENT, answer(1, OK), START_NS + 1)]
    assert b"ping shop" in emitted(events, CLIENT_SIDE)[0]
