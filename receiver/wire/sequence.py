"""TCP sequence arithmetic, modulo 2^32.

Room: wire. The only module that knows where sequence numbers wrap; constants above 0x7FFFFFFF would silently become Python
integers in compiled code, so they are typed here once.  Source: RFC 9293, 3.4.
"""

import cython

WRAP = 4294967296
HALF = 2147483648


class Sequence:
    @staticmethod
    def diff(a: cython.longlong, b: cython.longlong) -> cython.longlong:
        """`a - b` on the circle: -2^31 to 2^31 - 1; positive when `a` comes after `b`."""
        d: cython.longlong = a - b
        if d >= HALF:
            d -= WRAP
        elif d < -HALF:
            d += WRAP
        return d

    @staticmethod
    def add(a: cython.longlong, n: cython.longlong) -> cython.longlong:
        """`a + n` on the circle, for n from -2^31 to 2^32."""
        s: cython.longlong = a + n
        if s >= WRAP:
            s -= WRAP
            if s >= WRAP:
                s -= WRAP
        elif s < 0:
            s += WRAP
        return s
