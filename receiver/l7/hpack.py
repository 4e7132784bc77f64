"""HPACK (RFC 7541), as somebody reads it who only listens.

Room: l7; knows header blocks, no frames. One decoder for each direction of a connection; it must be given every block
of that direction, whole and in order, because a block changes the table that the next ones refer to.

A listener may have joined late, or have lost some packets. The table's entries are counted from the newest, so all that
was inserted since is known for certain, whatever stood there before; an index that goes further back names an entry
that was never seen. Such a field is reported as unknown (name and value are None), never guessed; where only the name
was taken from there, the value is known, and the entry that this field inserts has an unknown name in turn.

An index is counted from the newest entry, so which entry it names is known even of those that nobody saw: counted the other way
round, from the join, an entry keeps its number for as long as it is in the table. Whoever reads the headers may so find that two
fields are one and the same, and where the protocol above leaves only one name for an entry, the decoder can be told (`learn`).

    1xxxxxxx  indexed field        01xxxxxx  literal, inserted      001xxxxx  new size of the table
    0000xxxx  literal              0001xxxx  literal, never indexed                                  RFC 7541, 6
"""

import cython

from receiver.wire.cursor import Cursor
from receiver.wire.records import Malformed

if cython.compiled:
    from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING
    from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize

# RFC 7541, appendix A; index 0 is no entry.
_STATIC_TABLE = (
    (b"", b""),
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
)
_STATIC_NAMES = tuple(name for name, _ in _STATIC_TABLE)
_STATIC_VALUES = tuple(value for _, value in _STATIC_TABLE)
_STATIC_COUNT = 61

_ENTRY_OVERHEAD = 32  # RFC 7541, 4.1: what an entry counts beyond its two strings
_TABLE_SIZE = 4096  # RFC 9113, 6.5.2: a table's size before anybody says otherwise
# Names that were learned of entries nobody saw; there is no use for more.
_LEARNED_MAX = 64
# Far more than a connection inserts: numbers of entries never meet those from before a hole.
_EPOCH = 1 << 32
_COMPACT_AT = 64  # evicted places at the front of the lists before they are cut off

# RFC 7541, appendix B. The code is canonical: the symbols of each length, in their order, determine it.
_SYMBOLS_OF_LENGTH = {
    5: b"012aceiost",
    6: b" %-./3456789=A_bdfghlmnpru",
    7: b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz",
    8: b"&*,;XZ",
    10: b'!"()?',
    11: b"'+|",
    12: b"#>",
    13: b"\0$@[]~",
    14: b"^}",
    15: b"<`{",
    19: bytes.fromhex("5cc3d0"),
    20: bytes.fromhex("808283a2b8c2e0e2"),
    21: bytes.fromhex("99a1a7acb0b1b3d1d8d9e3e5e6"),
    22: bytes.fromhex("8184858688929a9ca0a3a4a9aaadb2b5b9babbbdbec4c6e4e8e9"),
    23: bytes.fromhex("0187898a8b8c8d8f93959697989b9d9ea5a6a8aeafb4b6b7bcbfc5e7ef"),
    24: bytes.fromhex("098e9091949fabced7e1eced"),
    25: bytes.fromhex("c7cfeaeb"),
    26: bytes.fromhex("c0c1c8c9cacdd2d5dadbeef0f2f3ff"),
    27: bytes.fromhex("cbccd3d4d6dddedff1f4f5f6f7f8fafbfcfdfe"),
    28: bytes.fromhex("020304050607080b0c0e0f1011121314151718191a1b1c1d1e1f7fdcf9"),
    30: bytes.fromhex("0a0d16"),  # and EOS, the last code of this length
}


def _huffman_tables() -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """The code as a machine that eats four bits at a time.

    257 symbols make a tree of 256 inner nodes: a state, the node where the bits so far have led, is one byte. No code
    is shorter than five bits, so four of them complete at most one symbol. At `state << 4 | bits`: the next state, the
    symbol, whether there is one (1), whether the bits run into EOS (1); and by state, whether a string may end there.
    """
    children: list[list[int]] = [[-1, -1]]  # an inner node: its number; a leaf: 1000 + symbol
    code = 0
    length = 0
    for each, symbols in _SYMBOLS_OF_LENGTH.items():
        for symbol in (*symbols, 256) if each == 30 else symbols:
            code <<= each - length
            length = each
            node = 0
            for bit in range(each - 1, 0, -1):
                branch = code >> bit & 1
                if children[node][branch] < 0:
                    children[node][branch] = len(children)
                    children.append([-1, -1])
                node = children[node][branch]
            children[node][code & 1] = 1000 + symbol
            code += 1
    following = bytearray(4096)
    symbol_at = bytearray(4096)
    emits = bytearray(4096)
    fails = bytearray(4096)
    for state in range(256):
        for bits in range(16):
            node = state
            place = state << 4 | bits
            for bit in (3, 2, 1, 0):
                node = children[node][bits >> bit & 1]
                if node == 1256:
                    fails[place] = 1
                    node = 0
                elif node >= 1000:
                    symbol_at[place] = node - 1000
                    emits[place] = 1
                    node = 0
            following[place] = node
    # What is left over must be the first bits of EOS, all ones, and at most seven (RFC 7541, 5.2).
    may_end = bytearray(256)
    node = 0
    for _ in range(8):
        may_end[node] = 1
        node = children[node][1]
    return bytes(following), bytes(symbol_at), bytes(emits), bytes(fails), bytes(may_end)


_NEXT, _SYMBOL, _EMITS, _FAILS, _MAY_END = _huffman_tables()


class HeaderSink:
    """Takes the fields of a block, in their order."""

    def header(self, name: bytes | None, value: bytes | None, never_indexed: cython.bint) -> cython.int:
        """None: not known. What is indexed comes as the same object each time."""
        raise NotImplementedError  # abstract: each kind has its own

    def hidden(self, entry: cython.longlong, value: bytes | None, never_indexed: cython.bint) -> cython.int:
        """A field whose name stands in an entry that nobody saw, the one with this number."""
        return self.header(None, value, never_indexed)


class HeaderList(HeaderSink):
    """Keeps the fields as they come: (name, value, never indexed)."""

    def __init__(self) -> None:
        self.fields: list[tuple[bytes | None, bytes | None, bool]] = []

    def header(self, name: bytes | None, value: bytes | None, never_indexed: cython.bint) -> cython.int:
        self.fields.append((name, value, never_indexed))
        return 0


class HpackDecoder:
    """One direction of a connection.

    `from_start` false: joined late, nothing is known of the table. `truncated`: the last block's list was longer than
    `list_max` (name + value + 32 for each field, RFC 9113, 6.5.2), and the fields beyond were not reported. `complete`:
    every entry of the table is known. `unknown` counts the fields that referred to an entry never seen.

    Memory: `kept_max` bytes of entries, whatever size of table the peers agreed upon; older ones become unknown.
    Not checked, because a listener does not know which SETTINGS are in force: that a new size is one that was allowed.
    """

    def __init__(
        self,
        from_start: cython.bint = True,
        list_max: cython.Py_ssize_t = 65536,
        kept_max: cython.Py_ssize_t = 65536,
    ) -> None:
        self._list_max = list_max
        self._kept_max = kept_max
        self.truncated = False
        self.complete = from_start
        self.unknown = 0
        self.table_size = 0
        self.table_limit = _TABLE_SIZE
        self._limit_certain = from_start
        self._names: list[bytes | None] = []
        self._values: list[bytes] = []
        self._oldest = 0
        self._count = 0
        # Entries by number: how many were inserted; of those seen whose name is unknown, the entry that it was taken from (itself
        # one that nobody saw); names that were learned of such.
        self._inserted = 0
        self._entry = 0
        self._taken_from: dict[int, int] | None = None
        self._learned: dict[int, bytes] | None = None
        self._c = Cursor()
        self._begin = 0
        self._at = 0
        self._text = bytearray(256)

    def decode(
        self, block: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t, sink: HeaderSink
    ) -> cython.Py_ssize_t:
        """Give the fields of the whole block `block[start:end]` to `sink`; their number, reported or not.

        Raises Malformed, with the offset from `start`. The table is then lost; HTTP/2 ends the connection at this point
        (COMPRESSION_ERROR), and so the decoder forgets what it knew.
        """
        try:
            return self._decode(block, start, end, sink)
        except Malformed:
            self.reset_unknown()
            raise

    def _decode(
        self, block: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t, sink: HeaderSink
    ) -> cython.Py_ssize_t:
        self._c.set(block, start, end)
        self._begin = start
        self.truncated = False
        fields: cython.Py_ssize_t = 0
        room: cython.Py_ssize_t = self._list_max
        at: cython.Py_ssize_t = start
        index: cython.Py_ssize_t
        place: cython.Py_ssize_t
        byte: cython.int
        name: bytes | None
        value: bytes | None
        while at < end:
            byte = block[at]
            at += 1
            if byte >= 0x80:
                index = byte & 0x7F
                if index == 0x7F:
                    self._at = at
                    index = self._integer(block, end, 0x7F)
                    at = self._at
                if index <= _STATIC_COUNT:
                    if index == 0:
                        raise Malformed("http2", "hpack index 0", at - start)
                    name = _STATIC_NAMES[index]
                    value = _STATIC_VALUES[index]
                elif index - _STATIC_COUNT <= self._count:
                    place = len(self._names) - (index - _STATIC_COUNT)
                    name = self._names[place]
                    value = self._values[place]
                    if name is None:
                        name = self._unseen(index - _STATIC_COUNT)
                else:
                    self._at = at
                    name = self._unseen(index - _STATIC_COUNT)
                    value = None
            elif byte & 0xE0 == 0x20:
                if fields > 0:
                    # RFC 7541, 4.2: only at the beginning of a block
                    raise Malformed("http2", "hpack table size inside a block", at - start)
                self._at = at
                index = byte & 0x1F
                if index == 0x1F:
                    index = self._integer(block, end, 0x1F)
                at = self._at
                self._resize(index)
                continue
            else:
                self._at = at
                if byte >= 0x40:
                    index = byte & 0x3F
                    if index == 0x3F:
                        index = self._integer(block, end, 0x3F)
                else:
                    index = byte & 0x0F
                    if index == 0x0F:
                        index = self._integer(block, end, 0x0F)
                if index == 0:
                    name = self._string(block, end)
                elif index <= _STATIC_COUNT:
                    name = _STATIC_NAMES[index]
                elif index - _STATIC_COUNT <= self._count:
                    name = self._names[len(self._names) - (index - _STATIC_COUNT)]
                    if name is None:
                        name = self._unseen(index - _STATIC_COUNT)
                else:
                    name = self._unseen(index - _STATIC_COUNT)
                value = self._string(block, end)
                at = self._at
                if byte >= 0x40:
                    self._insert(name, value)
            fields += 1
            room -= _ENTRY_OVERHEAD
            if name is not None:
                room -= len(name)
            if value is not None:
                room -= len(value)
            if room < 0:
                # The rest is read for what it does to the table.
                self.truncated = True
            elif name is None:
                sink.hidden(self._entry, value, byte & 0xF0 == 0x10)
            else:
                sink.header(name, value, byte & 0xF0 == 0x10)
        return fields

    def learn(self, entry: cython.longlong, name: bytes) -> cython.int:
        """The entry with this number, which nobody saw, has this name, which whoever reads the headers found out. 1 when there is
        no room for it."""
        if self._learned is None:
            self._learned = {}
        if len(self._learned) >= _LEARNED_MAX:
            return 1
        self._learned[entry] = name
        if self._taken_from is None:
            return 0
        for number in [number for number, source in self._taken_from.items() if source == entry]:
            del self._taken_from[number]
            self._names[len(self._names) - (self._inserted - number)] = name
            self.table_size += len(name)
        return self._shrink(0)

    def reset_unknown(self) -> cython.int:
        """A block was lost: the table may hold anything, in any number, and its size may have been changed."""
        self._forget()
        self.complete = False
        self._limit_certain = False
        if self.table_limit < _TABLE_SIZE:
            self.table_limit = _TABLE_SIZE
        return 0

    def _unseen(self, index: cython.Py_ssize_t) -> bytes | None:
        """The name, where it was learned, of an entry nobody saw, or one whose name was taken from such; `_entry` is its number.

        An index that is further back than what is known is older than the join, or a mistake.
        """
        self._entry = self._inserted - index
        if index > self._count:
            # An entry counts 32 bytes at least, so the limit bounds their number where it is certain.
            if self.complete or (self._limit_certain and index > self.table_limit // _ENTRY_OVERHEAD):
                raise Malformed("http2", "hpack index outside the table", self._at - self._begin)
        elif self._taken_from is not None:
            self._entry = self._taken_from.get(self._entry, self._entry)
        self.unknown += 1
        return None if self._learned is None else self._learned.get(self._entry)

    def _integer(self, block: bytes, end: cython.Py_ssize_t, prefix: cython.int) -> cython.Py_ssize_t:
        """The rest of an integer whose prefix is all ones, at `_at` (RFC 7541, 5.1); at most five more bytes."""
        at: cython.Py_ssize_t = self._at
        value: cython.longlong = prefix
        piece: cython.longlong
        shift: cython.int = 0
        while True:
            if at >= end:
                raise Malformed("http2", "hpack integer is cut", at - self._begin)
            piece = block[at]
            at += 1
            value += (piece & 0x7F) << shift
            if piece < 0x80:
                break
            shift += 7
            if shift > 28:
                raise Malformed("http2", "hpack integer is too large", at - self._begin)
        self._at = at
        return value

    def _string(self, block: bytes, end: cython.Py_ssize_t) -> bytes:
        """A string literal at `_at` (RFC 7541, 5.2)."""
        if self._at >= end:
            raise Malformed("http2", "hpack string is cut", self._at - self._begin)
        byte: cython.int = block[self._at]
        self._at += 1
        size: cython.Py_ssize_t = byte & 0x7F
        if size == 0x7F:
            size = self._integer(block, end, 0x7F)
        at: cython.Py_ssize_t = self._at
        if size > end - at:
            raise Malformed("http2", "hpack string is cut", at - self._begin)
        self._at = at + size
        if byte >= 0x80:
            return self._huffman(block, at, at + size)
        return self._c.take(at, at + size)

    def _huffman(self, block: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> bytes:
        # The shortest code has five bits; one place more, because a symbol is written before it is known to be one.
        most: cython.Py_ssize_t = (end - start) * 8 // 5 + 1
        if most > len(self._text):
            self._text = bytearray(most)
        text: bytearray = self._text
        following: bytes = _NEXT
        symbols: bytes = _SYMBOL
        emits: bytes = _EMITS
        fails: bytes = _FAILS
        n: cython.Py_ssize_t = 0
        state: cython.int = 0
        failed: cython.int = 0
        place: cython.int
        byte: cython.int
        symbol: cython.int
        at: cython.Py_ssize_t
        for at in range(start, end):
            byte = block[at]
            place = state << 4 | byte >> 4
            symbol = symbols[place]
            text[n] = symbol
            n += emits[place]
            failed |= fails[place]
            state = following[place]
            place = state << 4 | byte & 15
            symbol = symbols[place]
            text[n] = symbol
            n += emits[place]
            failed |= fails[place]
            state = following[place]
        if failed != 0:
            raise Malformed("http2", "hpack huffman code has EOS", end - self._begin)
        if _MAY_END[state] == 0:
            raise Malformed("http2", "hpack huffman padding", end - self._begin)
        if len(self._text) > 16384:
            self._text = bytearray(256)  # one long string must not stay with the connection
        if cython.compiled:
            # text[n - 1] was written, with its bounds checked
            whole: bytes = PyBytes_FromStringAndSize(PyByteArray_AS_STRING(text), n)
            return whole
        return bytes(text[:n])

    def _insert(self, name: bytes | None, value: bytes) -> cython.int:
        # An unknown name counts as empty: the table then holds perhaps more than the peer's, and what it holds too
        # much stands beyond all that the peer can refer to.
        size: cython.Py_ssize_t = _ENTRY_OVERHEAD + len(value)
        if name is not None:
            size += len(name)
        if size > self.table_limit:
            # RFC 7541, 4.4: empties the table. If the limit is not certain, the peer may have kept the entry.
            self._forget()
            self.complete = self._limit_certain
            return 0
        if size > self._kept_max:
            self._forget()
            self.complete = False
            return 0
        self._shrink(size)
        if name is None:
            if self._taken_from is None:
                self._taken_from = {}
            self._taken_from[self._inserted] = self._entry
        self._names.append(name)
        self._values.append(value)
        self._inserted += 1
        self._count += 1
        self.table_size += size
        return 0

    def _shrink(self, room: cython.Py_ssize_t) -> cython.int:
        """Evict until `room` more bytes fit."""
        limit: cython.Py_ssize_t = self.table_limit
        if limit > self._kept_max:
            limit = self._kept_max
        if self.table_size + room <= limit:
            return 0
        while self._count > 0 and self.table_size + room > limit:
            self._evict()
        # What the peer evicted has nothing older behind it; what only we dropped may be referred to.
        self.complete = self._limit_certain and self.table_limit <= self._kept_max
        return 0

    def _evict(self) -> cython.int:
        name: bytes | None = self._names[self._oldest]
        value: bytes = self._values[self._oldest]
        self.table_size -= _ENTRY_OVERHEAD + len(value)
        if name is not None:
            self.table_size -= len(name)
        elif self._taken_from is not None:
            self._taken_from.pop(self._inserted - self._count, None)
        self._names[self._oldest] = None
        self._values[self._oldest] = b""
        self._oldest += 1
        self._count -= 1
        if self._oldest >= _COMPACT_AT and self._oldest >= self._count:
            del self._names[: self._oldest]
            del self._values[: self._oldest]
            self._oldest = 0
        return 0

    def _resize(self, limit: cython.Py_ssize_t) -> cython.int:
        self.table_limit = limit
        self._limit_certain = True
        if limit < _ENTRY_OVERHEAD:
            self._forget()
            self.complete = True
            return 0
        return self._shrink(0)

    def _forget(self) -> cython.int:
        self._names.clear()
        self._values.clear()
        self._oldest = 0
        self._count = 0
        self.table_size = 0
        self._inserted += _EPOCH
        self._taken_from = None
        self._learned = None
        return 0
