"""`cython` for source that runs as it is, where Cython is not installed: the names that this program uses, and no others.

Room: uncompiled, which nobody imports by its own name. Known to Python as the module `cython` (see `receiver/__init__.py`). C
types are the Python types that stand for them; decorators change nothing; a cast makes the Python value. Where Cython is
installed its own module of that name is used.
"""

from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")
_V = TypeVar("_V")

compiled = False

uint = longlong = ulonglong = Py_ssize_t = size_t = uchar = int
double = float
bint = bool
int = int
p_char = p_uchar = p_void = bytes


def cast(kind: Callable[[_V], _T], value: _V) -> _T:
    """`value` as C's type would have it; nothing is cut off, as in Cython's own module."""
    return kind(value)


def _unchanged(thing: _T) -> _T:
    return thing


cclass = cfunc = ccall = inline = final = no_gc = _unchanged


def freelist(_: int) -> Callable[[_T], _T]:
    return _unchanged
