"""Trace context: one test for each rule, every other format, hostile bytes. W3C's own cases are in `tests/telemetry`."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.l7.trace_context import PROPAGATORS, TraceContext

T = "12345678901234567890123456789012"
P = "1234567890123456"
OK = f"00-{T}-{P}-00"
EVERY = tuple(PROPAGATORS)

Headers = list[tuple[str, str]]


def read(headers: Headers, propagators: tuple[str, ...] = ("tracecontext",)) -> TraceContext:
    """The headers as a request head, offered by their places in it, and once more as pairs: both must say the same."""
    head = b"GET / HTTP/1.1\r\n"
    by_place = TraceContext(propagators)
    places = []
    for name, value in headers:
        raw_name, raw_value = name.encode("latin-1"), value.encode("latin-1")
        start = len(head)
        head += raw_name + b":" + raw_value + b"\r\n"
        places.append((start, start + len(raw_name), start + len(raw_name) + 1, len(head) - 2))
    for place in places:
        by_place.offer(head, *place)
    by_pair = TraceContext(propagators)
    for name, value in headers:
        by_pair.offer_pair(name.encode("latin-1"), value.encode("latin-1"))
    assert by_place.result() == by_place.valid == by_pair.result()
    assert said(by_place) == said(by_pair)
    return by_place


def said(context: TraceContext) -> tuple[object, ...]:
    return (context.valid, context.trace_id, context.parent_id, context.flags, context.sampled, context.tracestate)


def test_unknown_flags_are_zeroed_and_never_compared_whole() -> None:
    assert read([("traceparent", f"00-{T}-{P}-ff")]).flags == 3
    assert read([("traceparent", f"00-{T}-{P}-09")]).flags == 1
    assert read([("traceparent", f"cc-{T}-{P}-fc")]).flags == 0


def test_sampled_follows_bit_zero_and_is_open_without_a_header() -> None:
    assert read([("traceparent", f"00-{T}-{P}-01")]).sampled == 1
    assert read([("traceparent", f"00-{T}-{P}-02")]).sampled == 0
    assert read([]).sampled == -1
    assert read([("traceparent", "rubbish")]).sampled == -1


@pytest.mark.parametrize("place", [0, 1, *range(3, 35), *range(36, 52), 53, 54])
def test_upper_case_hex_is_invalid(place: int) -> None:
    value = f"00-{'a' * 32}-{'b' * 16}-0c"
    assert read([("traceparent", value)]).valid
    assert not read([("traceparent", value[:place] + "A" + value[place + 1 :])]).valid


@pytest.mark.parametrize("place", [2, 35, 52])
def test_a_dash_that_is_missing_is_invalid(place: int) -> None:
    assert not read([("traceparent", OK[:place] + "0" + OK[place + 1 :])]).valid


def test_every_cut_of_a_traceparent_is_invalid() -> None:
    for n in range(len(OK)):
        assert not read([("traceparent", OK[:n])]).valid


def test_a_later_version_may_be_any_but_ff() -> None:
    for version in range(256):
        assert read([("traceparent", f"{version:02x}-{T}-{P}-01")]).valid == (version != 0xFF)


def test_an_invalid_traceparent_drops_tracestate() -> None:
    assert read([("traceparent", f"ff-{T}-{P}-01"), ("tracestate", "foo=1")]).tracestate == b""


def test_tracestate_may_come_before_traceparent() -> None:
    assert read([("tracestate", "foo=1"), ("traceparent", OK), ("tracestate", "bar=2")]).tracestate == b"foo=1,bar=2"


def test_empty_members_are_allowed_and_left_out() -> None:
    assert read([("traceparent", OK), ("tracestate", ",, foo=1, ,\t,bar=2,")]).tracestate == b"foo=1,bar=2"


def test_leading_spaces_belong_to_the_value_and_inner_tabs_are_invalid() -> None:
    assert read([("traceparent", OK), ("tracestate", "foo=  1")]).tracestate == b"foo=  1"
    assert read([("traceparent", OK), ("tracestate", "foo=1\t2")]).tracestate == b""
    assert read([("traceparent", OK), ("tracestate", "foo=caf\xe9")]).tracestate == b""


def test_value_of_256_characters_is_kept_and_of_257_discards() -> None:
    assert read([("traceparent", OK), ("tracestate", "a=" + "v" * 256)]).tracestate == b"a=" + b"v" * 256
    assert read([("traceparent", OK), ("tracestate", "a=" + "v" * 257)]).tracestate == b""


def test_512_characters_are_kept_whole() -> None:
    line = ",".join(["a=" + "v" * 98] * 5) + ",b=" + "w" * 5  # 5 * 101 + 7
    assert len(line) == 512
    assert read([("traceparent", OK), ("tracestate", line)]).tracestate == line.encode()


def test_over_512_characters_long_members_go_first_then_from_the_end() -> None:
    short = ["a=" + "v" * 98] * 5
    got = read([("traceparent", OK), ("tracestate", ",".join([*short[:2], "long=" + "x" * 124, *short[2:]]))])
    assert got.tracestate.decode() == ",".join(short)
    got = read([("traceparent", OK), ("tracestate", ",".join([*short, "b=" + "w" * 6]))])
    assert got.tracestate.decode() == ",".join(short)


def test_an_endless_tracestate_is_dropped_and_the_reader_goes_on() -> None:
    context = TraceContext()
    line = b"a=" + b"v" * 100
    for _ in range(100_000):
        context.read_tracestate(line, 0, len(line))
    context.read_traceparent(OK.encode(), 0, len(OK))
    assert context.result()
    assert context.tracestate == b""
    context.reset()
    context.read_traceparent(OK.encode(), 0, len(OK))
    context.read_tracestate(line, 0, len(line))
    assert context.result()
    assert context.tracestate == line


def test_reset_forgets_everything() -> None:
    context = TraceContext(EVERY)
    context.offer_pair(b"traceparent", f"00-{T}-{P}-01".encode())
    context.offer_pair(b"tracestate", b"foo=1")
    context.offer_pair(b"b3", f"{T}-{P}-1".encode())
    context.result()
    context.reset()
    assert said(context) == (False, b"", b"", 0, -1, b"")
    assert not context.result()


def test_a_place_outside_the_buffer_is_refused() -> None:
    context = TraceContext(EVERY)
    for name in (b"traceparent", b"tracestate", b"b3"):
        with pytest.raises(IndexError):
            context.offer(name + b": 1", 0, len(name), len(name), len(name) + 4)
        with pytest.raises(IndexError):
            context.offer(name + b": 1", 0, len(name), -1, 2)


def test_unknown_propagator_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="b4"):
        TraceContext(("tracecontext", "b4"))


def test_formats_that_are_not_configured_are_not_read() -> None:
    headers = [
        ("b3", f"{T}-{P}-1"),
        ("uber-trace-id", f"{T}:{P}:0:1"),
        ("x-datadog-trace-id", "1"),
        ("x-datadog-parent-id", "2"),
    ]
    assert not read(headers).valid
    assert not read([("traceparent", OK)], ("b3",)).valid
    assert not read([("traceparent", OK)], ("none",)).valid


# openzipkin/b3-propagation, README.md: "Single Header" and "Multiple Headers"
T64 = "0" * 16 + P
Z = "05e3ac9a4f6e3b90"
B3_SINGLE = [
    (f"{T}-{P}-1-{Z}", T, P, 1),
    (f"{T}-{P}-1", T, P, 1),
    (f"{T}-{P}-0", T, P, 0),
    (f"{T}-{P}-d", T, P, 1),
    (f"{T}-{P}", T, P, -1),
    (f"{P}-{Z}-1", T64, Z, 1),
    ("0", "", "", 0),
    ("1", "", "", 1),
    ("d", "", "", 1),
    (" 0 ", "", "", 0),
    ("", "", "", -1),
    ("2", "", "", -1),
    (f"{T}-{P}-2", "", "", -1),
    (f"{T}-{P}-", "", "", -1),
    (f"{T}-{P}-1-", "", "", -1),
    (f"{T}-{P}-1-{Z}-1", "", "", -1),
    (f"{T[:31]}-{P}-1", "", "", -1),
    (f"{T}-{P[:15]}-1", "", "", -1),
    (f"{'A' * 32}-{P}-1", "", "", -1),
    (f"{'0' * 32}-{P}-1", "", "", -1),
    (f"{T}-{'0' * 16}-1", "", "", -1),
]


@pytest.mark.parametrize(("value", "trace_id", "parent_id", "sampled"), B3_SINGLE)
@pytest.mark.parametrize("propagator", ["b3", "b3multi"])
def test_b3_single(propagator: str, value: str, trace_id: str, parent_id: str, sampled: int) -> None:
    got = read([("B3", value)], (propagator,))
    assert (got.trace_id.hex(), got.parent_id.hex(), got.sampled, got.valid) == (
        trace_id,
        parent_id,
        sampled,
        trace_id != "",
    )
    assert got.flags == (1 if got.valid and sampled == 1 else 0)


B3_IDS = [("X-B3-TraceId", T), ("X-B3-SpanId", P), ("X-B3-ParentSpanId", Z)]
B3_MULTI = [
    ([*B3_IDS, ("X-B3-Sampled", "1")], T, P, 1),
    ([*B3_IDS, ("X-B3-Sampled", "0")], T, P, 0),
    ([*B3_IDS, ("x-b3-sampled", "true")], T, P, 1),
    ([*B3_IDS, ("x-b3-sampled", "false")], T, P, 0),
    ([*B3_IDS, ("X-B3-Flags", "1")], T, P, 1),
    ([*B3_IDS, ("X-B3-Flags", "0")], T, P, -1),
    (B3_IDS, T, P, -1),
    ([*B3_IDS, ("X-B3-TraceId", Z)], T, P, -1),  # the first value wins
    ([("X-B3-TraceId", P), ("X-B3-SpanId", Z)], T64, Z, -1),
    ([("X-B3-Sampled", "0")], "", "", 0),
    ([("X-B3-TraceId", T), ("X-B3-Sampled", "0")], "", "", 0),
    ([("X-B3-TraceId", T + "1"), ("X-B3-SpanId", P)], "", "", -1),
    ([("X-B3-TraceId", T), ("X-B3-SpanId", P + "1")], "", "", -1),
    ([("X-B3-SpanId", P), ("X-B3-Sampled", "1")], "", "", 1),
]


@pytest.mark.parametrize(("headers", "trace_id", "parent_id", "sampled"), B3_MULTI)
def test_b3_multi(headers: Headers, trace_id: str, parent_id: str, sampled: int) -> None:
    got = read(headers, ("b3multi",))
    assert (got.trace_id.hex(), got.parent_id.hex(), got.sampled) == (trace_id, parent_id, sampled)


# jaegertracing.io, "Client Libraries", Propagation Format; npm @opentelemetry/propagator-jaeger README
JAEGER = [
    (f"{T}:{P}:0:1", T, P, 1),
    (f"{T}:{P}:0:0", T, P, 0),
    (f"{T}:{P}:0:3", T, P, 1),
    (f"{T}:{P}:0:02", T, P, 1),
    (f"{T}%3A{P}%3a0%3A1", T, P, 1),
    ("ABC:1:0:1", "0" * 29 + "abc", "0" * 15 + "1", 1),
    (f"{P}:{Z}::1", T64, Z, 1),
    (f"0:{P}:0:1", "", "", -1),
    (f"{T}:0:0:1", "", "", -1),
    (f"{T}:{P}:0", "", "", -1),
    (f"{T}:{P}:0:", "", "", -1),
    (f"{T}:{P}:0:x", "", "", -1),
    (f"{T}:{P}:0:111", "", "", -1),
    (f"{T}:{P}:0:1:1", "", "", -1),
    (f"{T}0:{P}:0:1", "", "", -1),
    (f"{T}:{P}0:0:1", "", "", -1),
    (f":{P}:0:1", "", "", -1),
]


@pytest.mark.parametrize(("value", "trace_id", "parent_id", "sampled"), JAEGER)
def test_jaeger(value: str, trace_id: str, parent_id: str, sampled: int) -> None:
    got = read([("uber-trace-id", value)], ("jaeger",))
    assert (got.trace_id.hex(), got.parent_id.hex(), got.sampled) == (trace_id, parent_id, sampled)


# DataDog/dd-trace-py, ddtrace/propagation/http.py: decimal 64-bit ids, priority over 0 keeps, _dd.p.tid: upper half
DD = [("x-datadog-trace-id", "18446744073709551615"), ("x-datadog-parent-id", "255")]
DD_LOW, DD_PARENT = "0" * 16 + "f" * 16, "0" * 14 + "ff"
TID = "640cfd8d00000000"
DATADOG = [
    (DD, DD_LOW, DD_PARENT, -1),
    ([*DD, ("x-datadog-sampling-priority", "1")], DD_LOW, DD_PARENT, 1),
    ([*DD, ("x-datadog-sampling-priority", "2")], DD_LOW, DD_PARENT, 1),
    ([*DD, ("x-datadog-sampling-priority", "0")], DD_LOW, DD_PARENT, 0),
    ([*DD, ("x-datadog-sampling-priority", "-1")], DD_LOW, DD_PARENT, 0),
    ([*DD, ("x-datadog-sampling-priority", "x")], DD_LOW, DD_PARENT, -1),
    ([*DD, ("x-datadog-tags", f"_dd.p.dm=-4,_dd.p.tid={TID}")], TID + "f" * 16, DD_PARENT, -1),
    ([*DD, ("x-datadog-tags", f"_dd.p.tid={TID[1:]}")], DD_LOW, DD_PARENT, -1),
    ([*DD, ("x-datadog-tags", f"_dd.p.tid={TID.upper()}")], DD_LOW, DD_PARENT, -1),
    (DD[:1], DD_LOW, "", -1),
    ([("x-datadog-trace-id", "18446744073709551616"), DD[1]], "", "", -1),
    ([("x-datadog-trace-id", "0"), DD[1]], "", "", -1),
    ([("x-datadog-trace-id", "-1"), DD[1]], "", "", -1),
    ([("x-datadog-trace-id", "1_0"), DD[1]], "", "", -1),
    ([("x-datadog-trace-id", "9" * 5000), DD[1]], "", "", -1),
]


@pytest.mark.parametrize(("headers", "trace_id", "parent_id", "sampled"), DATADOG)
def test_datadog(headers: Headers, trace_id: str, parent_id: str, sampled: int) -> None:
    got = read(headers, ("datadog",))
    assert (got.trace_id.hex(), got.parent_id.hex(), got.sampled) == (trace_id, parent_id, sampled)


# npm @opentelemetry/propagator-aws-xray README; the id is the AWS documentation's example
XRAY_T = "5759e988bd862e3fe1be46a994272793"
XRAY_ROOT = "Root=1-5759e988-bd862e3fe1be46a994272793"
XRAY = [
    (f"{XRAY_ROOT};Parent=53995c3f42cd8ad8;Sampled=1", XRAY_T, "53995c3f42cd8ad8", 1),
    (f"Sampled=0; Lineage=a:1|b:2;Parent=53995c3f42cd8ad8;Self=1-x;{XRAY_ROOT}", XRAY_T, "53995c3f42cd8ad8", 0),
    (f"{XRAY_ROOT};Parent=53995c3f42cd8ad8;Sampled=?", XRAY_T, "53995c3f42cd8ad8", -1),
    (f"{XRAY_ROOT}", XRAY_T, "", -1),
    ("Sampled=0", "", "", 0),
    ("Root=2-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8", "", "", -1),
    ("Root=1-5759e988bd862e3f-e1be46a994272793;Parent=53995c3f42cd8ad8", "", "", -1),
    (f"Root=1-{'0' * 8}-{'0' * 24};Parent=53995c3f42cd8ad8;Sampled=1", "", "", 1),
]


@pytest.mark.parametrize(("value", "trace_id", "parent_id", "sampled"), XRAY)
def test_xray(value: str, trace_id: str, parent_id: str, sampled: int) -> None:
    got = read([("X-Amzn-Trace-Id", value)], ("xray",))
    assert (got.trace_id.hex(), got.parent_id.hex(), got.sampled) == (trace_id, parent_id, sampled)


# census-instrumentation/opencensus-specs, encodings/BinaryEncoding.md
GRPC_RAW = b"\0" + b"\0" + bytes(range(64, 80)) + b"\1" + bytes(range(97, 105)) + b"\2\1"
GRPC = [
    (base64.b64encode(GRPC_RAW).decode(), GRPC_RAW[2:18].hex(), GRPC_RAW[19:27].hex(), 1),
    (base64.b64encode(GRPC_RAW).decode().rstrip("="), GRPC_RAW[2:18].hex(), GRPC_RAW[19:27].hex(), 1),
    (base64.b64encode(GRPC_RAW[:-1] + b"\0").decode(), GRPC_RAW[2:18].hex(), GRPC_RAW[19:27].hex(), 0),
    (base64.b64encode(GRPC_RAW[:27] + b"\7\7").decode(), GRPC_RAW[2:18].hex(), GRPC_RAW[19:27].hex(), -1),
    (base64.b64encode(b"\1" + GRPC_RAW[1:]).decode(), "", "", -1),
    (base64.b64encode(GRPC_RAW[:18]).decode(), "", "", -1),
    (base64.b64encode(GRPC_RAW[:18] + b"\1" + bytes(8)).decode(), "", "", -1),
    ("A", "", "", -1),
    ("A" * 5000, "", "", -1),
]


@pytest.mark.parametrize(("value", "trace_id", "parent_id", "sampled"), GRPC)
def test_grpc_trace_bin(value: str, trace_id: str, parent_id: str, sampled: int) -> None:
    got = read([("grpc-trace-bin", value)], ("grpc-trace-bin",))
    assert (got.trace_id.hex(), got.parent_id.hex(), got.sampled) == (trace_id, parent_id, sampled)


IN_ORDER: list[Headers] = [
    [("traceparent", f"00-{'1' * 32}-{P}-01")],
    [("b3", f"{'2' * 32}-{P}-1")],
    [("x-b3-traceid", "3" * 32), ("x-b3-spanid", P)],
    [("uber-trace-id", f"{'4' * 32}:{P}:0:1")],
    [
        ("x-datadog-trace-id", str(int("5" * 16, 16))),
        ("x-datadog-parent-id", "1"),
        ("x-datadog-tags", f"_dd.p.tid={'5' * 16}"),
    ],
    [("x-amzn-trace-id", f"Root=1-{'6' * 8}-{'6' * 24};Parent={P};Sampled=1")],
    [("grpc-trace-bin", base64.b64encode(b"\0\0" + b"\x77" * 16 + GRPC_RAW[18:]).decode())],
]


@pytest.mark.parametrize("first", range(len(IN_ORDER)))
def test_extraction_order_does_not_depend_on_the_order_of_headers(first: int) -> None:
    headers = [header for group in IN_ORDER[first:] for header in group]
    wanted = str(first + 1) * 32
    assert read(headers, EVERY).trace_id.hex() == wanted
    assert read(headers[::-1], EVERY).trace_id.hex() == wanted


def test_an_invalid_traceparent_leaves_the_word_to_the_next_format() -> None:
    assert read([("traceparent", "00-x"), ("b3", f"{T}-{P}-1")], EVERY).trace_id.hex() == T


def test_a_denial_without_ids_ends_the_search() -> None:
    got = read([("b3", "0"), ("uber-trace-id", f"{T}:{P}:0:1")], EVERY)
    assert (got.valid, got.sampled) == (False, 0)


NAMES = [name for group in IN_ORDER for name, _ in group] + [
    "tracestate",
    "x-b3-sampled",
    "x-b3-flags",
    "x-datadog-sampling-priority",
]
PIECES = [
    T,
    P,
    "-",
    ":",
    ";",
    ",",
    "=",
    "%3A",
    "00",
    "01",
    "d",
    "Root=1-",
    "Parent=",
    "Sampled=",
    "_dd.p.tid=",
    " ",
    "\t",
    "\xff",
    "\0",
    "9" * 20,
]
VALUES = st.one_of(
    st.text(st.characters(max_codepoint=255), max_size=80), st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
)


@given(st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=12))
def test_no_value_raises_and_what_is_given_is_well_formed(headers: Headers) -> None:
    got = read(headers, EVERY)
    assert len(got.trace_id) == (16 if got.valid else 0)
    assert len(got.parent_id) in ((0, 8) if got.valid else (0,))
    assert not got.valid or got.trace_id != bytes(16)
    assert got.parent_id != bytes(8)
    assert 0 <= got.flags <= 3 and -1 <= got.sampled <= 1
    assert len(got.tracestate) <= 512
    assert all(0x20 <= byte <= 0x7E for byte in got.tracestate)


@given(st.binary(max_size=300), st.integers(0, 300), st.integers(0, 300))
def test_random_bytes_never_raise(raw: bytes, start: int, end: int) -> None:
    start, end = min(start, len(raw)), min(end, len(raw))
    context = TraceContext(EVERY)
    context.read_traceparent(raw, start, end)
    context.read_tracestate(raw, start, end)
    for name in NAMES:
        context.offer_pair(name.encode(), raw[start:end])
    context.result()


@given(
    st.binary(min_size=16, max_size=16).filter(any), st.binary(min_size=8, max_size=8).filter(any), st.integers(0, 255)
)
def test_every_well_formed_traceparent_is_read_back(trace_id: bytes, parent_id: bytes, flags: int) -> None:
    got = read([("traceparent", f"00-{trace_id.hex()}-{parent_id.hex()}-{flags:02x}")])
    assert (got.trace_id, got.parent_id, got.flags) == (trace_id, parent_id, flags & 3)
