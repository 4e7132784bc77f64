"""Pairing: order, keys, limits, timeouts, and what a hole leaves of them; the books balance after every step."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from receiver.l7.conversation import Conversation
from receiver.l7.http1 import Http1Decoder
from receiver.wire.records import OUTCOMES, Protocol
from tests.l7.harness import OUTCOME_CLOSED, TO_CLIENT, TO_SERVER, Run

# The matcher is driven through a conversation of HTTP/1: its methods are the compiled package's own.
PROTOCOLS = (Protocol("http", "http", Http1Decoder),)
SECOND_NS = 1_000_000_000


def ask(run: Run, *names: str) -> None:
    for name in names:
        run.feed(TO_SERVER, f"GET /{name} HTTP/1.1\r\n\r\n".encode())


def answer(run: Run, *statuses: int) -> None:
    for status in statuses:
        run.feed(TO_CLIENT, f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n".encode())


def outcomes(run: Run) -> list[tuple[str, str, int | None]]:
    return [(str(s["url.path"])[1:], s.outcome, s["status"]) for s in run.seen]


def test_first_asked_is_first_answered() -> None:
    run = Run(PROTOCOLS)
    ask(run, "a", "b", "c")
    answer(run, 201, 202)
    ask(run, "d")
    answer(run, 203, 204)
    assert outcomes(run) == [("a", "ok", 201), ("b", "ok", 202), ("c", "ok", 203), ("d", "ok", 204)]


def test_end_leaves_nothing_behind() -> None:
    for number, name in enumerate(OUTCOMES):
        run = Run(PROTOCOLS)
        ask(run, "a", "b")
        answer(run, 200)
        run.end(number)
        assert outcomes(run)[1] == ("b", name, None)


def test_timeout_keeps_the_place_of_the_late_answer() -> None:
    run = Run(PROTOCOLS)
    ask(run, "a")
    late_ns = run.ts_ns + 31 * SECOND_NS
    assert run.conversation.expire(run.ts_ns + 29 * SECOND_NS) == 1
    assert run.seen == []
    run.conversation.expire(late_ns)
    assert outcomes(run) == [("a", "timeout", None)]
    run.ts_ns = late_ns
    ask(run, "b")
    answer(run, 201, 202)
    assert outcomes(run)[1:] == [("b", "ok", 202)]
    assert run.pairing.unmatched == 1
    run.end()


def test_nothing_waits_after_all_is_answered() -> None:
    run = Run(PROTOCOLS)
    assert run.conversation.expire(run.ts_ns) == 0
    ask(run, "a")
    assert run.conversation.expire(run.ts_ns) == 1
    answer(run, 200)
    assert run.conversation.expire(run.ts_ns) == 0


def test_one_request_more_than_a_pipeline_holds_is_refused() -> None:
    run = Run(PROTOCOLS, pending_max=1)
    names = [f"p{i}" for i in range(16)]
    ask(run, *names)
    assert run.pairing.refused == 0
    ask(run, "c")
    assert run.pairing.refused == 1
    answer(run, *range(201, 218))
    ask(run, "d")
    answer(run, 299)
    run.end()
    paired = [(name, "ok", 201 + i) for i, name in enumerate(names)]
    assert outcomes(run) == [("c", "lost", None), *paired, ("d", "ok", 299)]
    assert run.pairing.unmatched == 1


def test_refused_requests_keep_their_places() -> None:
    """What is answered is paired with what was asked, before and behind them."""
    run = Run(PROTOCOLS, pending_max=1)
    for _ in range(3):
        ask(run, *[f"p{i}" for i in range(16)], "no", "no", "no")
        answer(run, 200, 201)
        ask(run, "q")  # the first place that is free is behind them
        answer(run, *range(202, 216), 500, 500, 500, 299)
    assert run.pairing.refused == 9 and run.pairing.unmatched == 9
    paired = [(f"p{i}", "ok", 200 + i) for i in range(16)]
    assert [one for one in outcomes(run) if one[1] == "ok"] == [*paired, ("q", "ok", 299)] * 3
    assert run.pairing.queued == 0
    run.end()


def test_refused_requests_leave_nothing_behind() -> None:
    run = Run(PROTOCOLS, pending_max=1)
    ask(run, *"x" * 30)
    run.conversation.expire(run.ts_ns + 31 * SECOND_NS)
    ask(run, *"x" * 10)
    run.end()
    assert run.pairing.queued == 0 and len(run.seen) == 40


def connections(count: int, pending_max: int) -> list[Run]:
    """Several that share their limits."""
    runs = [Run(PROTOCOLS, pending_max=pending_max) for _ in range(count)]
    for run in runs[1:]:
        run.collector, run.pairing, run.reading = runs[0].collector, runs[0].pairing, runs[0].reading
        run.conversation = Conversation(run.reading, run.connection, True)
    return runs


def test_deep_pipelines_of_all_connections_are_bounded_together_and_take_nothing_from_others() -> None:
    *deep, other = connections(6, pending_max=2)
    for run in deep:
        ask(run, *"x" * 32)
    pairing = other.pairing
    # Four are as deep as they may be, the last one has what everybody may have, and a place for those that were refused.
    assert (pairing.queued, pairing.refused) == (4 * 32 + 2 + 1, 30)
    ask(other, "a", "b")
    assert pairing.refused == 30
    ask(other, "c")
    assert (pairing.queued, pairing.refused) == (4 * 32 + 3 + 3, 31)
    answer(deep[0], *[200] * 32)
    ask(deep[0], *"y" * 26)
    assert (pairing.queued, pairing.refused) == (128, 31)
    ask(deep[0], "z")
    assert (pairing.queued, pairing.refused) == (129, 32)
    for run in (*deep, other):
        run.conversation.end(OUTCOME_CLOSED, run.ts_ns)
    assert pairing.queued == pairing.open == 0
    other.check_books()


def test_answer_without_a_request_is_counted() -> None:
    run = Run(PROTOCOLS)
    ask(run, "a")
    answer(run, 200, 201)
    run.end()
    assert (run.pairing.responses, run.pairing.unmatched) == (2, 1)


# --- after a hole ---


def test_pair_after_a_hole_waits_for_proof() -> None:
    run = Run(PROTOCOLS).gap(TO_SERVER, 0)
    ask(run, "a")
    run = Run(PROTOCOLS)
    ask(run, "a")
    answer(run, 200)
    run.gap(TO_SERVER, 100)
    ask(run, "b")
    answer(run, 201)
    assert outcomes(run) == [("a", "ok", 200)]
    ask(run, "c")  # everything was answered: the order was right
    assert outcomes(run) == [("a", "ok", 200), ("b", "ok", 201)]
    answer(run, 202)
    run.end()
    assert outcomes(run)[2:] == [("c", "ok", 202)]


def test_answer_too_many_takes_back_what_was_held() -> None:
    run = Run(PROTOCOLS)
    ask(run, "a")
    run.gap(TO_SERVER, 100)  # /b was in it
    ask(run, "c")
    answer(run, 201, 202, 203)
    run.end()
    assert outcomes(run) == [("a", "ok", 201), ("c", "lost", None)]


def test_overlapping_requests_prove_no_order() -> None:
    """One request is always on its way, so a request that begins with all known ones answered shows nothing."""
    run = Run(PROTOCOLS)
    ask(run, "a", "b")
    answer(run, 201)
    ask(run, "c")
    answer(run, 202)
    run.gap(TO_SERVER, 100)  # /d
    answer(run, 203)
    for number in range(5, 40):
        run.ts_ns += 1000
        ask(run, str(number))
        answer(run, 200 + number - 1)  # the answer to the one before
    run.ts_ns += 1000
    answer(run, 239)
    run.end()
    assert [one for one in outcomes(run) if one[1] == "ok"] == [("a", "ok", 201), ("b", "ok", 202), ("c", "ok", 203)]


def test_overlapping_requests_are_certain_again_after_a_rest() -> None:
    run = Run(PROTOCOLS)
    ask(run, "a", "b")
    answer(run, 201)
    ask(run, "c")
    answer(run, 202, 203)
    run.gap(TO_SERVER, 100)
    ask(run, "d")
    answer(run, 204)
    run.ts_ns += 2 * SECOND_NS
    ask(run, "e")
    assert outcomes(run)[3:] == [("d", "ok", 204)]
    answer(run, 205)
    run.end()
    assert outcomes(run)[4:] == [("e", "ok", 205)]


def test_end_proves_no_order_of_several_at_once() -> None:
    """/a is lost, the last answer never comes: /b has the answer to /a, and nothing shows it."""
    run = Run(PROTOCOLS)
    ask(run, "first")
    answer(run, 200)
    run.gap(TO_SERVER, 100)
    ask(run, "b", "c")
    answer(run, 201, 202)
    run.end()
    assert outcomes(run) == [("first", "ok", 200), ("b", "lost", None), ("c", "lost", None)]


def test_end_after_a_rest_proves_the_order() -> None:
    run = Run(PROTOCOLS, from_start=False)
    ask(run, "b", "c")
    answer(run, 202, 203)
    run.ts_ns += 2 * SECOND_NS
    run.end()
    assert outcomes(run) == [("b", "ok", 202), ("c", "ok", 203)]


def test_lost_answers_take_those_that_wait() -> None:
    run = Run(PROTOCOLS)
    ask(run, "a", "b")
    run.gap(TO_CLIENT, 100)
    assert outcomes(run) == [("a", "lost", None), ("b", "lost", None)]
    ask(run, "c")
    answer(run, 203)
    run.end()
    assert outcomes(run)[2:] == [("c", "ok", 203)]


def test_held_pairs_are_bounded() -> None:
    run = Run(PROTOCOLS, from_start=False, pending_max=100)
    ask(run, *(str(i) for i in range(65)))
    answer(run, *([200] * 65))
    run.end()
    assert [one[1] for one in outcomes(run)] == ["lost"] * 65


def test_joined_late_the_first_answers_prove_themselves() -> None:
    run = Run(PROTOCOLS, from_start=False)
    ask(run, "a", "b")
    answer(run, 201, 202)
    assert run.seen == []
    ask(run, "c")
    assert outcomes(run) == [("a", "ok", 201), ("b", "ok", 202)]
    run.end(OUTCOME_CLOSED)


def test_late_rest_releases_what_was_held() -> None:
    run = Run(PROTOCOLS, from_start=False)
    ask(run, "a")
    answer(run, 201)
    run.conversation.expire(run.ts_ns + 31 * SECOND_NS)
    assert outcomes(run) == [("a", "ok", 201)]


@given(
    st.lists(st.sampled_from(("ask", "answer", "lose request", "lose answer", "expire", "later")), max_size=60),
    st.booleans(),
)
def test_books_balance_whatever_happens(steps: list[str], from_start: bool) -> None:
    run = Run(PROTOCOLS, from_start=from_start, pending_max=5)
    for step in steps:
        if step == "ask":
            ask(run, "x")
        elif step == "answer":
            answer(run, 200)
        elif step == "lose request":
            run.gap(TO_SERVER, 40)
        elif step == "lose answer":
            run.gap(TO_CLIENT, 40)
        elif step == "expire":
            run.conversation.expire(run.ts_ns)
        else:
            run.ts_ns += 20 * SECOND_NS
        run.check_books()
    run.end()


def test_request_without_an_answer_in_doubt_is_lost_not_closed() -> None:
    """Three asked after a hole, two answered: whose the two were nobody knows, so not of any of the three that it had none."""
    run = Run(PROTOCOLS)
    ask(run, "z")
    answer(run, 200)
    run.gap(TO_SERVER, 100)
    ask(run, "a", "b", "c")
    answer(run, 200, 200)
    run.end(OUTCOME_CLOSED)
    assert [(name, outcome) for name, outcome, _ in outcomes(run)[1:]] == [("a", "lost"), ("b", "lost"), ("c", "lost")]


def test_answer_that_has_begun_to_come_does_not_time_out() -> None:
    run = Run(PROTOCOLS)
    ask(run, "a")
    began_ns = run.ts_ns
    for i in range(1, 4):
        run.feed(TO_CLIENT, (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n", b"C: d\r\n")[i - 1], began_ns + i * 20 * SECOND_NS)
        run.conversation.expire(run.ts_ns + 19 * SECOND_NS)
    assert run.seen == []
    run.conversation.expire(run.ts_ns + 31 * SECOND_NS)
    assert outcomes(run) == [("a", "timeout", None)]
