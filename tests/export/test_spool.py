"""What is queued survives a restart: each test's second queue is the next process."""

import time

import pytest

from receiver.config import Duration, RetryOnFailure, SendingQueue, Size
from receiver.export.outcome import Retry, Sent
from receiver.export.queue import ExportQueue
from receiver.export.spool import Corrupt, Spool

NEVER = RetryOnFailure(initial_interval=Duration(60))
DOWN = Retry("UNAVAILABLE")


def make(storage, send, size=1000, name="otlp_grpc/x traces"):
    return ExportQueue(name, send, 5.0, SendingQueue(queue_size=Size(size), storage=str(storage)), NEVER)


def wait_for(condition, timeout_s=60.0):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.002)


def conserved(stats):
    lost = sum(stats.enqueue_failed.values()) + sum(stats.send_failed.values())
    return stats.offered + stats.restored == stats.sent + stats.rejected + lost + stats.queued + stats.kept


def leave(storage, *requests, size=1000):
    """A process that could send nothing and ended."""
    queue = make(storage, lambda *_: DOWN, size)
    queue.start()
    for payload, items in requests:
        assert queue.offer(payload, items)
    queue.shutdown(0.5)
    return queue.stats()


def requests_on_disk(storage):
    return sorted(storage.rglob("*.request"))


def test_what_was_queued_is_sent_by_the_next_process_in_order(tmp_path):
    left = leave(tmp_path, (b"a", 1), (b"b", 2), (b"c", 4))
    assert (left.kept, left.send_failed, left.queued) == (7, {}, 0)
    assert conserved(left)
    accepted = []
    queue = make(tmp_path, lambda payload, items, _: accepted.append((payload, items)) or Sent())
    queue.offer(b"new", 8)
    queue.start()
    wait_for(lambda: queue.stats().queued == 0)
    queue.shutdown(5)
    assert accepted == [(b"a", 1), (b"b", 2), (b"c", 4), (b"new", 8)]
    stats = queue.stats()
    assert (stats.restored, stats.sent) == (7, 15)
    assert conserved(stats)
    assert requests_on_disk(tmp_path) == []


def test_a_killed_process_loses_nothing_that_reached_the_disk(tmp_path):
    killed = make(tmp_path, lambda *_: DOWN)
    killed.start()
    killed.offer(b"a", 1)
    killed.offer(b"b", 2)
    wait_for(lambda: len(requests_on_disk(tmp_path)) == 2)
    killed._spool.close()  # what the kernel does for a process that dies
    accepted = []
    queue = make(tmp_path, lambda payload, items, _: accepted.append(payload) or Sent())
    queue.start()
    wait_for(lambda: queue.stats().sent == 3)
    assert accepted == [b"a", b"b"]
    queue.shutdown(1)
    killed.shutdown(0)


def test_what_was_sent_leaves_the_disk(tmp_path):
    queue = make(tmp_path, lambda *_: Sent())
    queue.start()
    for i in range(100):
        queue.offer(b"%d" % i, 1)
    queue.shutdown(5)
    assert queue.stats().sent == 100
    assert requests_on_disk(tmp_path) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:15],
        lambda content: content[:-1],
        lambda content: content + b"x",
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: content[:19] + bytes([content[19] ^ 1]) + content[20:],
        lambda content: b"X" + content[1:],
    ],
    ids=["empty", "no header", "cut", "longer", "flipped bit", "other count", "other magic"],
)
def test_damaged_file_is_counted_and_its_neighbours_are_sent(tmp_path, damage):
    leave(tmp_path, (b"first", 1), (b"second", 2), (b"third", 4))
    path = requests_on_disk(tmp_path)[1]
    path.write_bytes(damage(path.read_bytes()))
    accepted = []
    queue = make(tmp_path, lambda payload, items, _: accepted.append(payload) or Sent())
    queue.start()
    wait_for(lambda: queue.stats().queued == 0)
    queue.shutdown(1)
    assert accepted == [b"first", b"third"]
    assert queue.stats().corrupt_files == 1
    assert conserved(queue.stats())
    assert requests_on_disk(tmp_path) == []


def test_strange_files_are_left_alone(tmp_path):
    leave(tmp_path, (b"a", 1))
    directory = requests_on_disk(tmp_path)[0].parent
    for name in ("notes.txt", "abc.request", "-1.request", "²3.request"):
        (directory / name).write_text("mine")
    queue = make(tmp_path, lambda *_: Sent())
    queue.start()
    wait_for(lambda: queue.stats().sent == 1)
    queue.shutdown(1)
    assert (directory / "notes.txt").read_text() == "mine"
    assert queue.stats().corrupt_files == 0


def test_smaller_queue_keeps_the_oldest_and_counts_the_rest(tmp_path):
    leave(tmp_path, (bytes(10), 1), (bytes(10), 2), (bytes(10), 4))
    queue = make(tmp_path, lambda *_: DOWN, size=20)
    queue.start()
    stats = queue.stats()
    assert (stats.restored, stats.queued, stats.enqueue_failed, stats.size_bytes) == (7, 3, {"queue_full": 4}, 20)
    queue.shutdown(0.1)
    assert len(requests_on_disk(tmp_path)) == 2


def test_two_processes_cannot_share_a_directory(tmp_path):
    first = make(tmp_path, lambda *_: Sent())
    first.start()
    with pytest.raises(OSError, match="in use"):
        make(tmp_path, lambda *_: Sent()).start()
    first.shutdown(1)
    again = make(tmp_path, lambda *_: Sent())
    again.start()
    again.shutdown(1)


def test_queues_of_one_storage_do_not_meet(tmp_path):
    one = make(tmp_path, lambda *_: DOWN, name="otlp_grpc/x traces")
    two = make(tmp_path, lambda *_: DOWN, name="otlp_grpc/x metrics")
    three = make(tmp_path, lambda *_: DOWN, name="otlp_grpc_x traces")
    for queue in (one, two, three):
        queue.start()
        queue.offer(b"x", 1)
        queue.shutdown(0.2)
    assert len({path.parent for path in requests_on_disk(tmp_path)}) == 3


def test_storage_that_is_a_file_stops_the_start(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        make(tmp_path / "file", lambda *_: Sent()).start()


def test_full_disk_is_counted_and_the_queue_goes_on(tmp_path, monkeypatch):
    def no_space(self, place, payload, items):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Spool, "write", no_space)
    queue = make(tmp_path, lambda *_: DOWN)
    queue.start()
    queue.offer(b"x", 1)
    wait_for(lambda: queue.stats().spool_errors == 1)
    queue.shutdown(0.1)
    assert queue.stats().send_failed == {"shutdown": 1}
    assert conserved(queue.stats())


def test_half_written_file_of_a_killed_process_is_no_request(tmp_path):
    spool = Spool(str(tmp_path), "q")
    spool.open()
    (tmp_path / "q" / f"{5:020d}.partial").write_bytes(b"half")
    spool.close()
    assert spool.open() == []
    spool.close()
    assert list((tmp_path / "q").glob("*.partial")) == []


def test_request_is_read_back(tmp_path):
    spool = Spool(str(tmp_path), "q")
    spool.open()
    spool.write(3, b"payload", 9)
    spool.write(12, b"", 0)
    assert spool.read(3) == (b"payload", 9)
    assert spool.read(12) == (b"", 0)
    assert spool.size(3) == 7
    spool.close()
    assert spool.open() == [3, 12]
    (tmp_path / "q" / f"{3:020d}.request").write_bytes(b"short")
    with pytest.raises(Corrupt):
        spool.read(3)
    spool.close()
