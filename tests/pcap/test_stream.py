"""One direction of a TCP connection, and the two together: what comes out of segments that are late, twice, cut, or not there.

Rules by RFC 9293 unless another is named. The consumer notes what it is told: bytes, holes (as negative numbers of bytes), FIN.
"""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.pcap.stream import Reassembly, Stream
from receiver.wire.records import Consumer, Segment

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
TO_SERVER, TO_CLIENT = 0, 1
MS = 1_000_000
SECOND = 1_000_000_000
WRAP = 1 << 32


class Told(Consumer):
    def __init__(self) -> None:
        self.of: tuple[list[Any], list[Any]] = ([], [])
        self.times: list[tuple[int, bytes, int]] = []
        self.all: list[tuple[int, bytes | int]] = []  # bytes, and how many are missing

    def feed(self, direction: int, buf: bytes, start: int, end: int, ts_ns: int) -> int:
        said = self.of[direction]
        if said and isinstance(said[-1], bytes):
            said[-1] += buf[start:end]
        else:
            said.append(buf[start:end])
        self.times.append((direction, buf[start:end], ts_ns))
        self.all.append((direction, buf[start:end]))
        return 0

    def gap(self, direction: int, missing: int, ts_ns: int) -> int:
        self.of[direction].append(-missing)
        self.all.append((direction, missing))
        return 0

    def close(self, direction: int, ts_ns: int) -> int:
        self.of[direction].append("fin")
        return 0


class Pair:
    """Two streams that face each other. `base`: the initial sequences of client and server."""

    def __init__(self, base: tuple[int, int] = (1000, 5000), **limits: int) -> None:
        self.limits = Reassembly(**limits)
        self.streams = (Stream(TO_SERVER, self.limits), Stream(TO_CLIENT, self.limits))
        self.streams[0].pair_with(self.streams[1])
        self.told = Told()
        self.base = base
        self.now = 0

    def segment(self, direction: int, at: int, payload: bytes, ack: int | None, flags: int, cut: int, ms: float | None) -> Segment:
        """`at`: the place in the direction's bytes (0 is the first behind the SYN); `ack` the same of the other direction's."""
        self.now = int(ms * MS) if ms is not None else self.now + MS
        seg = Segment()
        seg.is_tcp = True
        seg.seq = (self.base[direction] + at) % WRAP
        seg.flags = flags | (ACK if ack is not None else 0)
        seg.ack = (self.base[1 - direction] + (ack or 0)) % WRAP
        seg.wire_length = len(payload)
        seg.start, seg.end = 3, 3 + len(payload) - cut
        seg.ts_ns = self.now
        return seg

    def push(
        self,
        direction: int,
        at: int,
        payload: bytes = b"",
        ack: int | None = None,
        flags: int = 0,
        cut: int = 0,
        ms: float | None = None,
    ) -> Pair:
        seg = self.segment(direction, at, payload, ack, flags, cut, ms)
        self.streams[direction].push(seg, b"..." + payload[: len(payload) - cut] + b"...", self.told)
        assert 0 <= self.limits.held_bytes <= self.limits.memory
        return self

    def client(self, at: int, payload: bytes = b"", **more: Any) -> Pair:
        return self.push(TO_SERVER, at, payload, **more)

    def server(self, at: int, payload: bytes = b"", **more: Any) -> Pair:
        return self.push(TO_CLIENT, at, payload, **more)

    def open(self) -> Pair:
        for direction in (TO_SERVER, TO_CLIENT):
            seg = self.segment(direction, -1, b"", None if direction == TO_SERVER else 0, SYN, 0, None)
            self.streams[direction].on_syn(seg)
        return self

    def settle(self, ms: float | None = None, all_of_it: bool = False) -> Pair:
        self.now = int(ms * MS) if ms is not None else self.now
        self.streams[0].settle(self.told, self.now, all_of_it)
        return self

    @property
    def asked(self) -> list[Any]:
        return self.told.of[TO_SERVER]

    @property
    def answered(self) -> list[Any]:
        return self.told.of[TO_CLIENT]


# --- order ---


def test_in_order_is_handed_over_at_once() -> None:
    pair = Pair().open().client(0, b"abc", ack=0).client(3, b"def")
    assert pair.asked == [b"abcdef"]
    assert pair.limits.held_bytes == 0


def test_swapped_segments_are_put_in_order_and_counted() -> None:
    pair = Pair().open().client(3, b"def").client(0, b"abc").client(6, b"g")
    assert pair.asked == [b"abcdefg"]
    assert (pair.limits.reordered, pair.limits.gaps, pair.limits.held_bytes) == (1, 0, 0)


def test_answer_that_overtakes_its_question_waits_for_it() -> None:
    pair = Pair().open().server(0, b"answer", ack=5, ms=2).client(0, b"quest", ack=0, ms=3)
    assert [direction for direction, *_ in pair.told.times] == [TO_SERVER, TO_CLIENT]
    assert [ts for *_, ts in pair.told.times] == [3 * MS, 3 * MS]  # not before it


def test_bytes_that_waited_are_not_older_than_what_they_waited_for() -> None:
    pair = Pair().open().client(3, b"def", ms=10).client(0, b"abc", ms=200)
    assert [ts for *_, ts in pair.told.times] == [200 * MS, 200 * MS]


def test_clock_that_was_set_back_is_followed() -> None:
    pair = Pair().open().client(0, b"abc", ms=100_000).client(3, b"def", ms=1)
    assert [ts for *_, ts in pair.told.times] == [100_000 * MS, 1 * MS]


# --- retransmission ---


def test_whole_retransmission_counts_once_and_the_first_wins() -> None:
    pair = Pair().open().client(0, b"abc").client(0, b"XYZ").client(3, b"def")
    assert pair.asked == [b"abcdef"]
    assert pair.limits.retransmitted == 1


def test_partial_retransmission_adds_what_is_new() -> None:
    pair = Pair().open().client(0, b"abc").client(1, b"XYde")
    assert pair.asked == [b"abcde"]
    assert (pair.limits.retransmitted, pair.limits.overlapped) == (0, 1)


def test_held_bytes_win_over_later_ones_of_another_content_at_every_overlap() -> None:
    """Bytes 4 to 8 are held as `efgh`; what comes later covers 2 to 10 and says otherwise of them."""
    pair = Pair().open().client(4, b"efgh").client(2, b"cdXXXXij").client(0, b"ab")
    assert pair.asked == [b"abcdefghij"]
    assert (pair.limits.overlapped, pair.limits.conflicting) == (1, 1)
    assert pair.limits.held_bytes == 0


def test_overlap_of_the_same_content_is_no_conflict() -> None:
    pair = Pair().open().client(4, b"efgh").client(6, b"ghij").client(4, b"ef").client(0, b"abcd")
    assert pair.asked == [b"abcdefghij"]
    assert (pair.limits.overlapped, pair.limits.retransmitted, pair.limits.conflicting) == (1, 1, 0)


def test_retransmission_over_several_held_segments_fills_all_their_holes() -> None:
    pair = Pair().open().client(2, b"c").client(6, b"g").client(0, b"ABCDEFGHI", flags=FIN)
    assert pair.asked == [b"ABcDEFgHI", "fin"]
    assert pair.limits.conflicting == 2


def test_fin_of_a_repetition_is_heard() -> None:
    pair = Pair().open().client(0, b"abc").client(0, b"abc", flags=FIN)
    assert pair.asked == [b"abc", "fin"]


def test_keep_alive_probes_are_no_retransmissions() -> None:
    """RFC 9293, 3.8.4: a byte before the next one, or none at all."""
    pair = Pair().open().client(0, b"abc").server(0, b"x", ack=3).client(2, b"", ack=1).client(2, b"\x00", ack=1).client(3, b"d")
    assert pair.asked == [b"abcd"]
    assert (pair.limits.retransmitted, pair.limits.gaps) == (0, 0)


def test_keep_alive_inside_a_hole_does_not_keep_the_late_bytes_back() -> None:
    """The question is late; its answer and the next question came before it, and a probe of the byte before that one."""
    pair = Pair().open().server(0, b"answer", ack=5).client(5, b"next", ack=6).client(4, b"", ack=6).client(0, b"quest", ack=0)
    assert pair.asked == [b"questnext"]
    assert pair.answered == [b"answer"]
    assert (pair.limits.gaps, pair.limits.held_bytes) == (0, 0)


def test_acknowledgements_inside_a_hole_stand_behind_the_bytes_that_fill_it() -> None:
    """What comes late reaches over one, and over bytes that are held."""
    pair = Pair().open().server(0, b"answer", ack=4).client(4, b"de", ack=6)
    pair.client(3, ack=6).client(0, b"abcxyyfgh", ack=0)
    assert pair.asked == [b"abcxdefgh"]
    assert pair.answered == [b"answer"]
    assert pair.limits.held_bytes == 0


def test_zero_window_probe_that_carries_the_next_byte_is_data() -> None:
    """RFC 9293, 3.8.6.1; the sender repeats it at the head of the next segment."""
    pair = Pair().open().client(0, b"abc").client(3, b"d").client(3, b"defg")
    assert pair.asked == [b"abcdefg"]


# --- holes ---


def test_hole_that_was_acknowledged_is_declared_after_a_little_and_counted_as_unseen() -> None:
    pair = Pair().open().client(0, b"ab").client(5, b"f", ms=10).server(0, b"", ack=6, ms=11)
    assert pair.asked == [b"ab"]
    pair.settle(ms=40)
    assert pair.asked == [b"ab", -3, b"f"]
    assert (pair.limits.gaps, pair.limits.bytes_missing, pair.limits.bytes_unseen) == (1, 3, 3)


def test_hole_that_nobody_acknowledged_waits_for_the_retransmission() -> None:
    """The network lost it before it came by: the sender sends it again after its timeout (RFC 6298)."""
    pair = Pair().open().client(0, b"ab", ms=1).client(5, b"f", ms=2).settle(ms=1500).client(2, b"cde", ms=1600)
    assert pair.asked == [b"abcdef"]
    assert (pair.limits.gaps, pair.limits.refilled) == (0, 1)


def test_reordering_is_no_loss() -> None:
    pair = Pair().open().client(1, b"b", ms=1).client(0, b"a", ms=1.2)
    assert (pair.limits.reordered, pair.limits.refilled) == (1, 0)


def test_hole_that_is_never_filled_ends_the_patience() -> None:
    pair = Pair().open().client(2, b"c", ms=0).settle(ms=4999)
    assert pair.asked == []
    pair.settle(ms=5001)
    assert pair.asked == [-2, b"c"]
    assert (pair.limits.bytes_missing, pair.limits.bytes_unseen) == (2, 0)


def test_nothing_waits_when_the_connection_ends() -> None:
    pair = Pair().open().client(2, b"c", flags=FIN).settle(all_of_it=True)
    assert pair.asked == [-2, b"c", "fin"]


def test_hole_that_ends_between_two_requests_is_declared_between_them() -> None:
    """The second request acknowledges five bytes of nine, the third all: four belong to what answered the second."""
    pair = Pair().open().client(8, b"third", ack=9, ms=5).server(9, b"", ack=13, ms=5).server(9, b"to third", ack=13, ms=6)
    pair.client(3, b"secon", ack=5, ms=6).client(13, b"", ack=17, ms=7).settle(ms=40)
    assert pair.told.all == [
        (TO_CLIENT, 5), (TO_SERVER, 3), (TO_SERVER, b"secon"), (TO_CLIENT, 4), (TO_SERVER, b"third"), (TO_CLIENT, b"to third")
    ]  # fmt: skip


def test_repetitions_that_acknowledge_each_other_are_both_read() -> None:
    """Of both the first copy was not captured; the second tells of what came since it was sent first."""
    pair = Pair().open().client(0, b"question", ack=6, ms=5).server(0, b"answer", ack=8, ms=6).settle(ms=7)
    assert pair.told.all == []
    pair.settle(ms=40)
    assert pair.told.all == [(TO_SERVER, b"question"), (TO_CLIENT, b"answer")] and pair.limits.gaps == 0


def test_probes_do_not_make_a_reordered_segment_a_lost_one() -> None:
    pair = Pair().open().client(0, b"", ack=6, ms=5).client(0, b"next", ack=6, ms=6).client(0, b"", ack=6, ms=6)
    pair.client(-1, b"", ack=6, ms=6).client(-1, b"", ack=6, ms=6).server(0, b"answer", ack=0, ms=6)
    assert pair.told.all == [(TO_CLIENT, b"answer"), (TO_SERVER, b"next")] and pair.limits.gaps == 0


def test_keep_alive_at_the_end_of_a_hole_does_not_let_a_request_pass() -> None:
    """Its old byte is the hole's last."""
    pair = Pair().open().client(0, b"next", ack=250, ms=5).server(250, b"", ack=4, ms=6).server(249, b"", ack=4, ms=6)
    pair.server(250, b"answer", ack=4, ms=7).settle(ms=40)
    assert pair.told.all[-2:] == [(TO_SERVER, b"next"), (TO_CLIENT, b"answer")]
    assert sum(size for direction, size in pair.told.all[:-2] if direction == TO_CLIENT and isinstance(size, int)) == 250


def test_acknowledgement_alone_tells_what_was_not_seen() -> None:
    pair = Pair().open().client(0, b"ab", ack=0, ms=1).client(2, b"", ack=700, ms=2).settle(ms=30)
    assert pair.answered == [-700]


def test_snaplen_cuts_are_holes_of_known_size() -> None:
    pair = Pair().open().client(0, b"abcdef", cut=2).client(6, b"g")
    assert pair.asked == [b"abcd", -2, b"g"]
    assert (pair.limits.bytes_truncated, pair.limits.gaps) == (2, 0)


def test_snaplen_cut_of_a_segment_that_waited() -> None:
    pair = Pair().open().client(3, b"defgh", cut=4).client(0, b"abc", cut=1).client(8, b"i")
    assert pair.asked == [b"ab", -1, b"d", -4, b"i"]


def test_repetition_does_not_bring_back_what_the_snaplen_cut_off() -> None:
    """Once a hole is told it stays one: bytes behind it were handed over."""
    pair = Pair().open().client(0, b"abcdef", cut=2).client(0, b"abcdef")
    assert pair.asked == [b"abcd", -2]


# --- bounds ---


def test_segments_of_64_kilobytes_may_be_reordered() -> None:
    """As on loopback, and where the kernel joins segments (GRO)."""
    parts = [bytes((number,)) * 65_483 for number in range(4)]
    pair = Pair().open()
    for number in (1, 2, 3, 0):
        pair.client(number * 65_483, parts[number])
    assert pair.asked == [b"".join(parts)] and (pair.limits.gaps, pair.limits.forced) == (0, 0)


def test_out_of_order_bytes_are_bounded_per_direction() -> None:
    pair = Pair(out_of_order=1000).open()
    for i in range(1, 4):
        pair.client(i * 100, bytes(100))
    assert (pair.asked, pair.limits.forced) == ([], 0)
    pair.client(400, bytes(100))  # the fourth of 300 bytes each, with what an object costs
    assert pair.asked == [-100, bytes(400)]
    assert (pair.limits.forced, pair.limits.held_bytes) == (1, 0)


def test_out_of_order_bytes_are_bounded_in_total() -> None:
    limits = Reassembly(65536, 1000)
    pairs = [Pair() for _ in range(3)]
    for pair in pairs:
        pair.limits = limits
        pair.streams = (Stream(0, limits), Stream(1, limits))
        pair.streams[0].pair_with(pair.streams[1])
        pair.open().client(10, bytes(200))
    assert [pair.asked for pair in pairs] == [[], [], [-10, bytes(200)]]
    assert limits.held_bytes == 800


def test_empty_segments_that_wait_are_bounded_too() -> None:
    """A sender of nothing but acknowledgements of what was not seen."""
    pair = Pair(out_of_order=1000).open()
    for i in range(100):
        pair.client(0, b"", ack=10 + i, ms=1)
        assert pair.limits.held_bytes <= 1000
    pair.settle(all_of_it=True)
    assert sum(pair.answered) == -109


def test_same_empty_segment_is_held_once() -> None:
    pair = Pair().open().client(0, b"", ack=9, ms=1).client(0, b"", ack=9, ms=1)
    assert pair.limits.held_bytes == 200


# --- beginning and end ---


def test_data_on_the_syn_is_read_and_its_repetition_is_not() -> None:
    """RFC 7413, 3.1; without the cookie's blessing the client sends it once more."""
    pair = Pair().client(-1, b"early", flags=SYN)
    pair.server(-1, flags=SYN, ack=0).client(0, b"early").client(5, b"late")
    assert pair.asked == [b"earlylate"]


def test_handshake_once_more_is_told_from_another_connection() -> None:
    pair = Pair().open().client(0, b"abc").server(0, b"x", ack=3)
    client, server = pair.streams
    assert client.is_handshake(pair.segment(TO_SERVER, -1, b"", None, SYN, 0, None))
    assert server.is_handshake(pair.segment(TO_CLIENT, -1, b"", 0, SYN, 0, None))
    for other in (-500, 500, 1 << 31):
        assert not client.is_handshake(pair.segment(TO_SERVER, other, b"", None, SYN, 0, None))
        assert not server.is_handshake(pair.segment(TO_CLIENT, other, b"", 777, SYN, 0, None))


def test_syn_ack_belongs_to_the_syn_that_it_acknowledges_whatever_the_first_byte_was_guessed_to_be() -> None:
    pair = Pair().open().client(0, b"abc").server(0, b"x", ack=3)
    assert pair.streams[1].is_handshake(pair.segment(TO_CLIENT, -81, b"", 0, SYN, 0, None))


def test_syn_that_its_own_data_overtook_is_the_connection_s() -> None:
    pair = Pair().client(0, b"abc")
    assert pair.streams[0].is_handshake(pair.segment(TO_SERVER, -1, b"", None, SYN, 0, None))
    assert not pair.streams[0].is_handshake(pair.segment(TO_SERVER, -100_000, b"", None, SYN, 0, None))


def test_simultaneous_open() -> None:
    """RFC 9293, 3.5, figure 7: both send SYN, then both SYN and ACK."""
    pair = Pair().open()
    pair.client(-1, flags=SYN, ack=0).server(-1, flags=SYN, ack=0).client(0, b"abc", ack=0).server(0, b"x", ack=3)
    assert (pair.asked, pair.answered) == ([b"abc"], [b"x"])
    assert pair.limits.gaps == 0


def test_joined_in_the_middle_begins_at_the_first_segment_and_what_it_acknowledges() -> None:
    pair = Pair().client(70_000, b"abc", ack=9_000).server(9_000, b"x", ack=70_003)
    assert (pair.asked, pair.answered) == ([b"abc"], [b"x"])
    assert pair.limits.gaps == 0


def test_one_side_alone_tells_how_much_of_the_other_is_lacking() -> None:
    pair = Pair().client(0, b"aa", ack=0, ms=1).client(2, b"b", ack=100, ms=50).client(3, b"c", ack=300, ms=100).settle(ms=200)
    assert pair.asked == [b"aabc"]
    assert pair.answered == [-100, -200]
    assert pair.limits.bytes_unseen == 300


def test_joined_at_a_keep_alive_probe_begins_behind_its_old_byte() -> None:
    """RFC 9293, 3.8.4; from either side, once or more, answered or not, and with data in the same breath."""
    for direction in (TO_SERVER, TO_CLIENT):
        for probes in (1, 3):
            pair = Pair()
            for _ in range(probes):
                pair.push(direction, 699, b"\x00", ack=900)
            pair.push(1 - direction, 900, b"", ack=700)
            pair.push(direction, 700, b"abc", ack=900).push(1 - direction, 900, b"x", ack=703)
            assert (pair.told.of[direction], pair.told.of[1 - direction]) == ([b"abc"], [b"x"])
            assert (pair.limits.gaps, pair.limits.retransmitted, pair.limits.overlapped, pair.limits.reordered) == (0, 0, 0, 0)


def test_joined_at_a_window_probe_begins_at_its_byte_which_comes_again() -> None:
    """RFC 9293, 3.8.6.1: the window is shut, the byte is not taken."""
    pair = Pair().client(700, b"a", ack=900).server(900, b"", ack=700).client(700, b"abc", ack=900)
    assert (pair.asked, pair.limits.overlapped) == ([b"abc"], 0)


def test_joined_at_a_byte_that_was_typed_begins_with_it() -> None:
    pair = Pair().client(700, b"a", ack=900, flags=PSH).client(701, b"b", ack=900, flags=PSH)
    assert pair.asked == [b"ab"]


def test_joined_at_a_probe_its_acknowledgement_tells_where_the_other_side_is() -> None:
    pair = Pair().client(699, b"\x00", ack=900, ms=1).server(950, b"z", ack=700, ms=2).client(700, b"", ack=951, ms=3)
    assert pair.settle(ms=50).answered == [-50, b"z"]


def test_joined_at_empty_probes_begins_at_the_data() -> None:
    pair = Pair().client(699, b"", ack=900).server(900, b"", ack=700).client(700, b"abc", ack=900)
    assert (pair.asked, pair.limits.gaps) == ([b"abc"], 0)


def test_beginning_that_was_acknowledged_and_not_seen_is_a_hole_though_the_handshake_began() -> None:
    """The SYN was seen, its answer was not, nor the acknowledgement of that: how much the server has said is not known."""
    pair = Pair()
    pair.streams[TO_SERVER].on_syn(pair.segment(TO_SERVER, -1, b"", None, SYN, 0, None))
    pair.client(5, ack=100).server(100, b"more", ack=5).client(0, b"quest", ack=0)
    assert pair.asked == [b"quest"]
    assert pair.answered == [0, b"more"]


def test_first_bytes_of_a_side_whose_start_was_not_seen_may_be_later_ones() -> None:
    pair = Pair()
    pair.streams[TO_SERVER].on_syn(pair.segment(TO_SERVER, -1, b"", None, SYN, 0, None))
    pair.server(100, b"more", ack=5).client(0, b"quest", ack=0)
    assert (pair.asked, pair.answered) == ([b"quest"], [0, b"more"])


def test_acknowledgement_of_a_handshake_whose_answer_was_not_seen_is_no_hole() -> None:
    pair = Pair()
    pair.streams[TO_SERVER].on_syn(pair.segment(TO_SERVER, -1, b"", None, SYN, 0, None))
    pair.client(0, ack=0).client(0, b"quest", ack=0).server(0, b"answer", ack=5)
    assert (pair.asked, pair.answered) == ([b"quest"], [b"answer"])


def test_half_closed_goes_on_in_the_other_direction() -> None:
    pair = Pair().open().client(0, b"abc", ack=0, flags=FIN).server(0, b"x", ack=4).server(1, b"y", ack=4, flags=FIN)
    assert (pair.asked, pair.answered) == ([b"abc", "fin"], [b"xy", "fin"])
    assert pair.limits.gaps == 0


def test_fin_before_the_last_bytes_waits_for_them() -> None:
    pair = Pair().open().client(3, b"", flags=FIN).client(0, b"abc")
    assert pair.asked == [b"abc", "fin"]


def test_bytes_behind_the_fin_are_counted_and_nothing_else() -> None:
    pair = Pair().open().client(0, b"abc", flags=FIN).client(4, b"more").client(0, b"abc", flags=FIN)
    assert pair.asked == [b"abc", "fin"]
    assert (pair.limits.after_close, pair.limits.retransmitted) == (1, 1)


def test_reset_shows_what_was_not_seen() -> None:
    pair = Pair().open().client(0, b"abc", ack=0)
    pair.streams[0].reset(pair.segment(TO_SERVER, 3, b"", 50, RST, 0, None))
    pair.settle(all_of_it=True)
    assert pair.answered == [-50]


# --- other connections on the same ports, and lies ---


def test_numbers_of_another_connection_in_both_directions_begin_anew() -> None:
    """The handshake was not seen; lower numbers would be taken for repetitions for ever."""
    for far in (-900_000_000, 900_000_000):
        pair = Pair().open().client(0, b"abc", ack=0).server(0, b"x", ack=3)
        pair.client(far, b"new", ack=far + 7).server(far + 7, b"y", ack=far + 3)
        assert (pair.asked, pair.answered) == ([b"abc", 0, b"new"], [b"x", 0, b"y"])
        assert pair.limits.restarted == 1


def test_what_was_held_when_another_connection_begins_is_counted_as_missing() -> None:
    pair = Pair().open().client(0, b"abc", ack=0).client(9, b"held", ack=0)
    pair.client(900_000_000, b"new", ack=900_000_007)
    assert (pair.asked, pair.limits.bytes_missing, pair.limits.held_bytes) == ([b"abc", 0, b"new"], 4, 0)


def test_acknowledgement_from_far_away_is_not_believed() -> None:
    pair = Pair().open().client(0, b"abc", ack=0).client(3, b"", ack=900_000_000).settle(all_of_it=True).server(0, b"x", ack=3)
    assert pair.answered == [b"x"]


# --- wraparound in the midst of all that, and any order ---

CHUNKS = st.lists(st.integers(1, 40), min_size=1, max_size=12)


@settings(max_examples=200)
@given(CHUNKS, st.integers(0, 500), st.randoms(use_true_random=False))
def test_any_order_any_repetition_any_cut_around_the_wrap(sizes: list[int], before: int, rng: random.Random) -> None:
    """What is sent is what comes out: each byte once, in order, of the content that came first."""
    whole = bytes(rng.randrange(256) for _ in range(sum(sizes)))
    pair = Pair(base=((WRAP - before) % WRAP, WRAP - 3)).open()
    segments = []
    at = 0
    for size in sizes:
        segments.append((at, size))
        at += size
    for _ in range(rng.randrange(6)):  # some more, across their borders
        start = rng.randrange(at)
        segments.append((start, rng.randint(1, at - start)))
    rng.shuffle(segments)
    for start, size in segments:
        pair.client(start, whole[start : start + size], ms=1)
    assert pair.asked == [whole]
    assert pair.limits.held_bytes == 0
    assert pair.limits.conflicting == 0


@settings(max_examples=200)
@given(CHUNKS, st.integers(0, 500), st.randoms(use_true_random=False))
def test_lost_segments_are_holes_of_their_size_around_the_wrap(sizes: list[int], before: int, rng: random.Random) -> None:
    pair = Pair(base=((WRAP - before) % WRAP, WRAP - 3)).open()
    expected: list[Any] = []
    at = 0
    for i, size in enumerate(sizes):
        if rng.random() < 0.4:
            expected.append(-size)
        else:
            expected.append(bytes((i,)) * size)
            pair.client(at, bytes((i,)) * size, ms=1)
        at += size
    pair.server(0, b"", ack=at, ms=2).settle(ms=100)
    merged: list[Any] = []
    for one in expected:
        if merged and type(merged[-1]) is type(one):
            merged[-1] += one
        else:
            merged.append(one)
    assert pair.asked == merged


@settings(max_examples=200)
@given(st.randoms(use_true_random=False))
def test_anything_at_all_stays_inside_the_limits(rng: random.Random) -> None:
    pair = Pair(base=(WRAP - 2000, WRAP - 100), out_of_order=2000, memory=3000)
    for _ in range(60):
        payload = bytes(rng.choice((0, 0, 1, 10, 300)))
        flags = rng.choice((0, 0, 0, 0, FIN, SYN))
        ack = rng.choice((None, rng.randrange(4000), rng.randrange(1 << 31)))
        cut = rng.randrange(len(payload) + 1)
        pair.push(rng.randrange(2), rng.choice((rng.randrange(4000), rng.randrange(WRAP))), payload, ack, flags, cut)
    pair.settle(all_of_it=True)
    assert pair.limits.held_bytes == 0
