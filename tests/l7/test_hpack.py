"""HPACK: RFC 7541's own examples; PyPI `hpack` as the oracle; a listener who came late; bombs."""

from typing import Any

import hpack
import pytest
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.struct import NeverIndexedHeaderTuple
from hpack.table import HeaderTable
from hypothesis import given
from hypothesis import strategies as st

from receiver.l7.hpack import HeaderList, HeaderSink, HpackDecoder
from receiver.wire.records import Malformed
from tests.l7.harness import COMPILED, TO_CLIENT, TO_SERVER, Vector, load_all

Field = tuple[bytes | None, bytes | None]


def decode(decoder: HpackDecoder, block: bytes) -> list[Field]:
    """The block in the middle of other bytes: nothing outside of it may be read."""
    fields = HeaderList()
    decoder.decode(b"\x82" * 3 + block + b"\x82" * 3, 3, 3 + len(block), fields)
    return [(name, value) for name, value, _ in fields.fields]


def pairs(text: str) -> list[Field]:
    lines = [line.strip() for line in text.strip().splitlines()]
    return [(line[: line.index(":", 1)].encode(), line[line.index(":", 1) + 2 :].encode()) for line in lines]


# RFC 7541, appendix C: blocks of one connection each, the headers they give, and the table's size afterwards.
C2 = [
    ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", "custom-key: custom-header", 55),  # C.2.1
]
C2_2 = [("040c2f73616d706c652f70617468", ":path: /sample/path", 0)]
C2_3 = [("100870617373776f726406736563726574", "password: secret", 0)]
C2_4 = [("82", ":method: GET", 0)]
REQUEST_1 = ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com"
REQUEST_2 = REQUEST_1 + "\ncache-control: no-cache"
REQUEST_3 = ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value"
C3 = [
    ("828684410f7777772e6578616d706c652e636f6d", REQUEST_1, 57),
    ("828684be58086e6f2d6361636865", REQUEST_2, 110),
    ("828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565", REQUEST_3, 164),
]
C4 = [
    ("828684418cf1e3c2e5f23a6ba0ab90f4ff", REQUEST_1, 57),
    ("828684be5886a8eb10649cbf", REQUEST_2, 110),
    ("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", REQUEST_3, 164),
]
DATE = "Mon, 21 Oct 2013 20:13:2"
RESPONSE_1 = f":status: 302\ncache-control: private\ndate: {DATE}1 GMT\nlocation: https://www.example.com"
RESPONSE_2 = f":status: 307\ncache-control: private\ndate: {DATE}1 GMT\nlocation: https://www.example.com"
RESPONSE_3 = (
    f":status: 200\ncache-control: private\ndate: {DATE}2 GMT\nlocation: https://www.example.com\n"
    "content-encoding: gzip\nset-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"
)
# with a table of 256 bytes, which C.5 and C.6 take as agreed: '3fe101' sets it
C5 = [
    (
        "3fe1014803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54"
        "6e1768747470733a2f2f7777772e6578616d706c652e636f6d",
        RESPONSE_1,
        222,
    ),
    ("4803333037c1c0bf", RESPONSE_2, 222),
    (
        "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153"
        "444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
        RESPONSE_3,
        215,
    ),
]
C6 = [
    (
        "3fe101488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad1718"
        "63c78f0b97c8e9ae82ae43d3",
        RESPONSE_1,
        222,
    ),
    ("4883640effc1c0bf", RESPONSE_2, 222),
    (
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960"
        "d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
        RESPONSE_3,
        215,
    ),
]


@pytest.mark.parametrize("blocks", [C2, C2_2, C2_3, C2_4, C3, C4, C5, C6])
def test_rfc_7541_appendix_c(blocks: list[tuple[str, str, int]]) -> None:
    decoder = HpackDecoder()
    for block, headers, size in blocks:
        assert decode(decoder, bytes.fromhex(block)) == pairs(headers)
        assert decoder.table_size == size


def test_c_1_integers() -> None:
    # C.1.2: 1337 with a prefix of five bits is 1f 9a 0a; here as the size of the table
    decoder = HpackDecoder()
    decode(decoder, bytes.fromhex("3f9a0a"))
    assert decoder.table_limit == 1337
    decode(decoder, bytes.fromhex("2a"))  # C.1.1: 10
    assert decoder.table_limit == 10


def test_never_indexed_is_told_and_not_inserted() -> None:
    fields = HeaderList()
    decoder = HpackDecoder()
    block = bytes.fromhex("100870617373776f726406736563726574" + "040c2f73616d706c652f70617468" + "82")
    assert decoder.decode(block, 0, len(block), fields) == 3
    assert [never for _, _, never in fields.fields] == [True, False, False]
    assert decoder.table_size == 0


def test_static_table_is_the_oracles() -> None:
    for index, entry in enumerate(HeaderTable.STATIC_TABLE, 1):
        assert decode(HpackDecoder(), bytes((0x80 | index,))) == [entry]


def test_indexed_fields_come_as_the_same_objects() -> None:
    decoder = HpackDecoder()
    (first,) = decode(decoder, bytes.fromhex(C2[0][0]))
    (again,) = decode(decoder, b"\xbe")
    assert again[0] is first[0] and again[1] is first[1]
    assert decode(decoder, b"\x82")[0][1] is decode(HpackDecoder(), b"\x82")[0][1]


def literal(value: bytes, huffman: bool) -> bytes:
    raw = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(value) if huffman else value
    assert len(raw) < 127
    return b"\x04" + bytes((len(raw) | (0x80 if huffman else 0),)) + raw


@pytest.mark.parametrize("symbol", range(256))
def test_every_huffman_symbol_as_the_oracle_writes_it(symbol: int) -> None:
    for value in (bytes((symbol,)), bytes((symbol,)) * 7, b"a" + bytes((symbol, 255 - symbol)) + b"z"):
        assert decode(HpackDecoder(), literal(value, True)) == [(b":path", value)]


def malformed(block: bytes, decoder: HpackDecoder | None = None) -> str:
    with pytest.raises(Malformed) as caught:
        decode(decoder or HpackDecoder(), block)
    assert caught.value.protocol == "http2"
    assert 0 <= caught.value.offset <= len(block)
    return caught.value.what


@pytest.mark.parametrize(
    ("block", "what"),
    [
        ("80", "index 0"),
        ("be", "outside the table"),
        ("ffffffffff0f", "outside the table"),
        ("ffffffffffff0f", "too large"),
        ("ff8080808080", "too large"),
        ("ff", "integer is cut"),
        ("ff80", "integer is cut"),
        ("04", "string is cut"),
        ("0401", "string is cut"),
        ("047fffffffff0f", "string is cut"),
        ("00", "string is cut"),
        ("7e0161", "outside the table"),
        ("0f2f0161", "outside the table"),
        ("8220", "table size inside"),
        ("0484ffffffff", "EOS"),  # 30 ones
        ("0485ffffffffff", "EOS"),
        ("0481ff", "padding"),  # eight ones
        ("04821fff", "padding"),  # 'a', eleven ones
        ("048100", "padding"),  # '0', three zeros
        ("048118", "padding"),
    ],
)
def test_what_the_rfc_forbids_is_malformed(block: str, what: str) -> None:
    assert what in malformed(bytes.fromhex(block))


@pytest.mark.parametrize("value", [b"a", b"0", b"", b"www.example.com"])
def test_padding_of_up_to_seven_ones_is_right(value: bytes) -> None:
    assert decode(HpackDecoder(), literal(value, True)) == [(b":path", value)]


def test_every_cut_of_a_block_is_malformed_or_its_first_fields() -> None:
    for blocks in (C3, C4, C5, C6):
        block = bytes.fromhex(blocks[0][0])
        whole = pairs(blocks[0][1])
        for n in range(len(block)):
            try:
                got = decode(HpackDecoder(), block[:n])
            except Malformed as error:
                assert "cut" in error.what
            else:
                assert got == whole[: len(got)]


def test_a_place_outside_the_buffer_is_refused() -> None:
    for start, end in ((-1, 1), (0, 3), (2, 1)):
        with pytest.raises(IndexError):
            HpackDecoder().decode(b"\x82\x82", start, end, HeaderList())


def test_zero_padded_integers_are_read() -> None:
    assert decode(HpackDecoder(), bytes.fromhex("04ff80808000")[:1] + b"\x01a") == [(b":path", b"a")]
    decoder = HpackDecoder()
    decode(decoder, bytes.fromhex("3f80808000"))
    assert decoder.table_limit == 31


# --- the table ---


def insert(name: bytes, value: bytes) -> bytes:
    return b"\x40" + string(name) + string(value)


def string(value: bytes) -> bytes:
    size = len(value)
    if size < 127:
        return bytes((size,)) + value
    size -= 127
    out = b"\x7f"
    while size >= 128:
        out += bytes((size & 127 | 128,))
        size >>= 7
    return out + bytes((size,)) + value


def test_an_entry_as_large_as_the_table_is_kept_and_one_byte_more_empties_it() -> None:
    decoder = HpackDecoder()
    decode(decoder, insert(b"a", b"v" * (4096 - 33)))
    assert decoder.table_size == 4096
    decode(decoder, insert(b"b", b"v" * (4096 - 32)))
    assert decoder.table_size == 0
    assert "outside" in malformed(b"\xbe", decoder)


def test_a_smaller_table_evicts_the_oldest() -> None:
    decoder = HpackDecoder()
    for name in (b"a", b"b", b"c"):
        decode(decoder, insert(name, b""))
    decode(decoder, b"\x3f" + bytes((66 - 31,)))
    assert decode(decoder, b"\xbe\xbf") == [(b"c", b""), (b"b", b"")]
    assert "outside" in malformed(b"\xc0", decoder)


def test_a_table_of_size_zero_and_back_is_empty() -> None:
    decoder = HpackDecoder()
    decode(decoder, insert(b"a", b""))
    decode(decoder, b"\x20\x3f\xe1\x1f")
    assert decoder.table_limit == 4096
    assert "outside" in malformed(b"\xbe", decoder)


def test_many_evictions_keep_the_right_entries() -> None:
    decoder = HpackDecoder()
    for i in range(5000):
        decode(decoder, insert(b"n%d" % i, b"v%d" % i))
    assert decoder.table_size <= 4096
    count = decoder.table_size // (32 + 10)
    for back in range(count):
        index = 62 + back
        block = bytes((0x80 | index,)) if index < 127 else b"\xff" + bytes((index - 127,))
        assert decode(decoder, block) == [(b"n%d" % (4999 - back), b"v%d" % (4999 - back))]
    assert decoder.complete


# --- joined late, or after a hole ---


def test_joined_late_what_was_there_before_is_unknown_and_offsets_are_right() -> None:
    decoder = HpackDecoder(from_start=False)
    assert decode(decoder, b"\x82\xbe\xbf") == [(b":method", b"GET"), (None, None), (None, None)]
    assert decode(decoder, insert(b"a", b"1")) == [(b"a", b"1")]
    assert decode(decoder, b"\xbe\xbf\xc0") == [(b"a", b"1"), (None, None), (None, None)]
    # a literal whose name is an old entry's, which is now one further back: the value is known, the name is not
    assert decode(decoder, b"\x7f\x00\x01v") == [(None, b"v")]
    assert decode(decoder, b"\xbe\xbf") == [(None, b"v"), (a := b"a", b"1")] and a
    assert decode(decoder, b"\x7e\x01w") == [(None, b"w")]
    assert decode(decoder, b"\x0f\x2f\x01x") == [(None, b"x")]
    assert decoder.unknown == 8


def test_after_a_hole_the_table_is_unknown() -> None:
    decoder = HpackDecoder()
    decode(decoder, insert(b"a", b"1"))
    decoder.reset_unknown()
    assert decode(decoder, b"\xbe") == [(None, None)]
    assert not decoder.complete


class Numbers(HeaderSink):
    """Keeps the numbers of the entries that nobody saw."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def header(self, name: bytes | None, value: bytes | None, never_indexed: bool) -> int:
        return 0

    def hidden(self, entry: int, value: bytes | None, never_indexed: bool) -> int:
        self.seen.append(entry)
        return 0


@pytest.mark.skipif(COMPILED, reason="a sink of compiled code cannot be written in a test")
def test_an_entry_that_nobody_saw_has_one_number_wherever_it_stands() -> None:
    decoder = HpackDecoder(from_start=False)
    numbers = Numbers()
    for block in (b"\xbe", insert(b"a", b"1"), b"\xbf", b"\x7f\x00\x01v", b"\xbe", b"\xc0", b"\xc1"):
        decoder.decode(block, 0, len(block), numbers)
    # The one whose name was taken from the newest has that one's number; the last is another.
    assert numbers.seen[:-1] == [numbers.seen[0]] * 5 and numbers.seen[-1] == numbers.seen[0] - 1
    decoder.reset_unknown()
    decoder.decode(b"\xbe", 0, 1, numbers)
    assert numbers.seen[-1] not in numbers.seen[:-1]


@pytest.mark.skipif(COMPILED, reason="numbers are told to compiled sinks alone")
def test_a_name_that_was_learned_is_known_wherever_it_is_referred_to() -> None:
    decoder = HpackDecoder(from_start=False)
    numbers = Numbers()
    decode(decoder, b"\x7e\x01v")  # its name is the newest entry's
    decoder.decode(b"\xbf", 0, 1, numbers)
    size = decoder.table_size
    decoder.learn(numbers.seen[0], b"grpc-status")
    assert decoder.table_size == size + len(b"grpc-status")
    assert decode(decoder, b"\xbe\xbf") == [(b"grpc-status", b"v"), (b"grpc-status", None)]
    assert decode(decoder, b"\x7f\x00\x01w") == [(b"grpc-status", b"w")]
    assert decode(decoder, b"\xbe\xc1") == [(b"grpc-status", b"w"), (None, None)]
    decoder.reset_unknown()
    assert decode(decoder, b"\xbf") == [(None, None)]


def test_a_table_of_size_zero_ends_the_uncertainty() -> None:
    decoder = HpackDecoder(from_start=False)
    decode(decoder, b"\x20\x3f\xe1\x1f")
    assert decoder.complete
    assert "outside" in malformed(b"\xbe", decoder)


def test_a_full_table_of_known_size_ends_the_uncertainty() -> None:
    decoder = HpackDecoder(from_start=False)
    decode(decoder, b"\x3f" + bytes((64 - 31,)))
    assert "outside" in malformed(b"\xc0", decoder)  # two entries fit at most
    decode(decoder, b"\x3f" + bytes((64 - 31,)))
    assert decode(decoder, b"\xbf") == [(None, None)]
    for _ in range(2):
        decode(decoder, insert(b"", b""))
        assert not decoder.complete
    decode(decoder, insert(b"", b""))
    assert decoder.complete


def test_joined_late_an_entry_larger_than_the_usual_table_may_have_been_kept_by_the_peer() -> None:
    decoder = HpackDecoder(from_start=False)
    decode(decoder, insert(b"a", b"1"))
    decode(decoder, insert(b"large", b"v" * 5000))
    assert decode(decoder, b"\xbe\xbf") == [(None, None), (None, None)]
    decode(decoder, insert(b"b", b"2"))
    assert decode(decoder, b"\xbe\xbf") == [(b"b", b"2"), (None, None)]


def test_after_a_malformed_block_nothing_is_known() -> None:
    decoder = HpackDecoder()
    decode(decoder, insert(b"a", b"1"))
    malformed(b"\x80", decoder)
    assert decode(decoder, b"\xbe") == [(None, None)]


# --- limits ---


def test_a_list_over_the_limit_is_cut_and_marked_and_the_table_goes_on() -> None:
    decoder = HpackDecoder(list_max=2 * 42)
    one = insert(b"name5", b"value")
    assert len(decode(decoder, one + one)) == 2
    assert not decoder.truncated
    fields = HeaderList()
    block = one + one + insert(b"x", b"y") + b"\x82"
    assert decoder.decode(block, 0, len(block), fields) == 4
    assert len(fields.fields) == 2
    assert decoder.truncated
    assert decode(decoder, b"\xbe") == [(b"x", b"y")]
    assert not decoder.truncated


def test_a_bomb_of_references_is_cut() -> None:
    decoder = HpackDecoder()
    decode(decoder, insert(b"a", b"v" * 4000))
    assert len(decode(decoder, b"\xbe" * 1_000_000)) == 16  # 16 x 4033 < 65536
    assert decoder.truncated


def test_a_huge_table_is_kept_in_part_and_the_rest_is_unknown() -> None:
    decoder = HpackDecoder(kept_max=100)
    decode(decoder, b"\x3f\xff\xff\xff\x7f")
    for name in (b"a", b"b", b"c", b"d"):
        decode(decoder, insert(name, b""))
    assert decoder.table_size == 99
    assert decode(decoder, b"\xbe\xbf\xc0\xc1") == [(b"d", b""), (b"c", b""), (b"b", b""), (None, None)]
    decode(decoder, insert(b"big", b"v" * 100))
    assert decode(decoder, b"\xbe\xbf") == [(None, None), (None, None)]
    decode(decoder, insert(b"e", b""))
    assert decode(decoder, b"\xbe\xbf") == [(b"e", b""), (None, None)]


@given(st.binary(max_size=200), st.booleans())
def test_random_bytes_raise_nothing_but_malformed(raw: bytes, from_start: bool) -> None:
    decoder = HpackDecoder(from_start, list_max=300, kept_max=200)
    for _ in range(2):
        try:
            got = decode(decoder, raw)
        except Malformed:
            continue
        assert sum(32 + len(name or b"") + len(value or b"") for name, value in got) <= 300
        assert decoder.table_size <= 200


# --- what real peers sent, against the oracle ---


def blocks_of(stream: bytes, to_server: bool) -> list[bytes]:
    """The header blocks of one direction, in their order (RFC 9113, 4.1, 6.2, 6.6, 6.10), from where HTTP/2 begins."""
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    if to_server:
        at = stream.index(preface) + len(preface)
    elif stream.startswith(b"HTTP/1.1 101"):
        at = stream.index(b"\r\n\r\n") + 4
    else:
        at = 0
    blocks: list[bytes] = []
    while at + 9 <= len(stream):
        size, kind, flags = int.from_bytes(stream[at : at + 3], "big"), stream[at + 3], stream[at + 4]
        payload = stream[at + 9 : at + 9 + size]
        at += 9 + size
        if kind not in (1, 5, 9) or at > len(stream):
            continue
        if kind != 9 and flags & 0x8:
            payload = payload[1 : len(payload) - payload[0]]
        if kind == 1 and flags & 0x20:
            payload = payload[5:]
        if kind == 5:
            payload = payload[4:]
        if kind == 9:
            blocks[-1] += payload
        else:
            blocks.append(payload)
    return blocks


@pytest.mark.parametrize("vector", load_all("http2"), ids=str)
def test_every_block_of_a_real_peer_is_read_as_the_oracle_reads_it(vector: Vector) -> None:
    read = 0
    for direction in (TO_SERVER, TO_CLIENT):
        stream = b"".join(event.payload or b"" for event in vector.events if event.direction == direction)
        decoder, oracle = HpackDecoder(), hpack.Decoder(max_header_list_size=1 << 20)
        oracle.max_allowed_table_size = 1 << 20
        for block in blocks_of(stream, direction == TO_SERVER):
            read += 1
            assert decode(decoder, block) == [tuple(field) for field in oracle.decode(block, raw=True)]
            assert decoder.table_size == oracle.header_table._current_size
    assert read


# --- against the oracle ---

NAMES = st.one_of(
    st.sampled_from([b":path", b":method", b"cookie", b"x-request-id", b"user-agent", b"grpc-status", b"a", b"b"]),
    st.binary(min_size=1, max_size=12),
)
VALUES = st.one_of(st.sampled_from([b"GET", b"/", b"", b"0", b"1", b"application/grpc"]), st.binary(max_size=60))
FIELDS = st.lists(st.tuples(NAMES, VALUES, st.booleans()), max_size=10)
# (change of the table's size before the block, its fields, whether with Huffman)
BLOCKS = st.lists(
    st.tuples(st.none() | st.sampled_from([0, 31, 32, 60, 100, 300, 4096, 10_000]), FIELDS, st.booleans()), max_size=8
)


def encode(blocks: list[tuple[int | None, list[tuple[bytes, bytes, bool]], bool]]) -> list[bytes]:
    encoder = hpack.Encoder()
    out = []
    for size, fields, huffman in blocks:
        if size is not None:
            encoder.header_table_size = size
        out.append(encoder.encode([NeverIndexedHeaderTuple(n, v) if s else (n, v) for n, v, s in fields], huffman))
    return out


@given(BLOCKS)
def test_what_the_oracle_encodes_is_read(blocks: Any) -> None:
    decoder = HpackDecoder()
    oracle = hpack.Decoder()
    oracle.max_allowed_table_size = 1 << 20
    for block, (_, fields, _) in zip(encode(blocks), blocks, strict=True):
        got = HeaderList()
        assert decoder.decode(block, 0, len(block), got) == len(fields)
        assert [(name, value) for name, value, _ in got.fields] == [(name, value) for name, value, _ in fields]
        assert [never for *_, never in got.fields] == [not field.indexable for field in oracle.decode(block, raw=True)]
        assert (decoder.complete, decoder.table_limit) == (True, oracle.header_table_size)
        assert decoder.table_size == oracle.header_table._current_size


class Remembered(bytes):
    """A string in the oracle's table, with the number of the block that brought it there."""

    block: int


class Table(HeaderTable):  # type: ignore[misc]  # hpack tells no types
    """The oracle's table; tells of each string that comes out of it when it went in."""

    now = 0

    def add(self, name: bytes, value: bytes) -> None:
        kept = Remembered(name)
        kept.block = name.block if isinstance(name, Remembered) else self.now
        brought = Remembered(value)
        brought.block = self.now
        super().add(kept, brought)


class Oracle(hpack.Decoder):  # type: ignore[misc]  # hpack tells no types
    """Keeps the fields as they came from the table."""

    def __init__(self) -> None:
        super().__init__()
        self.header_table = Table()
        self.max_allowed_table_size = 1 << 20
        self.fields: list[tuple[bytes, bytes]] = []

    def _decode_indexed(self, *args: Any) -> Any:
        field, consumed = super()._decode_indexed(*args)
        self.fields.append(field)
        return field, consumed

    def _decode_literal(self, *args: Any, **options: Any) -> Any:
        field, consumed = super()._decode_literal(*args, **options)
        self.fields.append(field)
        return field, consumed


@given(BLOCKS, st.data())
def test_joined_in_the_middle_what_can_be_known_is_known_and_nothing_else(blocks: Any, data: Any) -> None:
    encoded = encode(blocks)
    join = data.draw(st.integers(0, len(encoded)))
    hole = data.draw(st.booleans())  # a hole before block `join` instead of a late start
    oracle = Oracle()
    decoder = HpackDecoder(from_start=hole)
    for number, block in enumerate(encoded):
        oracle.header_table.now = number
        oracle.fields = []
        oracle.decode(block, raw=True)
        if number < join:
            if hole and number < join - 1:
                decode(decoder, block)
            continue
        if number == join and hole:
            decoder.reset_unknown()
        wanted = [
            tuple(None if isinstance(text, Remembered) and text.block < join else bytes(text) for text in field)
            for field in oracle.fields
        ]
        assert decode(decoder, block) == wanted


@given(FIELDS, st.integers(0, 10))
def test_a_list_split_into_blocks_gives_the_same_fields(fields: Any, cut: int) -> None:
    parts = [(None, fields[:cut], True), (None, fields[cut:], False)]
    decoder = HpackDecoder()
    got = [field for block in encode(parts) for field in decode(decoder, block)]
    assert got == [(name, value) for name, value, _ in fields]
