"""The bounded queue before every backend: what waits, what is tried again, what is lost and why.

Room: export. Knows bytes and a number of items (spans or data points), not what they mean.

    offer() -> [oldest ... newest] -> one worker thread -> send() -> Sent | Retry | Failed
                      |
                      +-> one spool thread, when `storage` is set: a copy of each on disk until it is settled

One request is under way at a time and nothing overtakes: a store wants the samples of a series in order of time. When
the queue is full the newest is refused: the oldest may be in flight, and its loss would tear a hole into what was
already accepted.

Every item is in exactly one place at any moment, and `stats()` is one consistent look at them:

    offered + restored = sent + rejected + enqueue_failed + send_failed + queued + kept
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque

import msgspec

from receiver.config import RetryOnFailure, SendingQueue
from receiver.export.outcome import Failed, Outcome, Retry, Send, Sent
from receiver.export.spool import Corrupt, Spool

logger = logging.getLogger(__name__)

QUEUE_FULL = "queue_full"
TOO_LARGE = "too_large"
SHUTDOWN = "shutdown"
INTERNAL = "internal"

# A trouble that lasts is said again now and then, one that becomes another soon, but not at every try.
SAY_AGAIN_S = 300.0
SAY_NEWS_S = 10.0

# A server may name any delay, and without max_elapsed_time nothing else would end the wait.
MAX_DELAY_S = 3600.0


class QueueStats(msgspec.Struct, frozen=True):
    """Items (spans or data points) since the start, and what the queue holds now."""

    offered: int = 0
    restored: int = 0  # from the spool, left there by an earlier process
    sent: int = 0
    rejected: int = 0  # by a backend that accepted the rest of the request
    enqueue_failed: dict[str, int] = {}  # by reason
    send_failed: dict[str, int] = {}  # by reason
    queued: int = 0  # in flight included
    kept: int = 0  # left in the spool at shutdown, for the next process
    requests_sent: int = 0
    requests_failed: int = 0
    retries: int = 0
    size_bytes: int = 0
    capacity_bytes: int = 0
    corrupt_files: int = 0  # of the spool: requests whose items nobody can count any more
    spool_errors: int = 0  # requests that could not be written to the spool, and wait in memory alone


class _Request:
    __slots__ = ("items", "on_disk", "payload", "place", "settled")

    def __init__(self, place: int, payload: bytes, items: int, on_disk: bool) -> None:
        self.place = place
        self.payload = payload
        self.items = items
        self.on_disk = on_disk
        self.settled = False


class ExportQueue:
    """Requests on their way to one backend. All methods may be called from any thread; `offer` and `stats` never
    wait."""

    def __init__(self, name: str, send: Send, timeout_s: float, queue: SendingQueue, retry: RetryOnFailure) -> None:
        """`name` is the exporter's name and signal (`otlp_grpc/gateway traces`): thread, log lines and spool carry it.

        Opens nothing.
        """
        self.name = name
        self._send = send
        self._timeout_s = timeout_s
        self._retry = retry
        self._capacity = int(queue.queue_size)
        self._spool = Spool(queue.storage, name) if queue.storage else None

        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)  # the worker's: something to send, or stopping
        self._wake_spool = threading.Condition(self._lock)
        self._waiting: deque[_Request] = deque()
        self._unspooled: deque[_Request] = deque()
        self._next_place = 0
        self._size = 0
        self._deadline: float | None = None  # of time.monotonic(), once stopping
        self._closed = False
        self._worker: threading.Thread | None = None
        self._spooler: threading.Thread | None = None

        self._offered = self._restored = self._sent = self._rejected = self._queued = self._kept = 0
        self._requests_sent = self._requests_failed = self._retries = self._corrupt_files = self._spool_errors = 0
        self._enqueue_failed: dict[str, int] = {}
        self._send_failed: dict[str, int] = {}

        # What has been said already: a state is logged when it begins and when it ends.
        self._trouble = 0  # 0 none, 1 retrying, 2 dropping; falls back to 0 only with a success
        self._said_trouble = ""
        self._said_trouble_s = 0.0
        self._said_full = self._said_rejected = self._said_spool = self._said_internal = False

    def start(self) -> None:
        """Restore what the spool holds and begin to send. Raises OSError when `storage` cannot be used."""
        if self._spool is not None:
            self._restore(self._spool)
            self._spooler = threading.Thread(target=self._run_spool, name=f"spool {self.name}", daemon=True)
            self._spooler.start()
        self._worker = threading.Thread(target=self._run, name=f"export {self.name}", daemon=True)
        self._worker.start()

    def offer(self, payload: bytes, items: int) -> bool:
        """Take over one request; False when it was refused, and counted."""
        with self._lock:
            self._offered += items
            if self._deadline is not None:
                self._count(self._enqueue_failed, SHUTDOWN, items)
                return False
            if self._size + len(payload) > self._capacity:
                reason = QUEUE_FULL if len(payload) <= self._capacity else TOO_LARGE
                self._count(self._enqueue_failed, reason, items)
                first, self._said_full = not self._said_full, True
            else:
                self._append(_Request(self._next_place, payload, items, False))
                self._next_place += 1
                self._wake.notify()
                if self._spool is not None:
                    self._unspooled.append(self._waiting[-1])
                    self._wake_spool.notify()
                return True
        if first:
            logger.warning("%s: queue is full (%d bytes): the newest is dropped and counted", self.name, self._capacity)
        return False

    def refuse(self, items: int, reason: str) -> None:
        """Count items that never became a request, by reason."""
        with self._lock:
            self._offered += items
            self._count(self._enqueue_failed, reason, items)

    def stats(self) -> QueueStats:
        with self._lock:
            return QueueStats(
                offered=self._offered,
                restored=self._restored,
                sent=self._sent,
                rejected=self._rejected,
                enqueue_failed=dict(self._enqueue_failed),
                send_failed=dict(self._send_failed),
                queued=self._queued,
                kept=self._kept,
                requests_sent=self._requests_sent,
                requests_failed=self._requests_failed,
                retries=self._retries,
                size_bytes=self._size,
                capacity_bytes=self._capacity,
                corrupt_files=self._corrupt_files,
                spool_errors=self._spool_errors,
            )

    def stop(self, deadline_s: float) -> None:
        """Refuse what is new from now on and send what waits, for `deadline_s` at most. Returns at once."""
        with self._lock:
            if self._deadline is None:
                self._deadline = time.monotonic() + deadline_s
            self._wake.notify_all()
            self._wake_spool.notify_all()

    def shutdown(self, deadline_s: float) -> None:
        """`stop`, and wait for it. What is left stays in the spool, or is counted as lost to `shutdown`.

        A backend that fails meanwhile is tried again only where the retry would come before the deadline. A request
        still in flight at the deadline counts as not sent: nobody knows.
        """
        self.stop(deadline_s)
        assert self._deadline is not None
        if self._worker is not None:
            self._worker.join(max(0.0, self._deadline - time.monotonic()))
        if self._spooler is not None:
            # Rarely behind; a little patience past the deadline is better than losing what a write would have kept.
            self._spooler.join(max(0.2, self._deadline - time.monotonic()))
        with self._lock:
            if self._closed:
                return
            self._closed = True
            lost = 0
            for request in self._waiting:
                if request.on_disk:
                    self._kept += request.items
                else:
                    lost += request.items
            if lost:
                self._count(self._send_failed, SHUTDOWN, lost)
            self._waiting.clear()
            self._unspooled.clear()
            self._queued = self._size = 0
            kept = self._kept
        if self._spool is not None:
            self._spool.close()
        if lost or kept:
            logger.warning("%s: shut down with %d items not sent, %d kept for the next start", self.name, lost, kept)

    # The worker.

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._waiting and self._deadline is None:
                    self._wake.wait()
                if not self._waiting:
                    return
                request = self._waiting[0]  # stays there until settled: its bytes count, and a shutdown finds it
            if not self._deliver(request):
                return

    def _deliver(self, request: _Request) -> bool:
        """Send until settled; False when shutdown leaves no time for it."""
        retry = self._retry
        interval = float(retry.initial_interval)
        began = time.monotonic()
        while True:
            timeout_s = self._timeout_s
            with self._lock:
                if self._deadline is not None:
                    timeout_s = min(timeout_s, self._deadline - time.monotonic())
            if timeout_s <= 0:
                return False
            outcome = self._try(request, timeout_s)
            if not isinstance(outcome, Retry):
                self._settle(request, outcome)
                return True
            jitter = random.uniform(1 - retry.randomization_factor, 1 + retry.randomization_factor)
            named = min(outcome.after_s or 0.0, MAX_DELAY_S)
            delay = max(interval * jitter, named)
            waited = time.monotonic() - began
            if not retry.enabled or (retry.max_elapsed_time > 0 and waited + delay > retry.max_elapsed_time):
                self._settle(request, Failed(outcome.reason, outcome.detail))
                return True
            self._note_trouble(1, outcome)
            with self._lock:
                self._retries += 1
            if not self._sleep(delay, named):
                return False
            # The specification: at least what the server named, then grow from there.
            interval = min(max(interval, named) * retry.multiplier, max(float(retry.max_interval), named))

    def _try(self, request: _Request, timeout_s: float) -> Outcome:
        try:
            return self._send(request.payload, request.items, timeout_s)
        except Exception:
            # Ours, not the backend's: this request is lost, the thread must live. Said once with its traceback.
            if not self._said_internal:
                self._said_internal = True
                logger.exception("%s: could not send", self.name)
            return Failed(INTERNAL)

    def _sleep(self, delay: float, named: float) -> bool:
        """Wait before a retry. When shutdown comes between: False if the retry would be too late.

        A wait that only we chose is cut short by shutdown, for one more try; one that the server named is not.
        """
        began = time.monotonic()
        with self._lock:
            stopping = self._deadline is not None
            while True:
                now = time.monotonic()
                due = began + delay
                if self._deadline is not None:
                    if not stopping:
                        due = min(due, max(now, began + named))
                    if due >= self._deadline:
                        return False
                if now >= due:
                    return True
                self._wake.wait(due - now)

    def _settle(self, request: _Request, outcome: Sent | Failed) -> None:
        with self._lock:
            if self._closed:
                return  # counted by shutdown already
            self._waiting.popleft()
            request.settled = True
            self._size -= len(request.payload)
            self._queued -= request.items
            on_disk = request.on_disk
            if isinstance(outcome, Sent):
                rejected = min(max(outcome.rejected, 0), request.items)
                self._sent += request.items - rejected
                self._rejected += rejected
                self._requests_sent += 1
            else:
                self._count(self._send_failed, outcome.reason, request.items)
                self._requests_failed += 1
            if self._size <= self._capacity // 2:
                self._said_full = False
        if on_disk:
            self._unspool(request)
        if isinstance(outcome, Sent):
            self._note_success(outcome)
        else:
            self._note_trouble(2, outcome)

    # The spool.

    def _restore(self, spool: Spool) -> None:
        places = spool.open()
        refused = corrupt = 0
        for place in places:
            try:
                if spool.size(place) > self._capacity:
                    raise Corrupt(str(place))
                payload, items = spool.read(place)
            except (Corrupt, OSError):
                corrupt += 1
                self._remove(spool, place)
                continue
            with self._lock:
                self._restored += items
                if self._size + len(payload) > self._capacity:
                    self._count(self._enqueue_failed, QUEUE_FULL, items)
                    refused += items
                    full = True
                else:
                    self._append(_Request(place, payload, items, True))
                    full = False
            if full:
                self._remove(spool, place)
        with self._lock:
            # What was offered before the start comes behind what an earlier process left.
            early = [request for request in self._waiting if not request.on_disk]
            if early:
                restored = [request for request in self._waiting if request.on_disk]
                self._waiting = deque(restored + early)
            self._next_place = max(places, default=-1) + 1
            for request in early:
                request.place = self._next_place
                self._next_place += 1
            self._corrupt_files += corrupt
            restored_items = self._restored
        if places:
            logger.info(
                "%s: %d items restored, %d files unreadable, %d items over capacity",
                self.name,
                restored_items,
                corrupt,
                refused,
            )

    def _run_spool(self) -> None:
        spool = self._spool
        assert spool is not None
        while True:
            with self._lock:
                while not self._unspooled and self._deadline is None:
                    self._wake_spool.wait()
                if not self._unspooled:
                    return
                request = self._unspooled.popleft()
                if request.settled:
                    continue
            try:
                spool.write(request.place, request.payload, request.items)
            except OSError as error:
                with self._lock:
                    self._spool_errors += 1
                    first, self._said_spool = not self._said_spool, True
                if first:
                    logger.warning("%s: cannot write to sending_queue.storage: %s", self.name, error.strerror or error)
                continue
            with self._lock:
                self._said_spool = False
                request.on_disk = True
                settled = request.settled
            if settled:
                self._unspool(request)

    def _unspool(self, request: _Request) -> None:
        assert self._spool is not None
        self._remove(self._spool, request.place)

    def _remove(self, spool: Spool, place: int) -> None:
        try:
            spool.remove(place)
        except OSError as error:
            # It will be sent a second time after a restart: at least once is what a spool gives.
            logger.warning("%s: cannot remove from sending_queue.storage: %s", self.name, error.strerror or error)

    # Called with the lock held.

    def _append(self, request: _Request) -> None:
        self._waiting.append(request)
        self._size += len(request.payload)
        self._queued += request.items

    @staticmethod
    def _count(by_reason: dict[str, int], reason: str, items: int) -> None:
        by_reason[reason] = by_reason.get(reason, 0) + items

    # Called without it, by the worker alone.

    def _note_trouble(self, level: int, outcome: Retry | Failed) -> None:
        said = f"{outcome.reason} ({outcome.detail})" if outcome.detail else outcome.reason
        now_s = time.monotonic()
        if level <= self._trouble:
            if now_s - self._said_trouble_s < (SAY_AGAIN_S if said == self._said_trouble else SAY_NEWS_S):
                return
        self._trouble = max(level, self._trouble)
        self._said_trouble, self._said_trouble_s = said, now_s
        logger.warning("%s: %s: %s", self.name, said, "will retry" if level == 1 else "dropped and counted")

    def _note_success(self, outcome: Sent) -> None:
        if self._trouble:
            self._trouble = 0
            logger.info("%s: sending again", self.name)
        if not outcome.rejected and not outcome.warning:
            self._said_rejected = False
        elif not self._said_rejected:
            self._said_rejected = True
            logger.warning(
                "%s: accepted, but %d items rejected: %s",
                self.name,
                outcome.rejected,
                outcome.warning or "no reason given",
            )
