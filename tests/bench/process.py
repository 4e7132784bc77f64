"""Processor time and memory of processes, from the scheduler's own accounts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

CPUCLOCK_SCHED = 2  # linux/posix-timers.h: the clock of a process is (~pid << 3) | 2


def cpu_ns(pid: int) -> int:
    """Scheduler time of all threads of the process, those that ended included.

    The sum of `/proc/PID/task/*/schedstat` forgets a thread's time when it ends; this clock does not. Raises
    ProcessLookupError when the process is gone.
    """
    try:
        return time.clock_gettime_ns((~pid << 3) | CPUCLOCK_SCHED)
    except OSError as error:
        raise ProcessLookupError(pid) from error


def family(pid: int) -> list[int]:
    """The process and its descendants."""
    children = children_of()
    found = [pid]
    for parent in found:
        found += children.get(parent, ())
    return found


def children_of() -> dict[int, list[int]]:
    """Each process with children, and those children."""
    found: dict[int, list[int]] = {}
    for pid, fields in stats():
        found.setdefault(int(fields[1]), []).append(pid)
    return found


def stats() -> list[tuple[int, list[str]]]:
    """Each process, and the fields of its `/proc/PID/stat` from the state on (proc(5): index 0 is field 3)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text()
            except OSError:  # it ended meanwhile
                continue
            found.append((int(entry.name), text[text.rindex(")") + 2 :].split()))
    return found


def tree_cpu_ns(pid: int) -> int:
    """Scheduler time of the process and its living descendants."""
    return sum(cpu_ns(each) for each in family(pid))


@dataclass(frozen=True)
class Memory:
    """Kilobytes (1024), summed over a process and its descendants. `ring` is the part of `rss` that is the kernel's
    capture ring, mapped: it is not charged to a container's memory limit."""

    rss: int
    anon: int
    ring: int


def memory(pid: int) -> Memory:
    """What is resident now."""
    rss = anon = ring = 0
    for each in family(pid):
        for line in Path(f"/proc/{each}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                rss += int(line.split()[1])
            elif line.startswith("RssAnon:"):
                anon += int(line.split()[1])
        in_ring = False
        for line in Path(f"/proc/{each}/smaps").read_text().splitlines():
            words = line.split()
            if not words[0].endswith(":"):  # `from-to rights offset device inode name`
                in_ring = len(words) > 5 and words[5].startswith("socket:")
            elif in_ring and words[0] == "Rss:":
                ring += int(words[1])
    return Memory(rss, anon, ring)
