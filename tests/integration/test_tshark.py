"""Our figures of TCP beside Wireshark's, over captures that others made.

The captures lie in `../shared/pcaps` where the project is developed, and are no part of it. Where the two differ, the table below
says why, capture by capture; of round trips, each single sample is held against the packets.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path
from typing import NamedTuple

import pcapy
import pytest

from receiver.engine import Engine
from tests.pcap.packets import Wire, engine

PCAPS = Path(__file__).resolve().parents[3] / "shared" / "pcaps"

pytestmark = [
    pytest.mark.skipif(not PCAPS.is_dir(), reason="NOT RUN: the captures are not beside the project (../shared/pcaps)"),
    pytest.mark.skipif(shutil.which("tshark") is None, reason="NOT RUN: no tshark (apt install tshark)"),
]

# Wireshark's flag, and the counter that is its like.
ANALYSIS = {
    "retransmission": "tcp.retransmits{",
    "fast_retransmission": "tcp.retransmits{fast",
    "spurious_retransmission": "tcp.retransmits.spurious{",
    "out_of_order": "tcp.reordered{",
    "duplicate_ack": "tcp.duplicate_acks{",
    "zero_window": "tcp.zero_windows{",
}
COLUMNS = (
    "frame.number", "frame.time_epoch", "tcp.stream", "tcp.srcport", "tcp.dstport", "tcp.seq_raw", "tcp.ack_raw", "tcp.len",
    "tcp.flags", "ip.id", "tcp.analysis.ack_rtt", "tcp.analysis.acks_frame", *(f"tcp.analysis.{name}" for name in ANALYSIS),
)

# The packets that only one of the two takes for such, and why.
NOTHING_OUTSTANDING = "the other side has nothing outstanding that it could ask for: no duplicate ACK (RFC 5681, 2)"
SACK_ASKS = "it carries SACK for a hole; Wireshark takes it for a window update, as the window changed too (RFC 6675, 2)"
EARLIER_THAN_THREE = "SACK told of the hole a round trip ago (RACK, RFC 8985); Wireshark wants two duplicate ACKs within 20 ms"
SAID_BY_DSACK = "the receiver says so (DSACK, RFC 2883); Wireshark believes only an ACK that it saw before the segment"
Only = dict[str, dict[int, str]]
DIFFERENCES: dict[str, tuple[Only, Only]] = {  # only ours, only Wireshark's
    "http/101-switching-protocols.pcap": ({}, {"duplicate_ack": {6: NOTHING_OUTSTANDING}}),
    "http/concurrent-range-requests.pcap": (
        {"duplicate_ack": {33: SACK_ASKS}, "fast_retransmission": {53: EARLIER_THAN_THREE}},
        {"duplicate_ack": {48: NOTHING_OUTSTANDING}},
    ),
    "http/http-bad-request-with-version.pcap": ({}, {"duplicate_ack": {11: NOTHING_OUTSTANDING}}),
    "http/version-mismatch.pcap": ({}, {"duplicate_ack": {17: NOTHING_OUTSTANDING}}),
    "mysql/change-user-error.pcap": ({"spurious_retransmission": {19: SAID_BY_DSACK}}, {}),
    "postgresql/ssl-rejected-md5-simple-query.pcap": (
        {"spurious_retransmission": {40: SAID_BY_DSACK}},
        {"duplicate_ack": {40: NOTHING_OUTSTANDING}},
    ),
}


class Frame(NamedTuple):
    number: int
    ns: int
    stream: int
    source: int
    target: int
    seq: int
    ack: int
    length: int
    flags: int
    ident: int
    rtt_ns: int  # -1: none
    acks: int
    analysis: tuple[bool, ...]

    @property
    def end(self) -> int:
        return (self.seq + self.length + (1 if self.flags & 3 else 0)) % 2**32


def dissect(capture: Path) -> dict[int, Frame]:
    argv = ["tshark", "-n", "-r", str(capture), "-Y", "tcp", "-T", "fields", *(word for name in COLUMNS for word in ("-e", name))]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    frames = {}
    for line in lines:
        number, time, stream, source, target, raw, ack, length, flags, ident, rtt, acks, *analysis = line.split("\t")
        seconds, _, fraction = time.partition(".")
        frames[int(number)] = Frame(
            int(number),
            int(seconds) * 10**9 + int(fraction.ljust(9, "0")[:9]),
            int(stream), int(source), int(target), int(raw), int(ack or 0), int(length), int(flags, 16), int(ident or '0', 16),
            round(float(rtt) * 1e9) if rtt else -1,
            int(acks or 0),
            tuple(bool(word) for word in analysis),
        )
    return frames


Totals = dict[str, tuple[float, float]]


def totals(wire: Wire) -> Totals:
    """Each of our figures, and the round trips: how many, and their sum in seconds."""
    found: Totals = dict.fromkeys((*ANALYSIS, "ack_rtt"), (0, 0.0))
    for name, value in wire.points():
        for flag, prefix in ANALYSIS.items():
            if name.startswith(prefix):
                found[flag] = (found[flag][0] + value, 0.0)
        if name.startswith("tcp.rtt{"):
            found["ack_rtt"] = (found["ack_rtt"][0] + value.count, found["ack_rtt"][1] + value.sum)
    return found


def replay(capture: Path, on: Engine) -> tuple[Wire, dict[str, set[int]], dict[int, int]]:
    """Read packet by packet: which packet counted as what, and which gave a round trip, of how many nanoseconds."""
    handle = pcapy.open_offline(str(capture))
    wire = Wire(on, handle.datalink())
    noted: dict[str, set[int]] = {name: set() for name in ANALYSIS}
    timed: dict[int, int] = {}
    before = totals(wire)
    number = 0
    while True:
        frame, record = handle.next_batch(1)
        if not record:
            break
        number += 1
        on.process_batch(frame, record, wire.link_type)
        after = totals(wire)
        for name, (count, total) in after.items():
            assert count - before[name][0] in (0, 1)
            if count != before[name][0]:
                if name == "ack_rtt":
                    timed[number] = round((total - before[name][1]) * 1e9)
                else:
                    noted[name].add(number)
        before = after
    on.finish()
    return wire, noted, timed


def each(pattern: str) -> list[Path]:
    return sorted(path for path in PCAPS.glob(pattern) if not path.match("*/dns/*")) if PCAPS.is_dir() else []


def name_of(capture: Path) -> str:
    return f"{capture.parent.name}/{capture.name}"


def test_table_names_captures_that_are_there() -> None:
    assert set(DIFFERENCES) <= {name_of(path) for path in each("*/*.pcap*")}


@pytest.mark.parametrize("capture", each("*/*.pcap*"), ids=name_of)
def test_loss_and_round_trips_are_what_wireshark_says(capture: Path) -> None:
    frames = dissect(capture)
    # The port of a server whose handshake is in no capture: else its figures wait until its roles are settled.
    wire, noted, timed = replay(capture, engine((), ports={"redis": (10625,)}))
    # Wireshark sets `retransmission` on fast and spurious ones as well.
    theirs = {name: {frame.number for frame in frames.values() if frame.analysis[i]} for i, name in enumerate(ANALYSIS)}
    copies = copied(frames) if wire.engine.skipped_packets()["duplicate"] else set()
    assert len(copies) == wire.engine.skipped_packets()["duplicate"]
    only_ours, only_theirs = DIFFERENCES.get(name_of(capture), ({}, {}))
    for name in ANALYSIS:
        assert noted[name] - theirs[name] == set(only_ours.get(name, ())), name
        assert theirs[name] - noted[name] - copies == set(only_theirs.get(name, ())), name
    if copies:
        return  # Wireshark takes the copies for packets, and times them
    if any(frame.rtt_ns < 0 and frame.acks for frame in frames.values()):
        return  # made by a program, with times that go back
    for number, value_ns in timed.items():
        explain_sample(frames, number, value_ns)
    for frame in frames.values():
        if frame.rtt_ns >= 0 and frame.number not in timed:
            assert explain_absence(frames, frame), frame


def copied(frames: dict[int, Frame]) -> set[int]:
    """Packets that were captured twice: all the same, microseconds apart, with one IPv4 identification."""
    found = set()
    before: dict[object, Frame] = {}
    for frame in frames.values():
        same = (frame.stream, frame.source, frame.seq, frame.ack, frame.length, frame.flags, frame.ident)
        if same in before and frame.ident and frame.ns - before[same].ns < 100_000:
            found.add(frame.number)
        before[same] = frame
    return found


def explain_sample(frames: dict[int, Frame], number: int, value_ns: int) -> None:
    """Wireshark times the last segment that an ACK covers, we the first that was sent after the last sample: the value is
    Wireshark's, or that of an earlier segment which this ACK is the first to cover."""
    frame = frames[number]
    assert frame.rtt_ns >= 0, frame
    if abs(value_ns - frame.rtt_ns) <= 1000:
        return
    assert value_ns > frame.rtt_ns
    before = [each.ack for each in frames.values() if each.number < number and from_the_same(each, frame) and each.flags & 0x10]
    for sent in frames.values():
        if sent.number < number and against(sent, frame) and abs(frame.ns - sent.ns - value_ns) <= 1000:
            assert all(distance(sent.end, ack) > 0 for ack in before)
            assert distance(frame.ack, sent.end) >= 0
            return
    raise AssertionError(f"{frame}: nothing was sent {value_ns} ns before")


def explain_absence(frames: dict[int, Frame], frame: Frame) -> str:
    """Why an ACK that Wireshark times is no sample of ours; empty when there is no reason."""
    acked = frames[frame.acks]
    if acked.length == 0 and acked.flags & 1:
        return "a FIN is not timed"
    if acked.flags & 2 and any(each.flags == acked.flags and each.number != acked.number for each in of_stream(frames, frame)):
        return "the handshake's packet was sent again (Karn)"
    between = [each for each in of_stream(frames, frame) if each.number < frame.number and against(each, frame) and each.length]
    if any(each.analysis[0] for each in between if distance(each.seq, acked.end) < 0):
        return "something was sent again meanwhile (Karn)"
    earlier = [each for each in between if each.number < acked.number]
    acks = [each for each in of_stream(frames, frame) if each.number < acked.number and from_the_same(each, frame)]
    if any(all(distance(each.end, ack.ack) > 0 for ack in acks if ack.flags & 0x10) for each in earlier):
        return "when it was sent, an earlier segment was being timed"
    return ""


def of_stream(frames: dict[int, Frame], like: Frame) -> list[Frame]:
    return [each for each in frames.values() if each.stream == like.stream]


def from_the_same(one: Frame, other: Frame) -> bool:
    return one.stream == other.stream and one.source == other.source


def against(one: Frame, other: Frame) -> bool:
    return one.stream == other.stream and one.source == other.target


def distance(one: int, other: int) -> int:
    return int(struct.unpack("!i", struct.pack("!I", (one - other) % 2**32))[0])
