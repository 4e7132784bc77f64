"""Live capture as far as it needs no interface; packets of real ones: `integration/test_capture.py`."""

from __future__ import annotations

import threading
import time

import pytest

from receiver.pcap import live as module
from receiver.pcap.capture import NoSuchInterface
from receiver.pcap.live import LiveSource


def everything(link_type: int) -> str:
    return ""


def test_no_such_interface_names_those_that_are_there() -> None:
    with pytest.raises(NoSuchInterface, match=r"no such interface: nope0 \(there are: .*lo.*any\)"):
        LiveSource(["nope0"], everything).open()


def test_wake_ends_a_wait_whether_it_comes_before_or_while_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK_MAX_NS", 60_000_000_000)  # a wake that does nothing shows
    live = LiveSource([], everything)
    live.open()
    live.wake()
    turns = 0

    def should_stop() -> bool:
        nonlocal turns
        turns += 1
        if turns == 2:
            threading.Timer(0.05, live.wake).start()
        return turns == 3

    started = time.monotonic()
    live.run(lambda *_: None, lambda _: None, should_stop)
    assert time.monotonic() - started < 30
    live.close()
    live.wake()
    live.close()


def test_ticks_come_without_any_traffic() -> None:
    live = LiveSource([], everything)
    live.open()
    ticks: list[int] = []
    live.run(lambda *_: None, ticks.append, lambda: len(ticks) == 3)
    live.close()
    assert ticks == sorted(ticks)
    assert abs(ticks[-1] - time.time_ns()) < 5_000_000_000
