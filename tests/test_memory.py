"""What is given back, and what must not be."""

import ctypes
import json
import mmap
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import msgspec._core

from receiver import memory

FIGURES = "Rss: {} kB\nAnonymous: {} kB\nSwap: {} kB\nVmFlags: rd ex mr mw me\n"


def mapping(start, permissions, path, resident=8, anonymous=0, swap=0):
    head = f"{start:x}-{start + 0x4000:x} {permissions} 00000000 fe:00 {1 if path else 0}    {path}\n"
    return head + FIGURES.format(resident, anonymous, swap)


def given(*mappings):
    return [one.start for one in memory.clean_mappings("".join(mappings).encode().splitlines(keepends=True))]


TEXT = mapping(0x10000, "r-xp", "/lib/libx.so")


def test_text_and_constants_of_a_library_are_given_back():
    assert given(mapping(0x1000, "r--p", "/lib/libx.so"), TEXT) == [0x1000, 0x10000]


def test_what_has_pages_of_its_own_is_kept():
    """Relocations and breakpoints, in memory or swapped out: the file does not have them."""
    relocated = mapping(0x1000, "r--p", "/lib/libx.so", anonymous=4)
    swapped = mapping(0x5000, "r--p", "/lib/libx.so", swap=4)
    patched = mapping(0x9000, "r-xp", "/lib/libx.so", anonymous=4)
    assert given(relocated, swapped, patched, TEXT) == [0x10000]


def test_what_can_be_written_or_is_shared_or_no_file_is_kept():
    others = (("rw-p", "/lib/libx.so"), ("r--s", "/lib/libx.so"), ("r-xp", "[vdso]"), ("rw-p", "[heap]"), ("r-xp", ""))
    assert given(*(mapping(0x100000 * n, *one) for n, one in enumerate(others, 1)), TEXT) == [0x10000]


def test_a_file_that_is_no_program_is_kept():
    assert given(mapping(0x1000, "r--p", "/usr/lib/locale/locale-archive")) == []


def test_without_figures_nothing_is_known():
    assert given("1000-5000 r-xp 0 fe:00 1 /lib/liby.so\nRss: 8 kB\n", TEXT) == [0x10000]
    assert given("7000-8000 r-xp 0 fe:00 1 /lib/liby.so\n", "what nobody knows\n", TEXT) == [0x10000]


PROGRAM = """
import decimal, hashlib, json, ssl, zlib
from receiver import memory
from receiver.self_metrics import resident_bytes
def work():
    context = ssl.create_default_context()
    return [hashlib.sha256(b"a").hexdigest(), zlib.crc32(b"a"), str(decimal.Decimal(2).sqrt()), len(context.get_ciphers())]
earlier, before = work(), resident_bytes()
given = memory.release()
after = resident_bytes()
print(json.dumps([given, before, after, earlier == work() == work()]))
"""


def test_a_process_gets_smaller_and_works_as_before():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    pages, before, after, same = json.loads(done.stdout)
    assert pages > 0
    assert after < before - pages // 2
    assert same


def test_a_page_written_into_the_text_of_a_library_stays_as_written(tmp_path):
    """As a breakpoint is: the file does not have it."""
    library = shutil.copy(msgspec._core.__file__, tmp_path / "library.so")
    loaded = ctypes.CDLL(library)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    lines = Path("/proc/self/maps").read_text().splitlines()
    (text,) = (line for line in lines if str(library) in line and " r-xp " in line)
    start = int(text.split("-")[0], 16)
    assert libc.mprotect(start, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) == 0
    byte = ctypes.c_ubyte.from_address(start)
    written = byte.value = byte.value ^ 0xFF
    assert libc.mprotect(start, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC) == 0
    assert memory.release() > 0
    assert byte.value == written
    del loaded


def test_the_thread_ends_when_it_is_told():
    ended = threading.Event()
    thread = threading.Thread(target=memory.release_after_start, args=(ended,))
    thread.start()
    ended.set()
    thread.join(timeout=10)
    assert not thread.is_alive()
