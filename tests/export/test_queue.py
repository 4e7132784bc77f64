"""The queue against backends that are functions: what a test needs of them is when they answer, and what."""

import logging
import threading
import time
from itertools import pairwise

from receiver.config import Duration, RetryOnFailure, SendingQueue, Size
from receiver.export.outcome import Failed, Retry, Sent
from receiver.export.queue import SAY_AGAIN_S, SAY_NEWS_S, ExportQueue, QueueStats

FAST = RetryOnFailure(initial_interval=Duration(0.005), max_interval=Duration(0.02))


def make(send, *, size=1000, retry=FAST, storage="", name="otlp_grpc/x traces"):
    return ExportQueue(name, send, 5.0, SendingQueue(queue_size=Size(size), storage=str(storage)), retry)


def conserved(stats: QueueStats) -> bool:
    lost = sum(stats.enqueue_failed.values()) + sum(stats.send_failed.values())
    return stats.offered + stats.restored == stats.sent + stats.rejected + lost + stats.queued + stats.kept


def wait_for(condition, timeout_s=60.0):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.002)


class Backend:
    """Answers from a list, then with Sent; remembers what it accepted."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.accepted = []
        self.calls = []
        self.open = threading.Event()
        self.open.set()

    def __call__(self, payload, items, timeout_s):
        self.calls.append((time.monotonic(), payload, timeout_s))
        self.open.wait(10)
        answer = self.answers.pop(0) if self.answers else Sent()
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Sent):
            self.accepted.append((payload, items))
        return answer


def test_requests_arrive_in_order_with_their_items():
    backend = Backend()
    queue = make(backend)
    queue.start()
    for i in range(50):
        assert queue.offer(b"%d" % i, i)
    queue.shutdown(5)
    assert backend.accepted == [(b"%d" % i, i) for i in range(50)]
    stats = queue.stats()
    assert (stats.offered, stats.sent, stats.queued, stats.size_bytes) == (1225, 1225, 0, 0)


def test_retries_keep_the_order():
    backend = Backend(Retry("UNAVAILABLE"), Retry("UNAVAILABLE"), Sent(), Retry("UNAVAILABLE"))
    queue = make(backend)
    queue.start()
    for name in (b"a", b"b", b"c"):
        queue.offer(name, 1)
    wait_for(lambda: queue.stats().sent == 3)
    assert [payload for payload, _ in backend.accepted] == [b"a", b"b", b"c"]
    assert queue.stats().retries == 3
    queue.shutdown(1)


def test_full_queue_refuses_the_newest_and_counts_it():
    backend = Backend()
    backend.open.clear()
    queue = make(backend, size=10)
    queue.start()
    assert queue.offer(b"12345", 1)
    assert queue.offer(b"67890", 2)
    assert not queue.offer(b"x", 4)
    assert queue.stats().enqueue_failed == {"queue_full": 4}
    assert queue.stats().size_bytes == 10
    assert conserved(queue.stats())
    backend.open.set()
    wait_for(lambda: queue.stats().queued == 0)
    assert queue.offer(b"x", 8)
    queue.shutdown(5)
    assert queue.stats().sent == 11


def test_request_over_the_capacity_by_one_byte_is_too_large():
    queue = make(Backend(), size=10)
    assert not queue.offer(bytes(11), 3)
    assert queue.offer(bytes(10), 1)
    assert queue.stats().enqueue_failed == {"too_large": 3}
    assert conserved(queue.stats())


def test_offer_does_not_wait_for_a_backend_that_hangs():
    backend = Backend()
    backend.open.clear()
    queue = make(backend, size=10_000)
    queue.start()
    for _ in range(1000):
        queue.offer(b"x", 1)  # would hang here
    assert queue.stats().queued == 1000
    assert len(backend.calls) <= 1
    backend.open.set()
    queue.shutdown(5)
    assert queue.stats().sent == 1000


def test_permanent_failure_is_counted_by_reason_and_the_next_goes_on():
    backend = Backend(Failed("INVALID_ARGUMENT"), Sent(), Failed("UNAUTHENTICATED"))
    queue = make(backend)
    queue.start()
    for items in (1, 2, 4):
        queue.offer(b"x", items)
    queue.shutdown(5)
    stats = queue.stats()
    assert stats.send_failed == {"INVALID_ARGUMENT": 1, "UNAUTHENTICATED": 4}
    assert (stats.sent, stats.requests_sent, stats.requests_failed) == (2, 1, 2)
    assert conserved(stats)


def test_partial_success_splits_the_count():
    queue = make(Backend(Sent(rejected=3), Sent(rejected=99), Sent(rejected=-1)))
    queue.start()
    for _ in range(3):
        queue.offer(b"x", 10)
    queue.shutdown(5)
    stats = queue.stats()
    assert (stats.sent, stats.rejected) == (17, 13)  # never more than there were, never less than none
    assert conserved(stats)


def test_max_elapsed_time_ends_the_retries():
    queue = make(
        lambda *_: Retry("UNAVAILABLE"),
        retry=RetryOnFailure(
            initial_interval=Duration(0.01), max_interval=Duration(0.01), max_elapsed_time=Duration(0.1)
        ),
    )
    queue.start()
    queue.offer(b"x", 5)
    wait_for(lambda: queue.stats().queued == 0)
    stats = queue.stats()
    assert stats.send_failed == {"UNAVAILABLE": 5}
    assert 1 <= stats.retries <= 20  # 0.1 s of waits of 5 to 15 ms
    queue.shutdown(1)


def test_retry_off_drops_at_the_first_failure():
    queue = make(Backend(Retry("UNAVAILABLE")), retry=RetryOnFailure(enabled=False))
    queue.start()
    queue.offer(b"x", 5)
    wait_for(lambda: queue.stats().queued == 0)
    assert (queue.stats().send_failed, queue.stats().retries) == ({"UNAVAILABLE": 5}, 0)
    queue.shutdown(1)


def test_waits_grow_between_retries():
    backend = Backend(*[Retry("UNAVAILABLE")] * 4)
    retry = RetryOnFailure(
        initial_interval=Duration(0.02), multiplier=2.0, randomization_factor=0.0, max_interval=Duration(0.06)
    )
    queue = make(backend, retry=retry)
    queue.start()
    queue.offer(b"x", 1)
    wait_for(lambda: queue.stats().sent == 1)
    at = [call[0] for call in backend.calls]
    waits = [b - a for a, b in pairwise(at)]
    for wait, least in zip(waits, (0.02, 0.04, 0.06, 0.06), strict=True):
        assert wait >= least  # a slow machine only makes them longer
    queue.shutdown(1)


def test_delay_named_by_the_server_is_kept():
    backend = Backend(Retry("RESOURCE_EXHAUSTED", after_s=0.15))
    queue = make(backend)
    queue.start()
    queue.offer(b"x", 1)
    wait_for(lambda: queue.stats().sent == 1)
    assert backend.calls[1][0] - backend.calls[0][0] >= 0.15
    queue.shutdown(1)


def test_delay_beyond_max_elapsed_time_is_not_waited_for():
    queue = make(Backend(Retry("429", after_s=1e12)))
    queue.start()
    queue.offer(b"x", 2)
    wait_for(lambda: queue.stats().queued == 0)
    assert queue.stats().send_failed == {"429": 2}
    queue.shutdown(1)


def test_shutdown_flushes():
    backend = Backend()
    queue = make(backend)
    for _ in range(10):
        queue.offer(b"x", 1)
    queue.start()
    queue.shutdown(5)
    assert queue.stats().sent == 10


def test_shutdown_cuts_a_backoff_short_for_one_more_try():
    backend = Backend(Retry("UNAVAILABLE"))
    queue = make(backend, retry=RetryOnFailure(initial_interval=Duration(60)))
    queue.start()
    queue.offer(b"x", 1)
    wait_for(lambda: queue.stats().retries == 1)
    queue.shutdown(5)
    assert queue.stats().sent == 1


def test_shutdown_with_a_dead_backend_ends_early_and_counts():
    retry = RetryOnFailure(initial_interval=Duration(600), max_interval=Duration(600), max_elapsed_time=Duration(0))
    backend = Backend(*[Retry("UNAVAILABLE")] * 9)
    queue = make(backend, retry=retry)
    queue.start()
    for items in (1, 2, 4):
        queue.offer(b"x", items)
    wait_for(lambda: queue.stats().retries == 1)
    began = time.monotonic()
    queue.shutdown(30)
    assert time.monotonic() - began < 25  # a retry after the deadline is not waited for
    assert len(backend.calls) == 2
    stats = queue.stats()
    assert (stats.send_failed, stats.queued) == ({"shutdown": 7}, 0)
    assert conserved(stats)


def test_shutdown_does_not_override_a_delay_named_by_the_server():
    backend = Backend(Retry("RESOURCE_EXHAUSTED", after_s=60))
    queue = make(backend)
    queue.start()
    queue.offer(b"x", 1)
    wait_for(lambda: queue.stats().retries == 1)
    queue.shutdown(0.2)
    assert len(backend.calls) == 1
    assert queue.stats().send_failed == {"shutdown": 1}


def test_shutdown_deadline_holds_against_a_backend_that_hangs():
    backend = Backend()
    backend.open.clear()
    queue = make(backend)
    queue.start()
    queue.offer(b"x", 1)
    queue.offer(b"y", 2)
    wait_for(lambda: backend.calls)
    queue.shutdown(0.05)
    stats = queue.stats()
    assert stats.send_failed == {"shutdown": 3}
    backend.open.set()
    wait_for(lambda: backend.accepted)
    time.sleep(0.02)
    assert queue.stats() == stats  # a late answer changes nothing


def test_offer_after_shutdown_is_refused_and_counted():
    queue = make(Backend())
    queue.start()
    queue.shutdown(1)
    assert not queue.offer(b"x", 3)
    assert queue.stats().enqueue_failed == {"shutdown": 3}
    assert conserved(queue.stats())


def test_shutdown_twice_and_before_start():
    queue = make(Backend())
    queue.offer(b"x", 3)
    queue.shutdown(0)
    queue.shutdown(0)
    assert queue.stats().send_failed == {"shutdown": 3}


def test_refused_items_count():
    queue = make(Backend())
    queue.refuse(5, "too_large")
    assert queue.stats().enqueue_failed == {"too_large": 5}
    assert conserved(queue.stats())


def test_our_own_fault_costs_one_request_and_not_the_thread(caplog):
    queue = make(Backend(ZeroDivisionError(), ZeroDivisionError()))
    queue.start()
    for items in (1, 2, 4):
        queue.offer(b"x", items)
    queue.shutdown(5)
    assert (queue.stats().send_failed, queue.stats().sent) == ({"internal": 3}, 4)
    assert sum("ZeroDivisionError" in (r.exc_text or "") for r in caplog.records) == 1


def test_conservation_holds_at_any_moment():
    """Offers from two threads, a backend that answers everything there is, and a third that looks all the time."""
    answers = [Sent(), Retry("UNAVAILABLE", 0.0), Failed("INTERNAL"), Sent(rejected=1), Sent(), Failed("ABORTED")]
    state = {"n": 0}

    def backend(payload, items, timeout_s):
        state["n"] += 1
        return answers[state["n"] % len(answers)]

    queue = make(
        backend, size=400, retry=RetryOnFailure(initial_interval=Duration(0.0001), max_interval=Duration(0.0001))
    )
    queue.start()
    looks = []
    done = threading.Event()

    def look():
        while not done.is_set():
            looks.append(conserved(queue.stats()))

    def offer():
        for i in range(2000):
            queue.offer(b"x" * (i % 50), i % 7)

    threads = [threading.Thread(target=offer), threading.Thread(target=offer), threading.Thread(target=look)]
    for thread in threads:
        thread.start()
    for thread in threads[:2]:
        thread.join()
    queue.shutdown(5)
    done.set()
    threads[2].join()
    stats = queue.stats()
    assert looks and all(looks)
    assert conserved(stats)
    assert stats.offered == 2 * sum(i % 7 for i in range(2000))
    assert stats.queued == 0


def test_backend_that_is_down_is_logged_once_and_its_return_once(caplog):
    caplog.set_level(logging.INFO)
    backend = Backend(*[Retry("UNAVAILABLE", detail="connection refused")] * 5)
    queue = make(backend)
    queue.start()
    for _ in range(3):
        queue.offer(b"payload-text", 1)
    wait_for(lambda: queue.stats().sent == 3)
    queue.shutdown(1)
    assert [r.getMessage() for r in caplog.records] == [
        "otlp_grpc/x traces: UNAVAILABLE (connection refused): will retry",
        "otlp_grpc/x traces: sending again",
    ]


def test_full_queue_is_logged_once_until_there_is_room(caplog):
    backend = Backend()
    backend.open.clear()
    queue = make(backend, size=4)
    queue.start()
    queue.offer(b"1234", 1)
    for _ in range(10):
        queue.offer(b"x", 1)
    assert sum("queue is full" in r.getMessage() for r in caplog.records) == 1
    backend.open.set()
    queue.shutdown(5)


def test_trouble_that_lasts_is_said_now_and_then_and_another_one_soon(caplog, monkeypatch):
    now_s = 1000.0
    monkeypatch.setattr("receiver.export.queue.time.monotonic", lambda: now_s)
    queue = make(Backend())
    tls, refused = Retry("UNAVAILABLE", detail="no TLS"), Retry("UNAVAILABLE", detail="refused")

    def said(outcome, after_s):
        nonlocal now_s
        now_s += after_s
        before = len(caplog.records)
        queue._note_trouble(1, outcome)
        return [r.getMessage() for r in caplog.records[before:]]

    line = "otlp_grpc/x traces: UNAVAILABLE (no TLS): will retry"
    assert said(tls, 0) == [line]
    assert [said(tls, 1) for _ in range(60)] == [[]] * 60
    assert said(tls, SAY_AGAIN_S) == [line]
    assert said(refused, SAY_NEWS_S / 2) == []
    assert said(refused, SAY_NEWS_S / 2) == ["otlp_grpc/x traces: UNAVAILABLE (refused): will retry"]
    assert said(tls, 1) == []
