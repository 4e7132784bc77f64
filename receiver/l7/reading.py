"""What all conversations have in common, and the accounts that they keep together.

Room: l7.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cython

from receiver.l7.detect import Detector
from receiver.l7.levels import Levels
from receiver.l7.matcher import Pairing
from receiver.l7.trust import Trust
from receiver.wire.cursor import Cursor
from receiver.wire.records import Consumer, Endpoints, Protocol

# Readers of datagrams that wait for another flow: 4 MB, which were in use all at a time.
SPARE_MAX = 4096


class Reading:
    """Matching, detection, limits, whom to believe, levels, and the counts of what could not be read. `spare`: conversations that
    wait for another flow of datagrams.

    `bytes_set_aside`: of flows that are no known protocol, and what decoders did not get or could not read. `undetected`: flows
    that ended before their protocol was known, by why. `preambles`: what stood before connections' own protocols, by its kind.
    """

    def __init__(
        self,
        pairing: Pairing,
        detector: Detector,
        detail: cython.bint = True,
        head_max: cython.Py_ssize_t = 65536,
        trust: Trust | None = None,
        levels: Levels | None = None,
    ) -> None:
        self.pairing = pairing
        self.detector = detector
        self.detail = detail
        self.head_max = head_max
        self.errors: dict[tuple[str, str], int] = {}
        self.gaps: dict[str, int] = {}
        # What was detected last, how often since it was something else, and all before that.
        self._last: Protocol | None = None
        self._times = 0
        self._before: dict[str, int] = {}
        self.limits: dict[str, int] = {}
        self.bytes_set_aside = 0
        self.undetected: dict[str, int] = {}
        self.preambles: dict[str, int] = {}
        self.trust = Trust() if trust is None else trust
        self.levels = Levels() if levels is None else levels
        self.cursor = Cursor(b"")
        self.spare: list[Any] = []
        self.logged: set[str] = set()
        # Told of each connection on which something was said when it is over: the protocol, None where that stayed unknown, whether
        # it could be followed to its end, and its ends.
        self.on_end: Callable[[Protocol | None, bool, Endpoints], None] | None = None

    def keep(self, conversation: Consumer) -> cython.int:
        """Nothing has to be remembered there: it may read the next flow of datagrams."""
        if len(self.spare) < SPARE_MAX:
            self.spare.append(conversation)
        return 0

    def detect(self, protocol: Protocol) -> cython.int:
        """Count a flow whose protocol is known now."""
        if protocol is not self._last:
            self._before = self.detected
            self._last = protocol
            self._times = 0
        self._times += 1
        return 0

    def count(self, protocol: str, what: str) -> cython.int:
        """Count what broke the rules of `protocol`, or of what stands before one."""
        key = (protocol, what)
        self.errors[key] = self.errors.get(key, 0) + 1
        return 0

    @property
    def detected(self) -> dict[str, int]:
        """Flows by the name of their protocol."""
        last: Protocol | None = self._last
        if last is None:
            return {}
        return {**self._before, last.name: self._before.get(last.name, 0) + self._times}
