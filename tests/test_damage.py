"""What damage to a capture may cost, and what it never may: a small share of `./dev damage`, and statements on made connections.

The rules are those of `tests/damage/compare.py`. HTTP/1, Redis and DNS are written by hand; HTTP/2 is coded by the hpack library.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import dns.message
import pytest
from hpack import Encoder

from tests.damage.__main__ import once, truth_of
from tests.damage.compare import Broken, Row, check, run
from tests.damage.generate import Damaged, damage
from tests.damage.packets import VECTORS, Capture, Packet, Wire, exchanges, inputs, load_input
from tests.l7.harness import COMPILED
from tests.l7.streams import DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, frame

SEEDS = range(4) if COMPILED else range(1)


@pytest.mark.parametrize("path", list(inputs()), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_any_damage(path: Path) -> None:
    capture = load_input(path)
    truth = truth_of(capture)
    for seed in SEEDS:
        once(capture, truth, seed)


def test_same_seed_is_the_same_damage() -> None:
    capture = load_input(next(path for path in inputs() if path.suffix == ".jsonl"))
    assert [packet.frame() for packet in damage(capture, 3).packets] == [packet.frame() for packet in damage(capture, 3).packets]
    assert damage(capture, 3).said != damage(capture, 4).said


# --- the comparison itself sees what it is for ---


def pairs(rows: Iterable[Row]) -> list[str]:
    return [str(row.request.path or row.request.operation) for row in rows if row.paired]


def thirty() -> Capture:
    """30 requests one after the other, each answered in one segment."""
    turns: list[tuple[int, bytes]] = []
    for i in range(30):
        turns.append((0, b"GET /%d HTTP/1.1\r\nHost: a.test\r\n\r\n" % i))
        turns.append((1, b"HTTP/1.1 %d OK\r\nContent-Length: 300\r\n\r\n" % (400 + i) + bytes(300)))
    return exchanges(turns, "thirty")


def read(packets: Sequence[Packet]) -> list[Row]:
    return run(packets, random.Random(1))


def carriers(capture: Capture, source: int) -> list[int]:
    """Where the packets with a payload are that one side sent; 0 is the client."""
    client = capture.packets[0].source
    return [i for i, packet in enumerate(capture.packets) if packet.payload and (packet.source == client) == (source == 0)]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda row: replace(row, response=replace(row.response, status=999)), "invented"),
        (lambda row: replace(row, outcome="timeout", response=None, answer_us=None), "invented"),
        (lambda row: replace(row, first_us=row.first_us + 1), "invented"),
        (lambda row: replace(row, answer_us=(row.answer_us[0], row.answer_us[1] + 1)), "invented"),
        (lambda row: replace(row, request=replace(row.request, path=b"/other")), "invented"),
        (lambda row: replace(row, outcome="lost", response=None, answer_us=None), "told as"),
        (lambda row: None, "lost, though"),
    ],
)
def test_comparison_finds_what_is_wrong(spoil: Callable[[Row], Row | None], said: str) -> None:
    capture = thirty()
    truth = truth_of(capture)
    damaged = Damaged(capture, list(capture.packets))
    assert check(capture, truth, damaged, truth) == 30
    spoilt = [row if i != 7 else spoil(row) for i, row in enumerate(truth)]
    with pytest.raises(Broken, match=said):
        check(capture, truth, damaged, [row for row in spoilt if row is not None])
    with pytest.raises(Broken, match="told twice"):
        check(capture, truth, damaged, [*truth, truth[7]])


# --- HTTP/1, thirty in a row ---


def test_one_lost_answer_of_thirty_costs_itself_alone() -> None:
    capture = thirty()
    for lost, i in enumerate(carriers(capture, 1)):
        rows = read(capture.packets[:i] + capture.packets[i + 1 :])
        assert sorted(pairs(rows)) == sorted(str(b"/%d" % n) for n in range(30) if n != lost), lost
        assert [row.outcome for row in rows if not row.paired] == ["lost"]


def test_one_lost_request_of_thirty_costs_itself_alone() -> None:
    capture = thirty()
    for lost, i in enumerate(carriers(capture, 0)):
        rows = read(capture.packets[:i] + capture.packets[i + 1 :])
        assert sorted(pairs(rows)) == sorted(str(b"/%d" % n) for n in range(30) if n != lost), lost


def test_two_swapped_segments_cost_nothing() -> None:
    capture = thirty()
    for i in range(len(capture.packets) - 1):
        packets = list(capture.packets)
        first, second = packets[i], packets[i + 1]
        packets[i], packets[i + 1] = replace(second, ts_us=first.ts_us), replace(first, ts_us=second.ts_us)
        assert len(pairs(read(packets))) == 30, i


def test_join_in_the_middle_of_the_first_costs_that_one() -> None:
    capture = thirty()
    first_answer = carriers(capture, 1)[0]
    assert pairs(read(capture.packets[first_answer:])) == [str(b"/%d" % n) for n in range(1, 30)]


def test_join_between_roundtrips_costs_nothing() -> None:
    capture = thirty()
    for n, i in enumerate(carriers(capture, 0)):
        assert pairs(read(capture.packets[i:])) == [str(b"/%d" % k) for k in range(n, 30)], n


def test_one_sided_capture_says_that_the_answers_were_not_seen() -> None:
    capture = thirty()
    for side in (0, 1):
        kept = [packet for packet in capture.packets if packet.source == side]
        rows = read(kept)
        assert {row.outcome for row in rows} <= {"lost"}
    client = capture.packets[0].source
    assert len(read([packet for packet in capture.packets if packet.source == client])) == 30


def test_what_ends_in_a_hole_was_last_seen_before_it() -> None:
    """The hole is known when the next request acknowledges it, minutes later: that is not when the answer came."""
    wire = Wire().open()
    wire.say(0, b"GET /a HTTP/1.1\r\n\r\n").say(1, b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + bytes(3000))
    wire.say(0, b"GET /b HTTP/1.1\r\n\r\n", us=200_000_000).say(1, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").close()
    capture = wire.capture()
    answers = carriers(capture, 1)
    last = answers[2]
    kept = [packet for i, packet in enumerate(capture.packets) if i != last and (packet.payload or i < 3)]
    rows = read(kept)
    assert [(row.request.path, row.outcome) for row in rows] == [(b"/a", "ok"), (b"/b", "ok")]
    assert rows[0].answer_us == (capture.packets[answers[0]].ts_us, capture.packets[answers[1]].ts_us)


# --- HTTP/2, fifty streams at once ---


def fifty() -> Capture:
    """Fifty requests, then their answers in another order, each frame in a segment of its own; half of the fields are in tables."""
    coders = Encoder(), Encoder()
    turns = [(0, PREFACE + frame(SETTINGS, 0, 0)), (1, frame(SETTINGS, 0, 0))]

    def head(side: int, stream: int, flags: int, *fields: tuple[str, str]) -> bytes:
        return frame(HEADERS, END_HEADERS | flags, stream, coders[side].encode(list(fields), huffman=False))

    for i in range(50):
        fields = ((":method", "GET"), (":scheme", "http"), (":path", f"/{i % 25}"), (":authority", "a.test"))
        turns.append((0, head(0, 2 * i + 1, END_STREAM, *fields)))
    order = random.Random(5).sample(range(50), 50)
    turns += [(1, head(1, 2 * i + 1, 0, (":status", "200" if i % 2 else "404"), ("x-id", str(i % 10)))) for i in order]
    turns += [(1, frame(DATA, END_STREAM, 2 * i + 1, b"x" * i)) for i in reversed(order)]
    return exchanges(turns, "fifty", "http2", us=10)


def test_multiplexed_streams_lose_those_that_a_hole_touches() -> None:
    capture = fifty()
    truth = truth_of(capture)
    assert len(truth) == 50
    for i in carriers(capture, 0) + carriers(capture, 1):
        rows = read(capture.packets[:i] + capture.packets[i + 1 :])
        check(capture, truth, lossy(capture, i), rows)


def lossy(capture: Capture, i: int) -> Damaged:
    damaged = Damaged(capture, capture.packets[:i] + capture.packets[i + 1 :])
    damaged.lose(capture.packets[i])
    return damaged


def test_one_lost_answer_head_of_fifty_streams_costs_what_was_begun() -> None:
    """Answers whose head is behind the hole are known; those begun before it may have ended in it, and are given up."""
    capture = fifty()
    heads = carriers(capture, 1)[1:51]
    for n, i in enumerate(heads):
        rows = read(capture.packets[:i] + capture.packets[i + 1 :])
        assert len(rows) == 50
        assert sum(row.paired for row in rows) == 49 - n, n


def test_late_join_of_fifty_streams_reports_what_can_be_known() -> None:
    """Joined after n requests: the answers to the others are told. Fields in the static table or in full are known, those that
    refer to entries from before the join are not told, never guessed."""
    capture = fifty()
    truth = {row.first_us: row for row in truth_of(capture)}
    for n, i in enumerate(carriers(capture, 0)[1:]):
        rows = read(capture.packets[i:])
        assert len(rows) == 50 - n
        for row in rows:
            true = truth[row.first_us]
            assert row.paired
            assert row.request.operation == "GET"  # static
            assert row.response is not None and true.response is not None
            assert row.response.status == true.response.status  # static as well
            assert row.request.path in (None, true.request.path)
            assert row.request.server_address in (None, "a.test")
        # The first 25 paths stand in full, and are entries from then on.
        known = [row for row in rows if row.request.path is not None]
        assert len(known) == (50 - n if n == 0 else max(0, 25 - n) + max(0, 25 - n)), n


# --- DNS and Redis, in step again with the next reply ---


def test_pipelined_dns_over_tcp_loses_one_for_one() -> None:
    queries = [dns.message.make_query(f"n{i}.test", "A", id=i) for i in range(20)]
    turns = [(0, query.to_wire()) for query in queries] + [(1, dns.message.make_response(query).to_wire()) for query in queries]
    turns = [(direction, len(wire).to_bytes(2, "big") + wire) for direction, wire in turns]
    capture = exchanges(turns, "dns", "dns", us=10)
    assert len(truth_of(capture)) == 20
    for i in carriers(capture, 0) + carriers(capture, 1):
        rows = read(capture.packets[:i] + capture.packets[i + 1 :])
        assert sum(row.paired for row in rows) == 19, i
        assert [row.outcome for row in rows if not row.paired] in ([], ["lost"])


def test_redis_pipelines_are_in_step_with_the_next() -> None:
    """Ten pipelines of sixteen; of the one whose answers are lost nothing is paired, of all others everything."""
    turns: list[tuple[int, bytes]] = []
    for n in range(10):
        turns.append((0, b"".join(b"*2\r\n$3\r\nGET\r\n$%d\r\nk%d-%d\r\n" % (len(b"k%d-%d" % (n, i)), n, i) for i in range(16))))
        turns.append((1, b"".join(b"$3\r\n%03d\r\n" % i for i in range(16))))
    capture = exchanges(turns, "redis", "redis")
    assert len(pairs(truth_of(capture))) == 160
    for lost, i in enumerate(carriers(capture, 1)[:-2]):
        rows = read(capture.packets[:i] + capture.packets[i + 1 :])
        assert len(pairs(rows)) == 144, lost
        assert [row.outcome for row in rows if not row.paired] == ["lost"] * 16
    for lost, i in enumerate(carriers(capture, 0)[:-2]):
        rows = read(capture.packets[:i] + capture.packets[i + 1 :])
        assert len(pairs(rows)) == 144, lost


# --- the engine's part ---


def test_batches_of_any_size_give_the_same_answer() -> None:
    """Time passes by the packets: what times out does so at the same place, however many packets are read at once."""
    wire = Wire().open()
    for i in range(4):
        wire.say(0, b"GET /%d HTTP/1.1\r\n\r\n" % i, us=20_000_000)
    packets = wire.capture().packets
    assert [[str(row) for row in run(packets, random.Random(seed))] for seed in range(5)] == [
        [str(row) for row in run(packets, random.Random(0))]
    ] * 5


def test_answer_that_comes_in_drops_does_not_time_out() -> None:
    wire = Wire().open().say(0, b"GET /a HTTP/1.1\r\n\r\n")
    for piece in (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n", b"C: d\r\n", b"Content-Length: 0\r\n", b"\r\n"):
        wire.say(1, piece, us=20_000_000)
    (row,) = read(wire.close().capture().packets)
    assert (row.outcome, row.response.status if row.response else None) == ("ok", 200)


def test_ports_used_again_are_another_connection_with_higher_and_lower_numbers() -> None:
    for starts in ((3_000_000_000, 20_000_000), (3_999_000_000, 4_000_000_000), (4_000_000, 2_000_000_000)):
        first, second = Wire().open(), Wire(starts=starts, start_us=1_700_000_001_000_000).open()
        for i, wire in enumerate((first, second)):
            wire.say(0, b"GET /%d HTTP/1.1\r\n\r\n" % i).say(1, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        rows = read([*first.packets, *second.close().packets])
        assert [(row.request.path, row.outcome) for row in rows] == [(b"/0", "ok"), (b"/1", "ok")]
        # Neither SYN nor SYN-ACK of the second one seen: it begins where its numbers do.
        rows = read([*first.packets, *second.packets[3:]])
        assert [(row.request.path, row.outcome) for row in rows] == [(b"/0", "ok"), (b"/1", "ok")]


def test_handshake_once_more_is_no_new_connection() -> None:
    wire = Wire().open().say(0, b"GET /a HTTP/1.1\r\n\r\n")
    syn, syn_ack = wire.packets[:2]
    wire.packets += [replace(syn, ts_us=wire.ts_us + 1), replace(syn_ack, ts_us=wire.ts_us + 2)]
    wire.say(1, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").close()
    wire.packets.append(replace(syn, ts_us=wire.ts_us + 1))
    assert [row.outcome for row in read(wire.packets)] == ["ok"]


def test_port_of_a_server_tells_who_it_is() -> None:
    """A piece of a command looks like a reply; from a client to the port of Redis it is none."""
    wire = Wire(server=(bytes((10, 0, 0, 2)), 6379))
    wire.say(0, b"$7\r\nDISCARD\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n")
    for _ in range(3):
        wire.say(1, b"+PONG\r\n").say(0, b"*1\r\n$4\r\nPING\r\n")
    wire.say(1, b"+PONG\r\n")
    rows = read(wire.packets)
    assert rows
    assert {(row.client, row.request.operation, row.outcome) for row in rows} == {(0, "PING", "ok")}


def test_answer_cut_short_whose_question_nobody_saw_harms_no_later_one() -> None:
    """On port 53 its head alone could be DNS, so it waits; the next question is read at once, for the server is known."""
    capture = load_input(VECTORS / "dns" / "unbound-udp-edns.jsonl")
    packets = [packet for i, packet in enumerate(capture.packets) if i != 4]
    packets[4] = replace(packets[4], payload=packets[4].payload[:12])
    assert len(packets[4].payload) < packets[4].wire_length
    truth, told = truth_of(capture), run(packets, random.Random(0))
    assert [str(row) for row in told] == [str(row) for row in truth if row is not truth[2]]


def test_length_by_itself_behind_a_hole_makes_no_message_of_what_follows() -> None:
    """Two bytes that came alone, then the message: read as a length, the first two of that would announce 34 639 bytes, of which
    any bytes can be the beginning."""
    capture = load_input(VECTORS / "dns" / "unbound-tcp-kdig.jsonl")
    whole = capture.packets[35]
    apart = [
        replace(whole, payload=whole.payload[:2], wire_length=2),
        replace(whole, payload=whole.payload[2:], wire_length=whole.wire_length - 2, seq=whole.seq + 2),
    ]
    packets = [*capture.packets[:31], *capture.packets[32:35], *apart, *capture.packets[36:]]
    truth, told = truth_of(capture), run(packets, random.Random(0))
    assert [str(row) for row in told if row.outcome == "ok"] == [str(row) for row in (*truth[:7], *truth[9:])]
