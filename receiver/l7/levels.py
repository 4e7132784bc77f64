"""Levels that answers tell: how far a consumer is behind, and how many messages lie in a queue.

Room: l7. Nothing is counted here: a level is what an answer said last, and is told for KEPT_NS after it. Of a Kafka partition no
message says both ends of it: the offset stands in a Fetch request, its end in the answer, and either holds until another is said
(KIP-227, fetch sessions).
"""

from __future__ import annotations

from weakref import WeakSet

import cython

# What nobody speaks of any more is not told for longer.
KEPT_NS = 300_000_000_000
# Partitions of a connection, queues in all, and clients whose group is known.
PARTITIONS_MAX = 4096
QUEUES_MAX = 1024
MEMBERS_MAX = 1024


@cython.cclass
class Positions:
    """Of one connection that fetches. `asked`: the offset of each topic and partition that was asked for last; `ends`: its end,
    which the broker said last (high watermark). `heard_ns`: when it last answered."""

    def __init__(self, limits: dict[str, int]) -> None:
        self.limits = limits
        self.group: str | None = None
        self.asked: dict[tuple[str, int], int] = {}
        self.ends: dict[tuple[str, int], int] = {}
        self.heard_ns = 0

    def begin(self) -> cython.int:
        """All that was said holds no longer."""
        self.asked.clear()
        self.ends.clear()
        return 0

    def ask(self, topic: str, partition: cython.Py_ssize_t, offset: cython.Py_ssize_t) -> cython.int:
        key = (topic, partition)
        if len(self.asked) >= PARTITIONS_MAX and key not in self.asked:
            self.limits["kafka_partitions"] += 1
            return 0
        self.asked[key] = offset
        return 0

    def tell(self, topic: str, partition: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        key = (topic, partition)
        if key in self.asked and end >= 0:
            self.ends[key] = end
        return 0

    def drop(self, topic: str, partition: cython.Py_ssize_t) -> cython.int:
        key = (topic, partition)
        self.asked.pop(key, None)
        self.ends.pop(key, None)
        return 0

    def doubt(self) -> cython.int:
        """Answers are missing: the ends may have moved."""
        self.ends.clear()
        return 0


class Levels:
    """All that is known. `limits` counts what was beyond the caps."""

    def __init__(self, limits: dict[str, int] | None = None) -> None:
        self.limits: dict[str, int] = {} if limits is None else limits
        for name in ("kafka_partitions", "kafka_members", "amqp_queues"):
            self.limits.setdefault(name, 0)
        # Positions end with the connection whose they are.
        self._positions: WeakSet[Positions] = WeakSet()
        self._groups: dict[tuple[str, str], str] = {}
        self._queues: dict[str, tuple[int, int]] = {}

    def positions(self) -> Positions:
        """Of another connection."""
        made = Positions(self.limits)
        self._positions.add(made)
        return made

    def join(self, address: str, client: str, group: str) -> None:
        """A client says that it is a member. One connection says so and others fetch: they have its address and its client id."""
        key = (address, client)
        known = self._groups.get(key)
        if known is None:
            if len(self._groups) >= MEMBERS_MAX:
                self.limits["kafka_members"] += 1
                return
            self._groups[key] = group
        elif known != group:
            self._groups[key] = ""  # two that cannot be told apart

    def group(self, address: str, client: str) -> str | None:
        """The group of a client, None where none is known, or more than one."""
        return self._groups.get((address, client)) or None

    def behind(self, now_ns: int) -> dict[tuple[str, str], int]:
        """Messages by topic and group ("": not known) that lie between what was asked for last and the end."""
        found: dict[tuple[str, str], int] = {}
        for positions in self._positions:
            if now_ns - positions.heard_ns > KEPT_NS:
                continue
            asked = positions.asked
            for key, end in positions.ends.items():
                told = (key[0], positions.group or "")
                found[told] = found.get(told, 0) + max(0, end - asked[key])
        return found

    def queue(self, name: str, messages: int, ts_ns: int) -> None:
        """The broker says how many messages are ready in a queue."""
        if name not in self._queues and len(self._queues) >= QUEUES_MAX:
            self._forget(ts_ns)
            if len(self._queues) >= QUEUES_MAX:
                self.limits["amqp_queues"] += 1
                return
        self._queues[name] = (messages, ts_ns)

    def no_queue(self, name: str) -> None:
        """It was deleted."""
        self._queues.pop(name, None)

    def waiting(self, now_ns: int) -> dict[str, int]:
        """Messages that are ready, by queue."""
        self._forget(now_ns)
        return {name: messages for name, (messages, _) in self._queues.items()}

    def _forget(self, now_ns: int) -> None:
        for name, (_, ts_ns) in list(self._queues.items()):
            if now_ns - ts_ns > KEPT_NS:
                del self._queues[name]
