"""The requests of one connection that wait for an answer, as its decoder may see them.

Room: l7. The matcher keeps them, and is one (`matcher.py`); a decoder only looks: the answer to HEAD has no body, a result set is
read by the statement that asked for it. Nothing is to be had where the order is in doubt, for then the request in front need not be
the one that is answered.
"""

from __future__ import annotations

import cython

from receiver.wire.records import Message

if not cython.compiled:
    from receiver.wire.records import CERTAIN


@cython.no_gc
@cython.cclass
class Keyed:
    """Requests that wait, each found by its key. Mostly one waits at a time, for which no dictionary is needed.

    `latest` is the one that was added or found last: pieces of a message come one after the other.
    """

    def __init__(self) -> None:
        self.count = 0
        self.latest: Message | None = None
        self.several: dict[int, Message] | None = None

    def find(self, key: cython.longlong) -> Message | None:
        request: Message | None = self.latest
        if request is not None and request.key == key:
            return request
        if self.several is None:
            return None
        request = self.several.get(key)
        if request is not None:
            self.latest = request
        return request

    def add(self, request: Message) -> cython.int:
        """`request`, whose key nobody else has."""
        if self.count > 0:
            if self.several is None:
                only: Message = self.latest
                self.several = {only.key: only}
            self.several[request.key] = request
        self.latest = request
        self.count += 1
        return 0

    def remove(self, request: Message) -> cython.int:
        self.latest = None
        self.count -= 1
        if self.several is not None:
            del self.several[request.key]
            if self.count == 0:
                self.several = None
        return 0

    def all(self) -> list[Message]:
        if self.several is not None:
            return list(self.several.values())
        return [] if self.latest is None else [self.latest]


@cython.no_gc
@cython.cclass
class Asked:
    """What waits, in its order from `head` to `tail` (each has the following one in `next`), or by its key.

    `answered` is the request whose answer has begun and not ended. `doubted`: since messages were lost it is not known whose answer
    comes next, but for requests that were CERTAIN before; that messages may have passed before the first that was seen does not
    count. `last_ns` is when something was said last, 0 where nothing was.
    """

    def __init__(self) -> None:
        self.head: Message | None = None
        self.tail: Message | None = None
        self.keyed: Keyed | None = None
        self.answered: Message | None = None
        self.doubted = False
        self.last_ns = 0

    def next(self) -> Message | None:
        """The request that the next response in order answers; None where nobody waits, or in doubt."""
        first: Message | None = self.head
        if self.doubted and first is not None and first.state != CERTAIN:
            return None
        return first

    def by_key(self, key: cython.longlong) -> Message | None:
        """The request with this key that waits, or whose answer is under way."""
        return None if self.keyed is None else self.keyed.find(key)
