"""What stands between bytes and frames: cuts, skips, holes, faults, detection.

The decoder is HTTP/1's; its own rules are tested in test_http1.py.
"""

from __future__ import annotations

import logging

import pytest

from receiver.l7.conversation import Conversation
from receiver.l7.decoder import Decoder
from receiver.l7.detect import Detector
from receiver.l7.http1 import Http1Decoder
from receiver.l7.matcher import Pairing
from receiver.l7.reading import Reading
from receiver.l7.registry import PROTOCOLS
from receiver.wire.records import OUTCOMES, Protocol
from tests.l7.harness import COMPILED, TO_CLIENT, TO_SERVER, Collector, Pair, Run

GET = b"GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
RESET = OUTCOMES.index("reset")


def statuses(run: Run) -> list[tuple[str, int | None]]:
    return [(seen.outcome, seen["status"]) for seen in run.seen]


def test_size_is_what_passed_not_what_was_announced() -> None:
    run = Run(PROTOCOLS).feed(TO_SERVER, GET)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    run.feed(TO_CLIENT, head + b"x" * 10).feed(TO_CLIENT, b"x" * 10)
    seen = run.end(RESET)
    assert [(one.outcome, one.sizes) for one in seen] == [("reset", (len(GET), len(head) + 20))]


def test_size_counts_all_pieces_and_bytes_lost_inside_a_body() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
    run = Run(PROTOCOLS).feed(TO_SERVER, GET).feed(TO_CLIENT, head[:7]).feed(TO_CLIENT, head[7:] + b"x" * 10)
    run.feed(TO_CLIENT, b"x" * 20).gap(TO_CLIENT, 30).feed(TO_CLIENT, b"x" * 40 + OK)
    assert [one.sizes[1] for one in run.seen] == [len(head) + 100]


def test_body_that_ends_inside_a_hole_did_end() -> None:
    run = Run(PROTOCOLS).feed(TO_SERVER, GET + GET)
    run.feed(TO_CLIENT, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n").gap(TO_CLIENT, 150)
    run.feed(TO_SERVER, GET).feed(TO_CLIENT, OK)
    run.end()
    assert statuses(run) == [("ok", 200), ("lost", None), ("ok", 200)]
    assert run.reading.gaps == {"http": 1}


def test_hole_that_ends_with_the_body_loses_nothing() -> None:
    run = Run(PROTOCOLS).feed(TO_SERVER, GET + GET)
    run.feed(TO_CLIENT, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n").gap(TO_CLIENT, 100)
    assert statuses(run) == [("ok", 200)]
    run.feed(TO_CLIENT, OK)
    assert statuses(run) == [("ok", 200), ("ok", 200)]


def test_fin_ends_only_what_the_close_ends() -> None:
    run = Run(PROTOCOLS).feed(TO_SERVER, GET).feed(TO_CLIENT, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
    run.conversation.close(TO_CLIENT, run.ts_ns)
    assert run.seen == []
    run.end()
    assert [one.outcome for one in run.seen] == ["closed"]


def test_head_cut_many_times_begins_when_its_first_byte_came() -> None:
    run = Run(PROTOCOLS)
    for i in range(len(GET)):
        run.feed(TO_SERVER, GET[i : i + 1], 1_000 + i)
    run.feed(TO_CLIENT, OK, 5_000)
    assert run.seen[0].times == (1_000, 1_000 + len(GET) - 1, 5_000, 5_000)


def test_answer_that_came_before_detection_is_paired() -> None:
    run = Run(PROTOCOLS).feed(TO_SERVER, b"\r\n").feed(TO_SERVER, GET).feed(TO_CLIENT, OK)
    assert statuses(run) == [("ok", 200)]


def test_undecided_bytes_are_bounded() -> None:
    run = Run(PROTOCOLS).feed(TO_SERVER, b"\r\n" * 2047)
    assert run.conversation.state == "detecting"
    run.feed(TO_SERVER, b"\r\n")
    assert run.conversation.state == "set aside"
    assert run.reading.bytes_set_aside == 4096
    run.feed(TO_SERVER, GET)
    assert run.reading.bytes_set_aside == 4096 + len(GET)


def test_connection_that_is_nothing_known_is_set_aside_and_counted() -> None:
    run = Run(PROTOCOLS).feed(TO_SERVER, b"\x00" * 10).feed(TO_CLIENT, b"-----garbage-----\r\n").feed(TO_SERVER, GET)
    assert run.seen == [] and run.reading.bytes_set_aside == 10 + 19 + len(GET)


def test_answer_tells_the_protocol_of_a_request_that_breaks_every_rule() -> None:
    run = Run(PROTOCOLS).feed(TO_SERVER, b"GET/HTTP/1.1\nHost: a\n\n")
    run.feed(TO_CLIENT, b"HTTP/1.0 400 Bad Request\r\nContent-Length: 0\r\n\r\n").feed(TO_SERVER, GET).feed(TO_CLIENT, OK)
    assert [(seen["operation"], seen["status"]) for seen in run.end()] == [("_OTHER", 400), ("GET", 200)]


def test_joined_late_is_tried_again_when_the_direction_turns() -> None:
    run = Run(PROTOCOLS, from_start=False).feed(TO_CLIENT, b"\xff" * 10)
    for _ in range(50):
        run.feed(TO_CLIENT, b"HTTP/1.1 2")  # inside a body, whatever it looks like
    run.feed(TO_SERVER, GET).feed(TO_CLIENT, OK)
    run.end()
    assert statuses(run) == [("ok", 200)]


def test_configured_port_needs_no_content() -> None:
    def start(pinned: dict[int, Protocol]) -> tuple[Collector, Conversation, Reading]:
        collector = Collector()
        reading = Reading(Pairing(collector), Detector(PROTOCOLS, pinned, False))
        return collector, Conversation(reading, Pair(True), True), reading

    http = PROTOCOLS[0]
    collector, conversation, reading = start({0: http})  # the port of a Connection that nobody set
    conversation.feed(TO_SERVER, GET, 0, len(GET), 1)
    conversation.feed(TO_CLIENT, OK, 0, len(OK), 2)
    assert [seen["status"] for seen in collector.seen] == [200]
    collector, conversation, reading = start({81: http})
    conversation.feed(TO_SERVER, GET, 0, len(GET), 1)
    conversation.feed(TO_CLIENT, OK, 0, len(OK), 2)
    assert reading.bytes_set_aside == len(GET) + len(OK)


def test_hole_before_detection_is_a_late_join() -> None:
    run = Run(PROTOCOLS).gap(TO_SERVER, 10)
    run.feed(TO_SERVER, b"the rest of something").feed(TO_CLIENT, b"\x00").feed(TO_SERVER, GET).feed(TO_CLIENT, OK)
    run.end()
    assert statuses(run) == [("ok", 200)]


def test_malformed_datagram_is_not_kept() -> None:
    run = Run((Protocol("http", "http", Http1Decoder, over_tcp=False, over_udp=True),), datagrams=True)
    run.feed(TO_SERVER, GET).feed(TO_SERVER, GET[:-5]).feed(TO_SERVER, GET)
    assert run.reading.errors == {("http", "datagram cut short"): 1}


@pytest.mark.skipif(COMPILED, reason="a compiled decoder cannot be given a bug from outside")
def test_decoder_bug_sets_the_connection_aside_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Http1Decoder):
        def parse(self, *_: object) -> int:
            raise ZeroDivisionError("secret payload")

    broken = (Protocol("http", "http", Broken),)
    runs = [Run(broken) for _ in range(2)]
    with caplog.at_level(logging.ERROR):
        for run in runs:
            run.reading.logged.update(runs[0].reading.logged)
            run.feed(TO_SERVER, GET)
            run.feed(TO_CLIENT, OK)
    assert [run.reading.errors for run in runs] == [{("http", "internal"): 1}] * 2
    assert {run.conversation.state for run in runs} == {"set aside"}
    assert len(caplog.records) == 1 and "ZeroDivisionError" in caplog.text and "secret" not in caplog.text


def test_decoder_that_raises_is_our_bug_not_the_peers(caplog: pytest.LogCaptureFixture) -> None:
    unfinished = Protocol("http", "http", Decoder)  # the base class: every method raises NotImplementedError
    collector = Collector()
    reading = Reading(Pairing(collector), Detector((unfinished,), {0: unfinished}))
    conversation = Conversation(reading, Pair(True), True)
    with caplog.at_level(logging.ERROR):
        conversation.feed(TO_SERVER, GET, 0, len(GET), 1)
        conversation.feed(TO_CLIENT, OK, 0, len(OK), 2)
    assert reading.errors == {("http", "internal"): 1}
    assert conversation.state == "set aside" and collector.seen == []
    assert [record.levelname for record in caplog.records] == ["ERROR"] and "/a" not in caplog.text


def test_bytes_in_which_no_frame_is_found_are_as_good_as_missing() -> None:
    """After a hole the answer begins in pieces that nobody recognises: the next answer is not that request's."""
    run = Run(PROTOCOLS).feed(TO_SERVER, GET).feed(TO_CLIENT, OK).gap(TO_CLIENT, 10)
    run.feed(TO_SERVER, GET).feed(TO_CLIENT, b"x" + OK[:3]).feed(TO_CLIENT, OK[3:])
    run.feed(TO_SERVER, GET).feed(TO_CLIENT, OK)
    run.end()
    assert statuses(run) == [("ok", 200), ("lost", None), ("ok", 200)]


def test_what_ends_in_a_hole_was_last_seen_before_it() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
    run = Run(PROTOCOLS).feed(TO_SERVER, GET, 1_000).feed(TO_CLIENT, head + b"x" * 10, 2_000).feed(TO_CLIENT, b"x" * 10, 3_000)
    run.ts_ns = 9_000
    run.gap(TO_CLIENT, 80)
    assert [one.times[3] for one in run.seen] == [3_000]


def test_datagram_that_is_nothing_does_not_hide_the_next() -> None:
    run = Run(PROTOCOLS, from_start=False, datagrams=True)
    question = bytes((0, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1)) + b"a" + bytes((0, 0, 1, 0, 1))
    run.feed(TO_SERVER, question[:7]).feed(TO_SERVER, question)
    assert run.reading.detected == {"dns": 1}


def test_hole_of_unknown_size_ends_no_body() -> None:
    """Another connection on the same ports, its handshake unseen: what the one before had announced did not come."""
    for length in (b"Content-Length: 100\r\n", b""):
        run = Run(PROTOCOLS).feed(TO_SERVER, GET).feed(TO_CLIENT, b"HTTP/1.1 200 OK\r\n" + length + b"\r\n" + b"x" * 10)
        run.gap(TO_SERVER, 0).gap(TO_CLIENT, 0)
        assert [(one.outcome, one.sizes[1]) for one in run.seen] == [("lost", len(length) + 29)]
        run.feed(TO_SERVER, GET).feed(TO_CLIENT, OK)
        run.end()
        assert statuses(run)[1:] == [("ok", 200)]


# --- no byte is lost in silence ---


def test_flow_that_ends_undecided_is_counted_with_its_bytes() -> None:
    for datagrams in (False, True):
        for end in (True, False):
            run = Run(PROTOCOLS, datagrams=datagrams).feed(TO_SERVER, b"\x16\x03")
            run.feed(TO_CLIENT, b"\x16\x03\x03" if end and not datagrams else b"")
            run.end()
            run.conversation.end(RESET, run.ts_ns)  # once is enough
            assert run.reading.bytes_set_aside == (5 if end and not datagrams else 2)
            assert list(run.reading.undetected.values()) == [1]


def test_flow_that_is_nothing_known_is_counted() -> None:
    run = Run(PROTOCOLS).feed(TO_CLIENT, b"\x00" * 10)
    run.end()
    assert (run.reading.undetected, run.reading.bytes_set_aside) == ({"unknown": 1}, 10)
    run = Run(PROTOCOLS).feed(TO_SERVER, GET).feed(TO_CLIENT, OK)
    run.end()
    assert (run.reading.undetected, run.reading.bytes_set_aside) == ({}, 0)


def test_what_waited_for_detection_before_a_hole_is_counted() -> None:
    run = Run(PROTOCOLS).feed(TO_SERVER, GET[:2]).feed(TO_CLIENT, OK[:3]).gap(TO_SERVER, 10)
    assert run.reading.bytes_set_aside == 5
    run.end()
    assert run.reading.bytes_set_aside == 5


def test_head_that_a_hole_or_the_end_cuts_off_is_counted() -> None:
    for cut in (lambda run: run.gap(TO_CLIENT, 10), lambda run: run.end()):
        run = Run(PROTOCOLS).feed(TO_SERVER, GET).feed(TO_CLIENT, OK[:10])
        cut(run)
        assert run.reading.bytes_set_aside == 10
    run = Run(PROTOCOLS).feed(TO_SERVER, GET).feed(TO_CLIENT, OK + OK[:10])
    run.end()
    assert run.reading.bytes_set_aside == 10


def test_bytes_that_break_the_rules_are_counted_and_those_before_them_are_not() -> None:
    run = Run(PROTOCOLS).feed(TO_SERVER, GET).feed(TO_SERVER, GET + b"garbage\r\n" + GET)
    assert list(run.reading.errors) == [("http", "no method")] or list(run.reading.errors) == [("http", "no version")]
    assert run.reading.bytes_set_aside == len(b"garbage\r\n" + GET)
    run.feed(TO_SERVER, b"xx" + GET)
    assert run.reading.bytes_set_aside == 2 * len(GET) + len(b"garbage\r\nxx")


def test_rule_broken_by_a_head_in_two_pieces_counts_both() -> None:
    run = Run(PROTOCOLS).feed(TO_SERVER, GET).feed(TO_SERVER, b"garb").feed(TO_SERVER, b"age\r\nmore")
    assert run.reading.bytes_set_aside == len(b"garbage\r\nmore")


def test_connection_that_breaks_the_rules_too_often_is_counted_to_its_end() -> None:
    run = Run(PROTOCOLS)
    bad = b"garbage\r\n"
    for _ in range(40):
        run.feed(TO_SERVER, GET + bad)
    run.end()
    assert run.conversation.state == "set aside"
    assert run.reading.bytes_set_aside == 16 * len(bad) + 24 * len(GET + bad)  # sixteen faults are enough
