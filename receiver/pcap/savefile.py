"""Reads pcap and pcapng as the bytes arrive.

Room: capture. Knows the two formats; does no input or output of its own.

libpcap reads regular files, three times as fast; this reader does what libpcap can not:
- a pipe, without waiting until a batch is full, and without blocking anyone;
- pcapng with several interfaces: libpcap does not say which one a packet is from, and refuses such as differ in link type or
  snaplen;
- the packets in front of the place where a file breaks off, which libpcap's batch takes with it.

Feed it pieces of any size; batches come back in the form of pcapy's `next_batch`: the packets' bytes joined, and for
each packet 16 bytes, native u32: seconds, microseconds, offset, captured length. One batch has one link type and one interface,
which is a number from 1 where there are several and 0 where there is one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from receiver.pcap.capture import BATCH_PACKETS
from receiver.pcap.dlt import DLT_RAW, DLT_RAW_OTHERS

Batch = tuple[bytes, bytes, int, int]  # packets, meta, link type (DLT), interface
Matches = Callable[[bytes], bool]

MAX_PACKET = 262_144  # libpcap's MAXIMUM_SNAPLEN; the longest segment seen, IPv6 BIG TCP, has 195 KB
MAX_BLOCK = 16 * 1024 * 1024  # libpcap's limit for a pcapng block; decryption secrets and name tables are the long ones

_META = struct.Struct("=4I")
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ": "xz",
    b"BZh": "bzip2",
    b"\x04\x22\x4d\x18": "lz4",
}
_PCAPNG_SECTION = 0x0A0D0D0A
_PCAPNG_INTERFACE = 1
_PCAPNG_OBSOLETE_PACKET = 2
_PCAPNG_SIMPLE_PACKET = 3
_PCAPNG_ENHANCED_PACKET = 6
_PCAPNG_BYTE_ORDER = 0x1A2B3C4D
_OPTION_END = 0
_OPTION_TSRESOL = 9
_OPTION_TSOFFSET = 14


class NotACapture(ValueError):
    """The first bytes are those of no capture file; the text says what they are when that is known, else is empty."""


def compression(head: bytes) -> str:
    """The name of the program that compressed this, or ''."""
    return next((name for magic, name in _COMPRESSED.items() if head.startswith(magic)), "")


def is_capture(head: bytes) -> bool:
    """Whether a file that begins with these bytes is pcap or pcapng."""
    return head[:4] in _PCAP_MAGICS or head[:4] == b"\x0a\x0d\x0d\x0a"


# [u32 magic][u16 major][u16 minor][i32 zone][u32 sigfigs][u32 snaplen][u32 link type], then records of
# [u32 seconds][u32 micro- or nanoseconds][u32 captured][u32 on the wire][bytes]      draft-ietf-opsawg-pcap
_PCAP_MAGICS: dict[bytes, tuple[str, int]] = {
    b"\xd4\xc3\xb2\xa1": ("<", 1),
    b"\xa1\xb2\xc3\xd4": (">", 1),
    b"\x4d\x3c\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\x3c\x4d": (">", 1000),
}


class _Interface:
    """One capture interface of a pcapng section."""

    __slots__ = ("link_type", "offset_s", "snaplen", "units")

    def __init__(self, link_type: int, snaplen: int, units: int, offset_s: int) -> None:
        self.link_type = link_type
        self.snaplen = snaplen
        self.units = units  # a second has so many
        self.offset_s = offset_s


class SavefileReader:
    """Bytes of a capture file in, batches out.

    `matcher_for` gives the filter's test for a link type, or None where every packet is wanted. `broken` says, once
    it is not empty, why nothing more can be read; packets in front of that place have been returned.
    """

    def __init__(self, matcher_for: Callable[[int], Matches | None]) -> None:
        self.broken = ""
        self._matcher_for = matcher_for
        self._matchers: dict[int, Matches | None] = {}
        self._partial = b""
        self._started = False
        self._order = ""  # struct's byte order; '' before the format is known
        self._pcapng = False
        self._nanos_per_unit = 1
        self._link_type = -1
        self._number = 0
        self._interfaces: list[_Interface] = []
        self._last_us = 0
        self._batches: list[Batch] = []
        self._packets: list[bytes] = []
        self._meta: list[bytes] = []
        self._offset = 0

    def feed(self, piece: bytes) -> list[Batch]:
        """Take the next bytes; return the batches that are now complete, whatever has arrived included.

        Raises NotACapture on the first bytes of something else.
        """
        window = self._partial + piece if self._partial else piece
        at = 0
        if not self._started:
            at = self._start(window)
        if self._started and not self.broken:
            at = self._read_pcapng(window, at) if self._pcapng else self._read_pcap(window, at)
        self._partial = b"" if self.broken else window[at:]
        self._flush()
        done, self._batches = self._batches, []
        return done

    def finish(self) -> None:
        """The input ended: sets `broken` when inside something. Raises NotACapture when nothing began."""
        if not self._started:
            raise NotACapture("")
        if self._partial and not self.broken:
            self.broken = f"it ends inside a packet: {len(self._partial)} bytes left over"

    def _start(self, window: bytes) -> int:
        if len(window) >= 6 or not window:
            name = compression(window)
            if name:
                raise NotACapture(f"it is compressed with {name}")
        if len(window) < 4:
            return 0
        if not is_capture(window):
            raise NotACapture("")
        if window[:4] == b"\x0a\x0d\x0d\x0a":
            if len(window) < 12:
                return 0
            if _section_order(window, 0) is None:
                raise NotACapture("")
            self._pcapng = self._started = True
            return 0
        if len(window) < 24:
            return 0
        self._order, self._nanos_per_unit = _PCAP_MAGICS[window[:4]]
        # The upper bits of the link type's word say whether frames end with their check sum.
        link_type: int = struct.unpack_from(self._order + "I", window, 20)[0] & 0xFFFF
        self._link_type = _dlt(link_type)
        self._started = True
        return 24

    def _read_pcap(self, window: bytes, at: int) -> int:
        record = struct.Struct(self._order + "3I")
        end = len(window)
        while end - at >= 16:
            seconds, fraction, captured = record.unpack_from(window, at)
            if captured > MAX_PACKET:
                self.broken = f"a packet claims {captured} bytes"
                break
            if end - at - 16 < captured:
                break
            at += 16 + captured
            self._add(self._link_type, seconds, fraction // self._nanos_per_unit, window[at - captured : at])
        return at

    def _read_pcapng(self, window: bytes, at: int) -> int:
        # [u32 type][u32 total length][body, padded to 4][u32 total length]      draft-ietf-opsawg-pcapng, 3.1
        end = len(window)
        while end - at >= 12:
            if window[at : at + 4] == b"\x0a\x0d\x0d\x0a":
                order = _section_order(window, at)
                if order is None:
                    self.broken = "a section of unknown byte order"
                    break
                self._order = order
            kind, length = struct.unpack_from(self._order + "2I", window, at)
            if length < 12 or length > MAX_BLOCK:
                self.broken = f"a block claims {length} bytes"
                break
            length += -length % 4
            if end - at < length:
                break
            try:
                self._read_block(kind, window[at + 8 : at + length - 4])
            except (struct.error, IndexError):
                self.broken = f"a block of type {kind} is too short or names no interface"
                break
            at += length
        return at

    def _read_block(self, kind: int, body: bytes) -> None:
        order = self._order
        if kind == _PCAPNG_SECTION:
            self._interfaces = []
        elif kind == _PCAPNG_INTERFACE:
            self._interfaces.append(_read_interface(body, order))
        elif kind == _PCAPNG_ENHANCED_PACKET:
            index, high, low, captured, _ = struct.unpack_from(order + "5I", body)
            self._add_block(index, high << 32 | low, body, 20, captured)
        elif kind == _PCAPNG_OBSOLETE_PACKET:
            index, _, high, low, captured, _ = struct.unpack_from(order + "2H4I", body)
            self._add_block(index, high << 32 | low, body, 20, captured)
        elif kind == _PCAPNG_SIMPLE_PACKET:
            # No time of its own: it keeps that of the packet before it.
            first = self._interfaces[0]
            (length,) = struct.unpack_from(order + "I", body)
            captured = min(length, first.snaplen or length, len(body) - 4)
            number = 1 if len(self._interfaces) > 1 else 0
            packet = body[4 : 4 + captured]
            self._add(first.link_type, self._last_us // 1_000_000, self._last_us % 1_000_000, packet, number)

    def _add_block(self, index: int, ticks: int, body: bytes, start: int, captured: int) -> None:
        interface = self._interfaces[index]
        if captured > len(body) - start:
            raise IndexError("longer than its block")
        micros = ticks * 1_000_000 // interface.units + interface.offset_s * 1_000_000
        seconds, fraction = divmod(max(micros, 0), 1_000_000)
        number = index + 1 if len(self._interfaces) > 1 else 0
        self._add(interface.link_type, seconds & 0xFFFFFFFF, fraction, body[start : start + captured], number)

    def _add(self, link_type: int, seconds: int, micros: int, packet: bytes, number: int = 0) -> None:
        if link_type != self._link_type or number != self._number:
            self._flush()
            self._link_type = link_type
            self._number = number
        if link_type not in self._matchers:
            self._matchers[link_type] = self._matcher_for(link_type)
        matches = self._matchers[link_type]
        self._last_us = seconds * 1_000_000 + micros
        if matches is not None and not matches(packet):
            return
        self._packets.append(packet)
        self._meta.append(_META.pack(seconds, micros, self._offset, len(packet)))
        self._offset += len(packet)
        if len(self._packets) == BATCH_PACKETS:
            self._flush()

    def _flush(self) -> None:
        if self._packets:
            self._batches.append((b"".join(self._packets), b"".join(self._meta), self._link_type, self._number))
            self._packets = []
            self._meta = []
            self._offset = 0


class Blocks:
    """Walks through the blocks of a pcapng file for the interfaces that are described in it, without reading packets.

    `interfaces` is the most that a section has, so far.
    """

    def __init__(self) -> None:
        self.interfaces = 0
        self._here = 0  # in this section
        self._order = ""
        self._partial = b""

    def feed(self, piece: bytes) -> int:
        """Take the next bytes; returns how many that follow are of no interest, -1 when there is no more to find."""
        window = self._partial + piece
        end = len(window)
        at = 0
        head = struct.Struct((self._order or "<") + "2I").unpack_from
        while end - at >= 12:
            kind, length = head(window, at)
            if kind == _PCAPNG_SECTION:
                order = _section_order(window, at)
                if order is None:
                    return -1
                self._order = order
                head = struct.Struct(order + "2I").unpack_from
                length = head(window, at)[1]
                self._here = 0
            elif not self._order:
                return -1
            elif kind == _PCAPNG_INTERFACE:
                self._here += 1
                self.interfaces = max(self.interfaces, self._here)
            if length < 12:
                return -1
            at += length + -length % 4
        self._partial = window[at:]
        return max(0, at - end)


def _section_order(window: bytes, at: int) -> str | None:
    for order in "<>":
        if struct.unpack_from(order + "I", window, at + 8)[0] == _PCAPNG_BYTE_ORDER:
            return order
    return None


def _read_interface(body: bytes, order: str) -> _Interface:
    # [u16 link type][u16 reserved][u32 snaplen][options: u16 code, u16 length, value padded to 4]
    #                                                                        draft-ietf-opsawg-pcapng, 4.2
    link_type, _, snaplen = struct.unpack_from(order + "2HI", body)
    units = 1_000_000
    offset_s = 0
    at = 8
    while len(body) - at >= 4:
        code, length = struct.unpack_from(order + "2H", body, at)
        value = body[at + 4 : at + 4 + length]
        at += 4 + length + -length % 4
        if code == _OPTION_END:
            break
        if code == _OPTION_TSRESOL and value:
            # The top bit chooses the base: 2 or 10. The rest is the negative exponent.
            units = 1 << (value[0] & 0x7F) if value[0] & 0x80 else 10 ** (value[0] & 0x7F)
        elif code == _OPTION_TSOFFSET and len(value) == 8:
            (offset_s,) = struct.unpack(order + "q", value)
    return _Interface(_dlt(link_type), snaplen, units, offset_s)


def _dlt(link_type: int) -> int:
    """Of a number in a file: raw IP has another there, the others that matter are the same."""
    return DLT_RAW if link_type in DLT_RAW_OTHERS else link_type
