"""The one shape of every decoder.

Room: l7. A decoder is given one connection's bytes, both directions, in order, and says what messages they are. It knows
nothing of packets, pairing, timeouts or telemetry. The contract, once for all:

- `meet` is told who talks to whom, before the first frame.
- `rests` is asked when all is answered: whether it knows nothing that one which `meet`s the connection now would not know. Then it
  serves other connections until more comes of this one; `meet` is told again, and it forgets what it knew of the one before.
- `frame` looks at what is there and says how many bytes it wants together: 0 when it cannot tell yet, -1 when this is not its
  protocol. It may ask for more than is there; it is asked again when that much has come. It allocates nothing. -3: this answers
  what the other direction has begun and not ended; that is taken with `begun`, then it is asked again.
- `begun` gets what there is of a frame whose end is not waited for: it is too long to be kept, or answered already. It fills
  `out` like `parse`, with what is known of it; 0 when that is nothing. Either way the frame is over, and the next is looked for.
- `parse` gets exactly those bytes, fills `out`, and returns 1 when `out` is to be kept, 0 when there is nothing to report and `out`
  is as it was, 2 when it is to be kept and the frame says more: then `more` is asked for the next message, until it returns 1.
  Bytes after the frame that nobody wants to see are announced in `skip` (-1: all until the direction closes; -2: nobody knows how
  many, nor whose message this is; -3: the message is known, how many bytes follow it is not); they are counted, not kept, and a
  hole in them does no harm. A piece that ENDS its message ends it when they have passed. What goes to the server is a request,
  unless `parse` gives it another `role` (a client that cancels ends the answer). What a decoder must know of a request to read its
  answer it leaves on it (`note`, `kept`), and finds in `asked` when that comes.
- `successor`, set in `parse`, names the protocol whose decoder takes over both directions after this frame (`Upgrade`). That one's
  `take_over` is given the request that still waits for its answer, and may give it a key.
- `on_close` is told that a direction ended (FIN); it may fill `out` like `parse`, for what only the close ends.
- `on_gap` is told that `missing` bytes (0: unknown) never came; it forgets what they made unknowable. Afterwards the direction
  is fed from the next place where `sync` says that a frame could start; it may move the cursor's start to that place.
- `cut_off` is how many bytes at its end the capture lacks of a datagram; what is there is read.
- `probe` is asked of a fresh decoder whether bytes at the start of a flow are its protocol: 2 yes, 1 perhaps (ask again with
  more), 0 no. Where the server's port is one of the protocol's own (`at_home`) less may prove it, to `sync` as well.
- `agree` is asked, of a flow on such a port, of which each direction is a perhaps: whether what the server said can be an answer to
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

DETECT_NO, DETECT_MAYBE, DETECT_YES = 0, 1, 2

# Of a decoder that reads no connection yet.
_NOBODY = Asked()


@cython.no_gc
@cython.cclass
class Decoder:
    """Base of all decoders. `asked`: the requests that wait, by which a response may be read. `detail`: fill what only spans need
    (attributes). `vantage`: which side is ours, where its conventions differ. `datagrams`: every frame is a whole datagram.
    `resumed`: messages of the connection were read before. `at_home`: the server's port speaks for the protocol; of a decoder
    that reads it is told before `sync` alone. `limits`: where a decoder counts the limits of its own that it reached, by name;
    `errors`: broken rules."""

    def __init__(self) -> None:
        self.asked: Asked = _NOBODY
        self.detail = True
        self.skip = 0
        self.vantage = VANTAGE_SERVER
        self.datagrams = False
        self.resumed = False
        self.cut_off = 0
        self.at_home = False
        self.successor: str | None = None
        self.limits: dict[str, int] = {}
        self.errors: dict[tuple[str, str], int] = {}

    def meet(self, endpoints: Endpoints) -> cython.int:
        return 0

    def rests(self) -> cython.bint:
        return False

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

    def on_gap(self, direction: cython.int, missing: cython.Py_ssize_t) -> cython.int:
        return 0

    def sync(self, direction: cython.int, c: Cursor) -> cython.bint:
        return False

    def probe(self, direction: cython.int, c: Cursor) -> cython.int:
        return 0

    def agree(self, asked: bytes, told: bytes) -> cython.bint:
        return True
