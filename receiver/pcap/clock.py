"""Steady time out of the times that packets carry.

Room: packets. Everything behind the engine's first line counts in steady time: it does not go back, and does not leap when somebody
sets the clock that stamps the packets. Whoever tells of a time outside adds what that clock is ahead (`shift_ns`).

A clock that was set is known

- live, by the clock itself: `look` says how far it is ahead of one that nobody sets. It is asked where packets seem to leap, and
  several times a second;
- in a file, by packets that are older than the one before by more than their order explains (STEP_NS). No time has passed between
  the two, as far as anybody knows. Packets that leap ahead tell of a pause: a day without traffic is a day.

What was stamped before a step may come after it (another interface's ring, files of two machines behind one another): for a while
both clocks are believed, each packet the one that puts it nearer to now.

Smaller steps are left in: no sign tells them from interfaces that are read in turn. Durations are never negative for them
(`l7/matcher.py`).
"""

from __future__ import annotations

from collections.abc import Callable

import cython

# In a file: as long as a ring may have lain unread before the next one was; more is no disorder.
STEP_NS = 1_000_000_000
# Live the clock itself says what is a step. Packets that leap by less do not ask it.
STEP_LIVE_NS = 100_000_000
# How long the clock before a step is believed still, of packets that nothing else puts in order.
BOTH_NS = 2_000_000_000
# A pause may put a packet half way between two clocks.
NEARER = 4
NEVER_NS = 1 << 62
# A capture may count from 0; two packets years apart are not of one capture.
AGES_NS = 31_536_000_000_000_000


class Clock:
    """`look` gives what the clock that stamps packets says now, and how far it is ahead of one that nobody sets; None for files.

    `shift_ns` is to be taken from a packet's time; a packet more than `ahead_max_ns` from now, or less than `behind_max_ns`,
    is to be shown to `judge`. `before_ns` was the shift before the last step, which was at `stepped_ns` of steady time; `steps`
    counts them.
    """

    def __init__(self, look: Callable[[], tuple[int, int]] | None = None) -> None:
        self.look = look
        self.offset_ns = look()[1] if look is not None else 0
        self.step_ns = STEP_LIVE_NS if look is not None else STEP_NS
        self.shift_ns = 0
        self.set_ns = 0  # the shift since the last step, whichever clock the last packet had
        self.live_ns = 0  # steady time when the clock was looked at
        self.before_ns = 0
        self.stepped_ns = 0
        self.other_ns = 0
        self.used_ns = -NEVER_NS
        self.ahead_max_ns = -1  # the first is to be shown
        self.behind_max_ns = -self.step_ns
        self.timeless = False
        self.steps = 0
        self.latest_ns = 0

    def judge(self, own_ns: cython.longlong, now_ns: cython.longlong) -> cython.Py_ssize_t:
        """The steady time of a packet that leaps: `own_ns` is what it says, `now_ns` steady time so far. Live, `listen` first."""
        if own_ns == 0:
            self.timeless = True
            return now_ns  # it has none: a pcapng block without a time keeps the one before
        if self.ahead_max_ns < 0:
            self.ahead_max_ns = self._alone()
            if self.timeless and own_ns > AGES_NS:
                self._step(own_ns - now_ns, now_ns)  # the first that has a time
            return own_ns - self.shift_ns
        steady_ns: cython.longlong = own_ns - self.shift_ns
        if now_ns - self.used_ns <= BOTH_NS:
            other_ns: cython.longlong = own_ns - self.other_ns
            near_ns: cython.longlong = now_ns if self.look is None else self.live_ns
            if NEARER * _size(other_ns - near_ns) < _size(steady_ns - near_ns):
                self._swap(now_ns)
                steady_ns = other_ns
        else:
            self.ahead_max_ns = self._alone()
        if self.look is None and steady_ns - now_ns < self.behind_max_ns:
            self._step(own_ns - now_ns - 1, now_ns)
            return now_ns + 1
        return steady_ns

    def listen(self, now_ns: cython.longlong) -> cython.int:
        """Ask a live clock whether it was set. What it gains and loses slowly is its own affair."""
        if self.look is None:
            return 0
        own_ns, offset_ns = self.look()
        step_ns: cython.longlong = offset_ns - self.offset_ns
        self.offset_ns = offset_ns
        if _size(step_ns) >= self.step_ns:
            self._step(self.set_ns + step_ns, now_ns)
        self.live_ns = own_ns - self.set_ns
        return 0

    def latest(self, now_ns: cython.longlong) -> cython.Py_ssize_t:
        """The latest time that any packet said."""
        last_ns: cython.longlong = now_ns + self.shift_ns
        return last_ns if last_ns > self.latest_ns else self.latest_ns

    def _alone(self) -> cython.longlong:
        """How far ahead a packet may be while one clock is believed: live the clock is asked, in a file it is a pause."""
        return self.step_ns if self.look is not None else NEVER_NS

    def _step(self, shift_ns: cython.longlong, now_ns: cython.longlong) -> cython.int:
        self.latest_ns = self.latest(now_ns)
        self.before_ns = self.shift_ns
        self.other_ns = self.shift_ns
        self.shift_ns = shift_ns
        self.set_ns = shift_ns
        self.stepped_ns = now_ns + 1  # what was seen now had the time before
        self.steps += 1
        return self._both(now_ns)

    def _swap(self, now_ns: cython.longlong) -> cython.int:
        self.latest_ns = self.latest(now_ns)
        shift_ns: cython.longlong = self.shift_ns
        self.shift_ns = self.other_ns
        self.other_ns = shift_ns
        return self._both(now_ns)

    def _both(self, now_ns: cython.longlong) -> cython.int:
        """Both clocks are believed. In a file what is ahead by half of what is between them may be of the other."""
        self.used_ns = now_ns
        self.ahead_max_ns = self._alone()
        if self.look is None:
            self.ahead_max_ns = _size(self.shift_ns - self.other_ns) // 2
        return 0


def _size(ns: cython.longlong) -> cython.longlong:
    return -ns if ns < 0 else ns
