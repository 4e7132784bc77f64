"""The machine: what it is, and whether it was quiet. A figure from a busy machine is void."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tests.bench import process

IDLE_SHARE = 0.06  # of all cores, over a second; an idle virtual machine shows 0.01 to 0.03
FOREIGN_SHARE = 0.05  # of one core, used by processes that are not ours while a run lasts
STEAL_SHARE = 0.05
IDLE_PATIENCE_S = 120.0


class Ticks(NamedTuple):
    """Seconds since boot, summed over the cores."""

    busy: float
    steal: float
    total: float


def ticks() -> Ticks:
    """The first line of `/proc/stat`: user nice system idle iowait irq softirq steal."""
    words = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    user, nice, system, idle, iowait, irq, softirq, steal = (int(word) / os.sysconf("SC_CLK_TCK") for word in words)
    busy = user + nice + system + irq + softirq
    return Ticks(busy, steal, busy + steal + idle + iowait)


def busy_share(seconds: float = 1.0) -> float:
    """How much of all cores was in use, or taken by the host, while this waits."""
    before = ticks()
    time.sleep(seconds)
    after = ticks()
    return (after.busy - before.busy + after.steal - before.steal) / max(after.total - before.total, 1e-9)


def await_idle(patience_s: float = IDLE_PATIENCE_S) -> float:
    """Wait until the machine is quiet and return the share that was busy then, or at the end of patience: the caller
    compares it with IDLE_SHARE."""
    end = time.monotonic() + patience_s
    while True:
        share = busy_share()
        if share <= IDLE_SHARE or time.monotonic() > end:
            return share


class Watch:
    """Tells afterwards who else was at work between its making and `faults()`."""

    def __init__(self) -> None:
        self._ticks = ticks()
        self._began = time.monotonic()
        self._foreign = _foreign_s()

    def faults(self) -> list[str]:
        """Why what was measured meanwhile does not count; empty when it does."""
        took = time.monotonic() - self._began
        now = ticks()
        found = []
        foreign = (_foreign_s() - self._foreign) / took
        if foreign > FOREIGN_SHARE:
            found.append(f"other processes used {foreign:.0%} of a core")
        steal = (now.steal - self._ticks.steal) / max(now.total - self._ticks.total, 1e-9)
        if steal > STEAL_SHARE:
            found.append(f"the host took {steal:.0%} of the cores")
        return found


def _foreign_s() -> float:
    """Seconds used so far by all processes that this one did not start, with those of the children that they have
    waited for: what a process used moves to its parent's account when it ends, and the sum stays."""
    ours = set(process.family(os.getpid()))
    tick = os.sysconf("SC_CLK_TCK")
    used = 0.0
    for pid, fields in process.stats():
        kernel_thread = int(fields[6]) & 0x00200000  # PF_KTHREAD: its work is done for somebody
        if pid not in ours and not kernel_thread:
            # proc(5): utime, stime, cutime, cstime are fields 14 to 17; ours counts in no parent's before we end.
            used += sum(int(field) for field in fields[11:15]) / tick
    return used


def facts() -> dict[str, object]:
    """What a reader of the figures has to know about where they were made."""
    return {
        "cores": os.cpu_count(),
        "cpu": _cpu_model(),
        "memory_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in ("pcapy-ng", "grpcio", "msgspec", "cython")},
        "programs": {name: _program_version(name) for name in ("nginx", "tcpdump", "wrk", "ethtool")},
        "compiled": _compiled(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _program_version(name: str) -> str | None:
    if not shutil.which(name):
        return None
    flag = "-v" if name in ("nginx", "wrk") else "--version"
    done = subprocess.run([name, flag], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().splitlines()[0]


def _compiled() -> bool:
    code = "import receiver.engine as e; raise SystemExit(e.__file__.endswith('.py'))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
