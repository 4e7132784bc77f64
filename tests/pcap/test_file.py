"""Files written here byte by byte, read by libpcap and by our own reader; real captures counted by tcpdump."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.pcap import file as module
from receiver.pcap import savefile
from receiver.pcap.bpf import FilterPlan, build_filter
from receiver.pcap.capture import CaptureFileError, FilterError, FilterFor
from receiver.pcap.file import FileSource

EN10MB, RAW, SLL2, LINKTYPE_RAW = 1, 12, 276, 101
CAPTURES = Path(__file__).resolve().parents[3] / "shared" / "pcaps"
T0 = 1_700_000_000

Packet = tuple[int, int, bytes]  # microseconds since 1970, link type, bytes


def frame(n: int, port: int = 80) -> bytes:
    payload = b"%06d" % n
    tcp = struct.pack("!HHIIBBHHH", 40000, port, n, 0, 0x50, 0x18, 1, 0, 0) + payload
    ip = struct.pack("!BBHHHBBH8s", 0x45, 0, 20 + len(tcp), n & 0xFFFF, 0, 64, 6, 0, b"\x0a\0\0\x01\x0a\0\0\x02") + tcp
    return b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0" + ip


def pcap(
    packets: list[Packet], order: str = "<", nano: bool = False, link: int = EN10MB, snaplen: int = 65535
) -> bytes:
    magic = 0xA1B23C4D if nano else 0xA1B2C3D4
    out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snaplen, link)
    for us, _, packet in packets:
        fraction = us % 1_000_000 * (1000 if nano else 1) + (999 if nano else 0)
        out += struct.pack(order + "4I", us // 1_000_000, fraction, len(packet), len(packet)) + packet
    return out


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += b"\0" * (-len(body) % 4)
    return struct.pack(order + "2I", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int, order: str = "<", snaplen: int = 65535, options: bytes = b"") -> bytes:
    return block(1, struct.pack(order + "HHI", link, 0, snaplen) + options, order)


def enhanced(index: int, ticks: int, packet: bytes, order: str = "<") -> bytes:
    head = struct.pack(order + "5I", index, ticks >> 32, ticks & 0xFFFFFFFF, len(packet), len(packet))
    return block(6, head + packet, order)


def packets_of(count: int, port: int = 80) -> list[Packet]:
    return [((T0 + n) * 1_000_000 + n, EN10MB, frame(n, port)) for n in range(count)]


def everything(link_type: int) -> str:
    return ""


class Seen:
    """What a source gave, as packets."""

    def __init__(self) -> None:
        self.packets: list[Packet] = []
        self.ticks: list[int] = []
        self.batches = 0

    def on_batch(self, packets: bytes, meta: bytes, link_type: int, interface: int) -> None:
        assert type(packets) is bytes and type(meta) is bytes and meta
        assert len(meta) // 16 <= 256
        self.batches += 1
        for seconds, micros, offset, length in struct.iter_unpack("=4I", meta):
            assert offset + length <= len(packets)
            self.packets.append((seconds * 1_000_000 + micros, link_type, packets[offset : offset + length]))

    def on_tick(self, now_ns: int) -> None:
        self.ticks.append(now_ns)


def read(*names: Path | str, filter_for: FilterFor = everything) -> tuple[Seen, FileSource]:
    files = FileSource([str(name) for name in names], filter_for)
    files.open()
    seen = Seen()
    files.run(seen.on_batch, seen.on_tick, lambda: False)
    files.close()
    assert files.stats().received == len(seen.packets)
    return seen, files


@pytest.mark.parametrize("nano", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_pcap_of_either_byte_order_and_resolution(tmp_path: Path, order: str, nano: bool) -> None:
    wanted = packets_of(600)
    file = tmp_path / "a.pcap"
    file.write_bytes(pcap(wanted, order, nano))
    seen, files = read(file)
    assert seen.packets == wanted
    assert files.link_types() == [EN10MB]
    assert seen.ticks[-1] == wanted[-1][0] * 1000
    assert len(seen.ticks) == seen.batches == 3


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng(tmp_path: Path, order: str) -> None:
    wanted = packets_of(300)
    file = tmp_path / "a.pcapng"
    body = b"".join(enhanced(0, us, packet, order) for us, _, packet in wanted)
    file.write_bytes(section(order) + interface(EN10MB, order) + body)
    seen, _ = read(file)
    assert seen.packets == wanted


def test_pcapng_with_two_link_types_which_libpcap_refuses_halfway(tmp_path: Path) -> None:
    ethernet = packets_of(300)
    raw = [(us, RAW, packet[14:]) for us, _, packet in packets_of(5)]
    both = [*ethernet[:290], raw[0], raw[1], *ethernet[290:], *raw[2:]]
    file = tmp_path / "two.pcapng"
    body = section() + interface(EN10MB)
    body += b"".join(enhanced(0, us, packet) for us, _, packet in both[:290]) + interface(LINKTYPE_RAW, snaplen=1000)
    body += b"".join(enhanced(0 if link == EN10MB else 1, us, packet) for us, link, packet in both[290:])
    file.write_bytes(body)
    seen, files = read(file)
    assert seen.packets == both
    assert files.link_types() == [EN10MB, RAW]
    assert files.stats().truncated_files == 0


def test_pcapng_resolution_offset_and_the_other_packet_blocks(tmp_path: Path) -> None:
    packet = frame(1)
    nano = struct.pack("<HHBxxxHH", 9, 1, 9, 0, 0)
    binary = struct.pack("<HHBxxxHHqHH", 9, 1, 0x80 | 10, 14, 8, T0, 0, 0)
    obsolete = struct.pack("<HHIIII", 0, 0, 0, 5, len(packet), len(packet)) + packet
    simple = struct.pack("<I", 5000) + packet[:32]
    file = tmp_path / "odd.pcapng"
    file.write_bytes(
        section()
        + interface(EN10MB, snaplen=32, options=nano)
        + interface(SLL2, options=binary)
        + block(5, b"\0" * 12)
        + enhanced(0, T0 * 10**9 + 1999, packet)
        + enhanced(1, 3 << 10 | 512, packet)
        + block(3, simple)
        + section(">")
        + interface(LINKTYPE_RAW, ">")
        + enhanced(0, T0 * 10**6, packet, ">")
        + section()
        + interface(EN10MB)
        + block(2, obsolete)
    )
    seen, _ = read(file)
    assert seen.packets == [
        (T0 * 10**6 + 1, EN10MB, packet),
        ((T0 + 3) * 10**6 + 500_000, SLL2, packet),
        ((T0 + 3) * 10**6 + 500_000, EN10MB, packet[:32]),
        (T0 * 10**6, RAW, packet),
        (5, EN10MB, packet),
    ]


@pytest.mark.parametrize("missing", [1, 60, 70, 75])
def test_a_file_that_breaks_off_gives_every_whole_packet(
    tmp_path: Path, missing: int, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = packets_of(400)
    whole = pcap(wanted)
    file = tmp_path / "cut.pcap"
    file.write_bytes(whole[:-missing])
    seen, files = read(file)
    assert seen.packets == wanted[:-1]
    assert files.stats().truncated_files == 1
    assert [r.levelno for r in caplog.records] == [logging.WARNING]
    assert "cut.pcap" in caplog.text


def test_a_packet_of_impossible_length_ends_the_file(tmp_path: Path) -> None:
    wanted = packets_of(3)
    file = tmp_path / "huge.pcap"
    file.write_bytes(pcap(wanted) + struct.pack("<4I", 1, 1, 0x7FFFFFFF, 0x7FFFFFFF) + b"tail")
    seen, files = read(file)
    assert seen.packets == wanted
    assert files.stats().truncated_files == 1


def test_the_longest_packet_allowed_is_read_and_one_byte_more_is_not() -> None:
    for length, batches_given in ((savefile.MAX_PACKET, 1), (savefile.MAX_PACKET + 1, 0)):
        reader = savefile.SavefileReader(lambda _: None)
        batches = reader.feed(pcap([(0, EN10MB, b"x" * length)]))
        assert len(batches) == batches_given
        assert bool(reader.broken) is not bool(batches_given)


def test_a_block_of_the_longest_length_waits_and_one_byte_more_does_not() -> None:
    for length, broken in ((savefile.MAX_BLOCK, False), (savefile.MAX_BLOCK + 1, True)):
        reader = savefile.SavefileReader(lambda _: None)
        reader.feed(section() + struct.pack("<3I", 5, length, 0))
        assert bool(reader.broken) is broken


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"GET / HTTP/1.1\r\n\r\n", ""),
        (os.urandom(7) + b"\0" * 1000, ""),
        (pcap([])[:20], ""),
        (b"\x0a\x0d\x0d\x0a" + b"\0" * 60, ""),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + b"\0" * 40, "gzip -d"),
        (b"\x28\xb5\x2f\xfd" + b"\0" * 40, "zstd -d"),
    ],
)
def test_garbage_is_named_and_refused_before_anything_runs(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "notes.txt"
    file.write_bytes(content)
    with pytest.raises(CaptureFileError, match=r"not a capture file: .*notes\.txt") as caught:
        FileSource([str(file)], everything).open()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(CaptureFileError, match="No such file"):
        FileSource([str(tmp_path / "none.pcap")], everything).open()
    with pytest.raises(CaptureFileError, match="directory"):
        FileSource([str(tmp_path)], everything).open()


def test_a_file_without_packets_is_no_fault(tmp_path: Path) -> None:
    file = tmp_path / "none.pcap"
    file.write_bytes(pcap([]))
    seen, files = read(file)
    assert seen.packets == []
    assert files.stats().truncated_files == 0


def test_files_follow_each_other_and_the_filter_fits_each(tmp_path: Path) -> None:
    first, second = tmp_path / "a.pcap", tmp_path / "b.pcap"
    ethernet = packets_of(3) + packets_of(3, port=81)
    raw = [(us, RAW, packet[14:]) for us, _, packet in ethernet]
    first.write_bytes(pcap(ethernet))
    second.write_bytes(pcap(raw, link=LINKTYPE_RAW))
    plan = FilterPlan(tcp_ports=((81, 81),))
    asked: list[int] = []

    def filter_for(link_type: int) -> str:
        asked.append(link_type)
        return build_filter(plan, link_type)

    seen, _ = read(first, second, filter_for=filter_for)
    assert seen.packets == ethernet[3:] + raw[3:]
    assert asked == [EN10MB, RAW]


def test_our_own_reader_filters_too(tmp_path: Path) -> None:
    mixed = [packet for pair in zip(packets_of(400), packets_of(400, port=81), strict=True) for packet in pair]
    file = tmp_path / "cut.pcap"
    file.write_bytes(pcap(mixed)[:-1])
    seen, _ = read(file, filter_for=lambda _: "tcp port 80")
    assert seen.packets == mixed[::2]


def test_a_filter_that_does_not_fit_the_files_link_type(tmp_path: Path) -> None:
    file = tmp_path / "raw.pcap"
    file.write_bytes(pcap([], link=LINKTYPE_RAW))
    with pytest.raises(FilterError, match=r"raw\.pcap.*no VLAN support"):
        read(file, filter_for=lambda _: "vlan 5")


def test_stopping_in_the_middle_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a.pcap"
    file.write_bytes(pcap(packets_of(2000)))
    files = FileSource([str(file)], everything)
    files.open()
    seen = Seen()
    files.run(seen.on_batch, seen.on_tick, lambda: seen.batches == 2)
    assert len(seen.packets) == 512


def test_progress_of_a_file_that_takes_longer_than_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "long.pcap"
    file.write_bytes(pcap(packets_of(3000)))
    size = file.stat().st_size
    told: list[tuple[str, int, int]] = []
    files = FileSource([str(file)], everything, on_progress=lambda *said: told.append(said))
    files.open()
    files.run(lambda *_: None, lambda _: None, lambda: False)
    assert told == []
    monkeypatch.setattr(module, "_PROGRESS_AFTER_NS", 0)
    monkeypatch.setattr(module, "_PROGRESS_EVERY_NS", 0)
    files.run(lambda *_: None, lambda _: None, lambda: False)
    assert told[-1] == (str(file), size, size)
    done = [read_bytes for _, read_bytes, _ in told]
    assert done == sorted(done) and 0 < done[0] < size


FORMATS = {
    "pcap": pcap(packets_of(3)),
    "pcap, big-endian": pcap(packets_of(3), ">"),
    "pcapng": section() + interface(EN10MB) + b"".join(enhanced(0, us, packet) for us, _, packet in packets_of(3)),
}


@pytest.mark.parametrize("name", FORMATS)
def test_pieces_of_any_size_give_the_same_packets(name: str) -> None:
    for size in range(1, len(FORMATS[name])):
        reader = savefile.SavefileReader(lambda _: None)
        seen = Seen()
        for at in range(0, len(FORMATS[name]), size):
            for batch in reader.feed(FORMATS[name][at : at + size]):
                seen.on_batch(*batch)
        reader.finish()
        assert not reader.broken
        assert seen.packets == packets_of(3)


@settings(max_examples=300)
@given(st.sampled_from(list(FORMATS)), st.data())
def test_mutilated_files_never_raise_and_never_give_more_than_they_hold(name: str, data: st.DataObject) -> None:
    content = bytearray(FORMATS[name])
    for _ in range(data.draw(st.integers(0, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    seen = Seen()
    try:
        reader = savefile.SavefileReader(lambda _: None)
        for batch in reader.feed(bytes(content)):
            seen.on_batch(*batch)
        reader.finish()
    except savefile.NotACapture:
        assert not seen.packets
    assert sum(len(packet) for _, _, packet in seen.packets) <= len(content)


# Standard input, as a program of its own: that is the only way to have a real one.
STDIN_PROGRAM = """
import signal, sys
from receiver.pcap.capture import CaptureError
from receiver.pcap.file import FileSource
files = FileSource(["-"], lambda link_type: "")
stop = []
signal.signal(signal.SIGTERM, lambda *_: (stop.append(1), files.wake()))
files.open()
def on_batch(packets, meta, link_type, interface):
    print(len(meta) // 16, link_type, flush=True)
try:
    files.run(on_batch, lambda now_ns: None, lambda: bool(stop))
except CaptureError as error:
    sys.exit(str(error))
print("end", files.stats().truncated_files, flush=True)
"""


def stdin_program() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", STDIN_PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.parametrize("name", FORMATS)
def test_standard_input_gives_packets_as_they_come_and_ends(name: str) -> None:
    with stdin_program() as program:
        assert program.stdin and program.stdout
        program.stdin.write(FORMATS[name])
        program.stdin.flush()
        assert program.stdout.readline() == b"3 1\n"  # the pipe is open still
        program.stdin.close()
        assert program.stdout.readline() == b"end 0\n"
        assert program.wait() == 0


def test_sigterm_ends_the_wait_for_a_silent_pipe() -> None:
    with stdin_program() as program:
        assert program.stdin and program.stdout
        program.stdin.write(FORMATS["pcap"])
        program.stdin.flush()
        program.stdout.readline()
        program.send_signal(signal.SIGTERM)
        assert program.stdout.readline() == b"end 0\n"
        assert program.wait() == 0


def test_standard_input_that_is_no_capture() -> None:
    with stdin_program() as program:
        _, errors = program.communicate(b"hello\n")
        assert errors == b"not a capture file: standard input\n"
        assert program.returncode == 1


def test_a_named_pipe_is_read_like_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(FORMATS["pcapng"],))
    writer.start()
    seen, _ = read(pipe)
    writer.join()
    assert seen.packets == packets_of(3)


REAL = sorted(CAPTURES.glob("*/*.pcap*")) if CAPTURES.is_dir() else []


@pytest.mark.skipif(not REAL, reason="the folder of real captures is not beside the project")
@pytest.mark.skipif(shutil.which("tcpdump") is None, reason="tcpdump is not installed")
def test_real_captures_have_as_many_packets_as_tcpdump_counts() -> None:
    for file in REAL:
        shown = subprocess.run(
            ["tcpdump", "-r", str(file), "-n", "-q", "-tt"], capture_output=True, text=True, check=False
        )
        theirs = sum(1 for line in shown.stdout.splitlines() if line[:1].isdigit())
        by_libpcap, files = read(file)
        assert len(by_libpcap.packets) == theirs > 0, file
        own = Seen()
        reader = savefile.SavefileReader(lambda _: None)
        for batch in reader.feed(file.read_bytes()):
            own.on_batch(*batch)
        assert own.packets == by_libpcap.packets, file
        assert files.stats().truncated_files == bool(reader.broken)


# -- link types that cannot be filtered, and several interfaces ----------------------------------------------------------


USB = 220  # LINKTYPE_USB_LINUX_MMAPPED; libpcap: "USB link-layer type filtering not implemented"


def test_our_filter_is_left_out_where_libpcap_cannot_filter(tmp_path: Path) -> None:
    file = tmp_path / "mixed.pcapng"
    wanted, unwanted, other = frame(1, 81), frame(2, 82), b"\0" * 64
    packets = ((0, wanted), (1, other), (0, unwanted))
    content = section() + interface(EN10MB) + interface(USB)
    file.write_bytes(content + b"".join(enhanced(index, T0 * 1_000_000, packet) for index, packet in packets))
    usb = tmp_path / "usb.pcap"
    usb.write_bytes(pcap([(T0 * 1_000_000, USB, other)], link=USB))
    plan = FilterPlan(tcp_ports=((81, 81),), layer4=False)
    seen = Seen()
    files = FileSource([str(file), str(usb)], lambda link: build_filter(plan, link), user_filter="")
    files.run(seen.on_batch, seen.on_tick, lambda: False)
    assert [(link, packet) for _, link, packet in seen.packets] == [(EN10MB, wanted), (USB, other), (USB, other)]


@pytest.mark.parametrize("own", [True, False])
def test_what_the_user_wrote_and_cannot_be_is_quoted_alone(tmp_path: Path, own: bool) -> None:
    """Whether libpcap reads the file or we do."""
    file = tmp_path / "a.pcapng"
    frames = b"".join(enhanced(0, T0 * 1_000_000, frame(n)) for n in range(3))
    file.write_bytes(section() + interface(EN10MB) + (interface(EN10MB) if own else b"") + frames)
    for user, says in (("tcp port", 'the filter "tcp port": syntax error'), ("ip and ip6", '"ip and ip6": it matches no')):
        plan = FilterPlan(user=user)
        files = FileSource([str(file)], partial(build_filter, plan), user_filter=user)
        with pytest.raises(FilterError, match=says):
            files.run(lambda *_: None, lambda _: None, lambda: False)


def test_user_filter_that_does_not_fit_a_link_type_is_an_error_that_quotes_it(tmp_path: Path) -> None:
    file = tmp_path / "usb.pcap"
    file.write_bytes(pcap([(T0 * 1_000_000, USB, b"\0" * 64)], link=USB))
    plan = FilterPlan(user="udp port 53")
    files = FileSource([str(file)], lambda link: build_filter(plan, link), user_filter="udp port 53")
    with pytest.raises(FilterError, match=r'usb\.pcap.*"udp port 53": USB link-layer type filtering not implemented'):
        files.run(lambda *_: None, lambda _: None, lambda: False)


def numbers(path: Path) -> list[tuple[int, bytes]]:
    """The interface's number of each packet."""
    found: list[tuple[int, bytes]] = []

    def on_batch(packets: bytes, meta: bytes, link_type: int, interface: int) -> None:
        for _, _, offset, length in struct.iter_unpack("=4I", meta):
            found.append((interface, packets[offset : offset + length]))

    files = FileSource([str(path)], everything)
    files.open()
    files.run(on_batch, lambda _: None, lambda: False)
    return found


@pytest.mark.parametrize("order", ["<", ">"])
def test_each_packet_has_its_interface(tmp_path: Path, order: str) -> None:
    file = tmp_path / "a.pcapng"
    frames = [frame(n) for n in range(4)]
    two = section(order) + interface(EN10MB, order) * 2
    file.write_bytes(two + b"".join(enhanced(n % 2, n, one, order) for n, one in enumerate(frames)))
    assert numbers(file) == [(1, frames[0]), (2, frames[1]), (1, frames[2]), (2, frames[3])]
    file.write_bytes(section(order) + interface(EN10MB, order) + enhanced(0, 1, frames[0], order))
    assert numbers(file) == [(0, frames[0])]


def test_interface_that_is_described_late_is_one(tmp_path: Path) -> None:
    """As systems write them that learn of interfaces as they go."""
    file = tmp_path / "a.pcapng"
    many = b"".join(enhanced(0, n, frame(n)) for n in range(5000))
    late = interface(EN10MB) + enhanced(1, 6000, frame(1)) + enhanced(0, 6001, frame(2))
    file.write_bytes(section() + interface(EN10MB) + many + late)
    found = numbers(file)
    assert [number for number, _ in found] == [0] * 5000 + [2, 1]


def test_interfaces_of_one_section_are_not_anothers(tmp_path: Path) -> None:
    file = tmp_path / "a.pcapng"
    one = section() + interface(EN10MB) + enhanced(0, 1, frame(1))
    other = section(">") + interface(EN10MB, ">") + enhanced(0, 2, frame(2), ">")
    file.write_bytes(one + other)
    assert [number for number, _ in numbers(file)] == [0, 0]
    file.write_bytes(one + other + section() + interface(EN10MB) * 2 + enhanced(1, 3, frame(3)))
    assert [number for number, _ in numbers(file)] == [0, 0, 2]


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_blocks_are_walked_in_pieces_of_any_size(size: int) -> None:
    content = section() + interface(EN10MB) + b"".join(enhanced(0, n, frame(n)) for n in range(50)) + interface(EN10MB)
    blocks = savefile.Blocks()
    at = 0
    while at < len(content):
        skip = blocks.feed(content[at : at + size])
        assert skip >= 0
        at += min(size, len(content) - at) + skip
    assert blocks.interfaces == 2


@settings(max_examples=300)
@given(st.sampled_from(list(FORMATS)), st.data())
def test_walking_through_anything_ends(name: str, data: st.DataObject) -> None:
    content = bytearray(FORMATS[name])
    for _ in range(data.draw(st.integers(0, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    blocks = savefile.Blocks()
    assert blocks.feed(bytes(content)) >= -1
    assert blocks.interfaces <= 2
