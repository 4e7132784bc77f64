"""Frames that say how long they are: framing, skipping, resynchronisation and probing, once for all protocols that have them.

Room: l7; follows the contract of `decoder.py`. A decoder derived from it answers four questions, each about one frame:

- `size`: how long is the frame that begins at `at`, with all that belongs to it? MORE when that cannot be seen yet, NOT_OURS
  when no frame begins with these bytes.
- `wanted`: how many of its bytes, from `c.pos`, must be seen together? It is asked again when that many have come, and may want
  more then. What is beyond is passed over by count, and a hole in it does no harm.
- `read`: what does it say? As `parse`; the window ends with what was wanted, `size` is the whole frame's.
- `proves`: is it this protocol's? NO, PERHAPS, or YES when it can hardly be anything else. `number` is its place in the chain of
  those that follow one another in the window; one whose end lies beyond is the last.

Frames prove each other: where the next one begins as the one before says, and so on to the window's end, both were framed
rightly. A chain is the protocol's when one of its frames is a YES, or three are a PERHAPS, and none is a NO.

State between frames is the decoder's own, and `size` may depend on it (an answer of one byte to a request for TLS, what a
compressed packet still has): `lost` forgets that.
"""

from __future__ import annotations

import cython

from receiver.l7.decoder import Decoder
from receiver.wire.cursor import Cursor
from receiver.wire.records import Message

if not cython.compiled:
    from receiver.l7.decoder import MORE, NO, NOT_OURS, PERHAPS, YES

# What a frame proves, and the answers of `probe`, as `decoder.py` says.

# Of a frame so much is seen together, unless its decoder says otherwise.
WINDOW = 16384
# After a hole a frame is looked for in so much of a segment.
SCAN_MAX = 4096
# So many frames of a window are looked at before it is believed, and so many that follow one another are proof enough.
FRAMES_MAX = 8
SURE = 3


@cython.no_gc
@cython.cclass
class Prefixed(Decoder):
    """`scan`: how many bytes of a segment may be searched for a frame after a hole; 0 where a frame proves too little for that:
    then it is found where a segment begins."""

    def __init__(self, scan: cython.Py_ssize_t = SCAN_MAX) -> None:
        self.scan = scan
        Decoder.__init__(self)

    def reset(self) -> cython.int:
        Decoder.reset(self)
        self.frames = 0
        self.whole = 0
        return 0

    # --- what a protocol says ---

    def size(self, direction: cython.int, c: Cursor, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        raise NotImplementedError  # abstract: each kind has its own

    def wanted(self, direction: cython.int, c: Cursor, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
        return size if size < WINDOW else WINDOW

    def read(
        self, direction: cython.int, c: Cursor, size: cython.Py_ssize_t, ts_ns: cython.longlong, out: Message
    ) -> cython.int:
        raise NotImplementedError  # abstract: each kind has its own

    def proves(
        self, direction: cython.int, c: Cursor, at: cython.Py_ssize_t, size: cython.Py_ssize_t, number: cython.Py_ssize_t
    ) -> cython.int:
        return PERHAPS

    # --- the contract of decoder.py ---

    def frame(self, direction: cython.int, c: Cursor) -> cython.Py_ssize_t:
        size: cython.Py_ssize_t = self.size(direction, c, c.pos)
        if size == MORE or size == NOT_OURS:
            return size
        self.whole = size
        return self.wanted(direction, c, size)

    def parse(self, direction: cython.int, c: Cursor, ts_ns: cython.longlong, out: Message) -> cython.int:
        rest: cython.Py_ssize_t = self.whole - (c.end - c.pos)
        if rest > 0:
            self.skip = rest
        return self.read(direction, c, self.whole, ts_ns, out)

    def probe(self, direction: cython.int, c: Cursor) -> cython.int:
        return self._chain(direction, c, c.pos)

    def resync(self, direction: cython.int, c: Cursor) -> cython.bint:
        at: cython.Py_ssize_t = c.pos
        stop: cython.Py_ssize_t = at + self.scan
        # Where a segment begins, a frame often does; anywhere else one alone is no proof.
        if self._chain(direction, c, at) == YES:
            return True
        if stop > c.end:
            stop = c.end
        at += 1
        while at < stop:
            if self._chain(direction, c, at) == YES and self.frames > 1:
                c.skip(at - c.pos)
                return True
            at += 1
        return False

    def _chain(self, direction: cython.int, c: Cursor, at: cython.Py_ssize_t) -> cython.int:
        """What the frames prove that follow one another from `at`; `frames` is how many of them were seen."""
        answer: cython.int = PERHAPS
        self.frames = 0
        while at < c.end and self.frames < FRAMES_MAX:
            size: cython.Py_ssize_t = self.size(direction, c, at)
            if size == NOT_OURS:
                return NO
            if size == MORE:
                break  # right as far as it goes
            proof: cython.int = self.proves(direction, c, at, size, self.frames)
            if proof == NO:
                return NO
            if proof == YES:
                answer = YES
            self.frames += 1
            at += size
        return YES if self.frames >= SURE else answer
