"""The one shape of every decoder.

Room: l7. A decoder is given one connection's bytes, both directions, in order, and says what messages they are. It knows
nothing of packets, pairing, timeouts or telemetry. The contract, once for all:

- `reset` sets every field that belongs to a connection, and nothing else sets one before the first frame: `__init__` has what
  outlives connections, and calls it. Who reads datagrams is reset for each flow.
- `begin` is told who talks to whom, before the first frame.
- `frame` looks at what is there and says how many bytes it wants together: MORE when it cannot tell yet, NOT_OURS when this is not
  its protocol. It may ask for more than is there; it is asked again when that much has come. It allocates nothing. ANSWERS_BEGUN:
  this answers what the other direction has begun and not ended; that is taken with `begun`, then it is asked again.
- `begun` gets what there is of a frame whose end is not waited for: it is too long to be kept, or answered already. It fills
  `out` like `parse`, with what is known of it. Either way the frame is over, and the next is looked for.
- `parse` gets exactly those bytes and fills `out`: a MESSAGE; or NOTHING, and `out` is as it was; or SEVERAL, where the frame says
  more: then `more` is asked for the next one, until it says that it is the last (MESSAGE).
  Bytes after the frame that nobody wants to see are announced in `skip`: how many, or SKIP_TO_CLOSE, or where nobody knows how
  many SKIP_LOST, SKIP_UNKNOWN if nor whose message this is. They are counted, not kept, and a hole in them does no harm. A piece
  that ENDS its message ends it when they have passed. What goes to the server is a request, unless `parse` gives it another
  `role` (a client that cancels ends the answer). What a decoder must know of a request to read its answer it leaves on it
  (`note`, `kept`), and finds in `asked` when that comes.
- `successor`, set in `parse`, names the protocol whose decoder takes over both directions after this frame (`Upgrade`). That one's
  `take_over` is given the request that still waits for its answer, and may give it a key.
- `on_close` is told that a direction ended (FIN); it may fill `out` like `parse`, for what only the close ends.
- `lost` is told that `missing` bytes (0: unknown) never came; it forgets what they made unknowable. Afterwards the direction
  is fed from the next place where `resync` says that a frame could start; it may move the cursor's start to that place.
- `cut_off` is how many bytes at its end the capture lacks of a datagram; what is there is read.
- `probe` is asked of a fresh decoder whether bytes at the start of a flow are its protocol: YES, PERHAPS (ask again with more),
  NO. Where the server's port is one of the protocol's own (`at_home`) less may prove it, to `resync` as well.
- `agree` is asked, of a flow on such a port, of which each direction is a PERHAPS: whether what the server said can be an answer to
  what the client did.
- What breaks the rules and can be read all the same is counted in `errors`, as (protocol, which rule).
- `Malformed` is the only exception. Anything else is our bug; the flow is set aside and counted.
"""

import cython

from receiver.l7.asked import Asked
from receiver.wire.cursor import Cursor
from receiver.wire.records import Endpoints, Message

if not cython.compiled:
    from receiver.wire.records import VANTAGE_SERVER

    # The compiled module has these as C enums, from the `.pxd`.
    MORE = 0
    NOT_OURS = -1
    ANSWERS_BEGUN = -3
    NOTHING = 0
    MESSAGE = 1
    SEVERAL = 2
    NO = 0
    PERHAPS = 1
    YES = 2
    SKIP_TO_CLOSE = -1
    SKIP_UNKNOWN = -2
    SKIP_LOST = -3

# Of a decoder that reads no connection yet.
_NOBODY = Asked()


@cython.no_gc
@cython.cclass
class Decoder:
    """Base of all decoders. `asked`: the requests that wait, by which a response may be read. `detail`: fill what only spans need
    (attributes). `vantage`: which side is ours, where its conventions differ. `datagrams`: every frame is a whole datagram.
    `at_home`: the server's port speaks for the protocol; of a decoder that reads it is told before `resync` alone. `limits`: where
    a decoder counts the limits of its own that it reached, by name; `errors`: broken rules."""

    def __init__(self) -> None:
        self.asked: Asked = _NOBODY
        self.detail = True
        self.vantage = VANTAGE_SERVER
        self.datagrams = False
        self.limits: dict[str, int] = {}
        self.errors: dict[tuple[str, str], int] = {}
        self.reset()

    def reset(self) -> cython.int:
        self.skip = 0
        self.cut_off = 0
        self.at_home = False
        self.successor: str | None = None
        return 0

    def begin(self, endpoints: Endpoints) -> cython.int:
        return 0

    def frame(self, direction: cython.int, c: Cursor) -> cython.Py_ssize_t:
        raise NotImplementedError  # abstract: each kind has its own

    def parse(self, direction: cython.int, c: Cursor, ts_ns: cython.longlong, out: Message) -> cython.int:
        raise NotImplementedError  # abstract: each kind has its own

    def more(self, direction: cython.int, ts_ns: cython.longlong, out: Message) -> cython.int:
        return 0

    def take_over(self, request: Message) -> cython.int:
        return 0

    def begun(self, direction: cython.int, c: Cursor, ts_ns: cython.longlong, out: Message) -> cython.int:
        return 0

    def on_close(self, direction: cython.int, ts_ns: cython.longlong, out: Message) -> cython.int:
        return 0

    def lost(self, direction: cython.int, missing: cython.Py_ssize_t) -> cython.int:
        return 0

    def resync(self, direction: cython.int, c: Cursor) -> cython.bint:
        return False

    def probe(self, direction: cython.int, c: Cursor) -> cython.int:
        return 0

    def agree(self, asked: bytes, told: bytes) -> cython.bint:
        return True
