"""Packets of capture files, and of a pipe that brings one.

Room: capture; follows the contract of `capture.py`. libpcap reads what it can and is fastest; `savefile.py` reads pipes, files that
libpcap gives up, and those with more than one interface, which libpcap does not tell apart.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import stat
import struct
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pcapy

from receiver.pcap import savefile
from receiver.pcap.capture import (
    BATCH_PACKETS,
    META_BYTES,
    TICK_MAX_NS,
    BatchSize,
    CaptureFileError,
    CaptureStats,
    FilterError,
    FilterFor,
    OnBatch,
    OnTick,
    ShouldStop,
    Wakeup,
    tune_allocator,
)
from receiver.pcap.filter import compile_filter, give_filter

log = logging.getLogger(__name__)

OnProgress = Callable[[str, int, int], None]  # file, bytes read, bytes in all

_PIPE_READ_BYTES = 256 * 1024
_PROGRESS_AFTER_NS = 1_000_000_000
_PROGRESS_EVERY_NS = 100_000_000


class FileSource:
    """Capture files, one after the other: pcap, pcapng, and `-` for standard input.

    `on_progress` is called for regular files that take more than a second, at most ten times a second. `user_filter` is as for
    `LiveSource`.
    """

    def __init__(
        self,
        names: Sequence[str],
        filter_for: FilterFor,
        *,
        user_filter: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._names = list(names)
        self._filter_for = filter_for
        self._user_filter = user_filter
        self._on_progress = on_progress
        self._wakeup = Wakeup()
        self._received = 0
        self._unticked = 0
        self._truncated = 0
        self._link_types: list[int] = []
        self._started_ns = 0
        self._progressed_ns = 0

    def open(self) -> None:
        """Look at each file's first bytes; pipes are looked at when read.

        Raises CaptureFileError for the first that is no capture file.
        """
        tune_allocator()
        for name in self._names:
            if name != "-":
                _look_at(name)

    def run(self, on_batch: OnBatch, on_tick: OnTick, should_stop: ShouldStop) -> None:
        """See the module's contract. A file that breaks off is read as far as it goes, counted, and warned of.

        Raises CaptureFileError for what is no capture, FilterError for a filter that does not fit a file's link type.
        """
        for name in self._names:
            if should_stop():
                return
            self._started_ns = time.monotonic_ns()
            self._progressed_ns = 0
            if name == "-":
                self._run_stream(sys.stdin.fileno(), "standard input", 0, on_batch, on_tick, should_stop)
            elif not _look_at(name) or _has_interfaces(name):
                # libpcap does not say which of several interfaces a packet is from.
                self._run_opened(name, 0, on_batch, on_tick, should_stop)
            else:
                self._run_libpcap(name, on_batch, on_tick, should_stop)

    def stats(self) -> CaptureStats:
        """`received` are the packets given so far."""
        return CaptureStats(received=self._received, truncated_files=self._truncated)

    def link_types(self) -> list[int]:
        """The DLTs met so far."""
        return list(self._link_types)

    def wake(self) -> None:
        """End a wait of run() at once."""
        self._wakeup.set()

    def close(self) -> None:
        """May be called twice."""
        self._wakeup.close()

    def _run_libpcap(self, name: str, on_batch: OnBatch, on_tick: OnTick, should_stop: ShouldStop) -> None:
        given = 0
        try:
            reader = pcapy.open_offline(name)
        except pcapy.PcapError as error:
            log.debug("libpcap does not read %s: %s", name, error)
            self._run_opened(name, 0, on_batch, on_tick, should_stop)
            return
        link_type = reader.datalink()
        self._met(link_type)
        try:
            give_filter(reader.setfilter, self._filter_for(link_type), self._user_filter, link_type)
        except FilterError as error:
            raise FilterError(f"{name}: {error}") from None
        size = Path(name).stat().st_size
        fd = reader.getfd()
        batch = BatchSize()
        while not should_stop():
            try:
                packets, meta = reader.next_batch(batch.packets)
            except pcapy.PcapError as error:
                # The packets of this batch that came before the fault are lost in libpcap; our own reader finds them
                # again.
                log.debug("libpcap stops in %s after %d packets: %s", name, given, error)
                self._run_opened(name, given, on_batch, on_tick, should_stop)
                return
            if not meta:
                break
            batch.learn(len(packets), len(meta) // META_BYTES)
            given += len(meta) // META_BYTES
            self._give((packets, meta, link_type, 0), on_batch, on_tick, last=True)
            self._progress(name, fd, size)
        if self._progressed_ns and self._on_progress:
            self._on_progress(name, size, size)
        reader.close()

    def _run_opened(self, name: str, skip: int, on_batch: OnBatch, on_tick: OnTick, should_stop: ShouldStop) -> None:
        with Path(name).open("rb", buffering=0) as file:
            self._run_stream(file.fileno(), name, skip, on_batch, on_tick, should_stop)

    def _run_stream(
        self, fd: int, name: str, skip: int, on_batch: OnBatch, on_tick: OnTick, should_stop: ShouldStop
    ) -> None:
        reader = savefile.SavefileReader(self._matcher_for)
        poller = select.poll()
        poller.register(self._wakeup.read_fd, select.POLLIN)
        poller.register(fd, select.POLLIN)
        try:
            while not should_stop():
                ready = [each for each, _ in poller.poll(TICK_MAX_NS // 1_000_000)]
                if self._wakeup.read_fd in ready:
                    self._wakeup.clear()
                if fd not in ready:
                    continue
                piece = os.read(fd, _PIPE_READ_BYTES)
                if not piece:
                    reader.finish()
                    break
                batches = reader.feed(piece)
                for packets, meta, link_type, interface in batches:
                    skipped = min(skip, len(meta) // META_BYTES)
                    skip -= skipped
                    if skipped * META_BYTES < len(meta):
                        # Offsets in the meta stay true: the packets' bytes are left whole.
                        left = (packets, meta[skipped * META_BYTES :], link_type, interface)
                        self._give(left, on_batch, on_tick, last=meta is batches[-1][1])
                    if should_stop():
                        return
                if reader.broken:
                    break
        except savefile.NotACapture as error:
            raise _not_a_capture(name, str(error)) from None
        except OSError as error:
            raise CaptureFileError(f"cannot read {name}: {error.strerror}") from None
        if reader.broken:
            self._truncated += 1
            log.warning("%s is not read to its end: %s", name, reader.broken)

    def _give(self, batch: savefile.Batch, on_batch: OnBatch, on_tick: OnTick, *, last: bool) -> None:
        """`last`: nothing more has been read. Where interfaces take turns a batch is one packet, and a tick costs more."""
        meta = batch[1]
        count = len(meta) // META_BYTES
        self._received += count
        self._unticked += count
        on_batch(*batch)
        if not last and self._unticked < BATCH_PACKETS:
            return
        self._unticked = 0
        seconds, micros = struct.unpack_from("=2I", meta, len(meta) - META_BYTES)
        on_tick((seconds * 1_000_000 + micros) * 1000)

    def _matcher_for(self, link_type: int) -> savefile.Matches | None:
        self._met(link_type)
        program = give_filter(partial(compile_filter, link_type), self._filter_for(link_type), self._user_filter, link_type)
        if program is None:
            return None
        matches = program.filter
        return lambda packet: bool(matches(packet))

    def _met(self, link_type: int) -> None:
        if link_type not in self._link_types:
            self._link_types.append(link_type)

    def _progress(self, name: str, fd: int, size: int) -> None:
        if self._on_progress is None:
            return
        now_ns = time.monotonic_ns()
        last_ns = self._progressed_ns
        if now_ns - last_ns >= _PROGRESS_EVERY_NS if last_ns else now_ns - self._started_ns >= _PROGRESS_AFTER_NS:
            self._progressed_ns = now_ns
            # The stream's buffer may be ahead of the packets by a page: near enough for a bar.
            self._on_progress(name, os.lseek(fd, 0, os.SEEK_CUR), size)


def _look_at(name: str) -> bool:
    """Whether this is a regular file that begins like a capture; False for pipes.

    Raises CaptureFileError for anything else.
    """
    path = Path(name)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise CaptureFileError(f"a directory, not a capture file: {name}")
        if not stat.S_ISREG(mode):
            return False
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise CaptureFileError(f"cannot read {name}: {error.strerror}") from None
    if not head:
        raise _not_a_capture(name, "it is empty")
    try:
        pcapy.open_offline(name).close()
    except pcapy.PcapError:
        # libpcap reads kinds of files that our own reader does not, and the other way round.
        try:
            reader = savefile.SavefileReader(lambda _: None)
            reader.feed(head)
            reader.finish()
        except savefile.NotACapture as error:
            raise _not_a_capture(name, str(error)) from None
    return True


def _has_interfaces(name: str) -> bool:
    """Whether this regular file is pcapng with more than one interface, wherever the second one stands."""
    blocks = savefile.Blocks()
    with contextlib.suppress(OSError), Path(name).open("rb", buffering=0) as file:
        while blocks.interfaces < 2 and (piece := file.read(_PIPE_READ_BYTES)) and (skip := blocks.feed(piece)) >= 0:
            file.seek(skip, os.SEEK_CUR)
    return blocks.interfaces > 1


def _not_a_capture(name: str, why: str) -> CaptureFileError:
    if "compressed" in why:
        program = why.rsplit(" ", 1)[-1]
        return CaptureFileError(f"not a capture file: {name} ({why}; decompress it first: {program} -d)")
    return CaptureFileError(f"not a capture file: {name}" + (f" ({why})" if why else ""))
