"""An SQL text without its values: one pass over its bytes.

Room: l7, beside `sql.py`. What is read is cut into words, names, values, comments and signs by the rules of its dialect; what a
token means is not asked, but where it decides what the next byte is. So it takes any text, right or wrong:

    SELECT a FROM `t` WHERE b = 'x' AND c IN (1, 2, -3) -- why      ->      SELECT a FROM `t` WHERE b = ? AND c IN (?)

- Every value is `?`: a string, a number, a bit or hexadecimal string, with what stands in front of it as a part of it (`N`,
  `_utf8`). What begins with a digit is a number to its end, letters too: no part of it can be told from a value. Strings that
  follow one another are one value; a sign in front of a number is a part of it where it can be no operator.
- A comment is a space, and spaces are one. What MySQL runs of a comment (`/*! */`) is text.
- Lists: in the parentheses of IN and VALUES and the brackets of ARRAY, what is as the element in front of it is left out, be it a
  value or a row of them. NULL, TRUE, FALSE and DEFAULT are values there, and words everywhere else.
- What is set is a value also without quotes: PostgreSQL takes `SET app.key = word`.
- Where the end of a string, a name or a comment does not come, nothing behind its beginning is told. So it is with bytes that no
  text has (control characters, invalid UTF-8 outside of strings), and where it cannot be known what a byte is: a backslash behind
  what is no UTF-8, which may be the second byte of a letter of GBK or Shift-JIS; the end of a comment in a string, a name or
  another comment inside of one that MySQL runs, or does not; a string right behind a number.
"""

from __future__ import annotations

import cython

from receiver.wire.cursor import Cursor

if cython.compiled:
    from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING
    from cython.cimports.libc.string import memcpy
else:
    # The compiled module has these as C enums, from the `.pxd`.
    # Bytes: the first three stand in words, the last four are no tokens.
    C_WORD = 0
    C_DIGIT = 1
    C_DOLLAR = 2
    C_HIGH = 3
    C_QUOTE = 4
    C_OPEN = 5
    C_CLOSE = 6
    C_COMMA = 7
    C_DOT = 8
    C_OTHER = 9
    C_SPACE = 10
    C_MARK = 11  # may begin or end a comment
    C_SEMICOLON = 12
    C_STOP = 13  # no text has it
    # What stands in front.
    T_NONE = 0
    T_WORD = 1
    T_LITERAL = 2
    T_OPEN = 3
    T_CLOSE = 4
    T_COMMA = 5
    T_OTHER = 6
    T_SIGN = 7
    T_DOT = 8
    # An element of a list begins with the next token: behind what opened the list, or behind a comma.
    G_NONE = 0
    G_OPENED = 1
    G_COMMA = 2
    # The word that makes a list of the next parenthesis or bracket.
    A_NONE = 0
    A_IN = 1
    A_ARRAY = 2

# What is looked at of a statement, and what is told of it. A token is written in as many bytes or fewer, and may get a space in
# front of it that it did not have.
TEXT_MAX = 4096
ROOM = 2 * TEXT_MAX


def _classes() -> bytes:
    found: list[int] = [C_STOP] * 32 + [C_OTHER] * 95 + [C_STOP] + [C_HIGH] * 128
    for kind, letters in (
        (C_WORD, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"),
        (C_DIGIT, "0123456789"),
        (C_DOLLAR, "$"),
        (C_SPACE, " \t\n\v\f\r"),
        (C_MARK, "-/#*"),
        (C_QUOTE, "'\"`"),
        (C_OPEN, "(["),
        (C_CLOSE, ")]"),
        (C_COMMA, ","),
        (C_SEMICOLON, ";"),
        (C_DOT, "."),
    ):
        for letter in letters:
            found[ord(letter)] = kind
    return bytes(found)


_CLASSES = _classes()
# 0 for what goes on: of a word, letters that are no ASCII aside, and of a string.
_NO_WORD = bytes(1 if kind > C_DOLLAR else 0 for kind in _CLASSES)
_IN_STRING = bytes(1 if byte in b"'\"\\*" else 0 for byte in range(256))


@cython.no_gc
@cython.cclass
class SqlText:
    """The last statement that was read: `text[:size]`, and `next`, where the one behind it begins.

    `front_at` to `front_end`, `back_at` to `back_end`: the insides of the comments before its first token and behind its last one
    that may carry a trace context; -1 where there is none, or none is `wanted`.
    """

    def __init__(self) -> None:
        self.text = bytearray(ROOM)
        self.size = 0
        self.next = 0
        self.inside = False  # a comment that MySQL runs
        self.wanted = False
        self.front_at = -1
        self.front_end = -1
        self.back_at = -1
        self.back_end = -1

    def read(
        self,
        window: Cursor,
        at: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        cut: cython.bint,
        mysql: cython.bint,
        names: cython.bint,
        escapes: cython.bint,
    ) -> cython.Py_ssize_t:
        """The size of the statement at `at`. `mysql`: or MariaDB, else PostgreSQL. `names`: a double quote holds a name; `escapes`:
        a backslash escapes, in plain strings.

        `at` and `end` are places in the window: the caller has compared them, and nothing is read that is not between them.
        """
        whole_end: cython.Py_ssize_t = end
        if end - at > TEXT_MAX:
            end = at + TEXT_MAX
            cut = True
        buf: bytes = window.buf
        out: bytearray = self.text
        classes: bytes = _CLASSES
        no_word: bytes = _NO_WORD
        wanted: cython.bint = self.wanted
        self.inside = False
        self.front_at = -1
        self.back_at = -1
        behind_at: cython.Py_ssize_t = -1
        behind_end: cython.Py_ssize_t = -1
        back_size: cython.Py_ssize_t = -1

        i: cython.Py_ssize_t = at
        j: cython.Py_ssize_t
        n: cython.Py_ssize_t = 0
        begin: cython.Py_ssize_t = 0  # where the token is written, with the space before it
        first: cython.Py_ssize_t  # where a word begins in `buf`
        size: cython.Py_ssize_t
        c: cython.int
        k: cython.int
        fold: cython.int
        space: cython.bint = False
        literal: cython.bint
        string: cython.bint
        opens: cython.bint
        stop: cython.bint = False
        last: cython.int = T_NONE
        sign_at: cython.Py_ssize_t = -1
        depth: cython.Py_ssize_t = 0
        # A list: the depth of its elements, -1 where none is open, and those of the parentheses inside it.
        armed: cython.int = A_NONE
        was_armed: cython.int = A_NONE
        careful: cython.bint = False  # armed, in a list, or in a routine
        outer: cython.Py_ssize_t = -1
        values: cython.bint = False
        gap: cython.int = G_NONE
        outer_start: cython.Py_ssize_t = -1
        outer_prior: cython.Py_ssize_t = -1
        outer_size: cython.Py_ssize_t = 0
        inner_start: cython.Py_ssize_t = -1
        inner_prior: cython.Py_ssize_t = -1
        inner_size: cython.Py_ssize_t = 0
        # What the first word makes of the others.
        begun: cython.bint = False
        watch: cython.bint = True
        setting: cython.bint = False
        altering: cython.bint = False
        valued: cython.bint = False
        creating: cython.bint = False
        deciding: cython.bint = False
        starting: cython.bint = False
        routine: cython.bint = False
        block: cython.Py_ssize_t = 0
        ending: cython.bint = False
        was_ending: cython.bint = False
        # Behind the semicolon.
        ended: cython.bint = False
        semicolon: cython.Py_ssize_t = 0

        while i < end:
            c = buf[i]
            k = classes[c]
            if k >= C_SPACE:
                if k == C_SPACE:
                    i += 1
                    space = True
                    continue
                if k == C_STOP:
                    stop = True
                    break
                if k == C_MARK:
                    j = self._comment(buf, i, end, mysql)
                    if j < 0:
                        stop = True
                        break
                    if j > i:
                        if wanted and c == 0x2F and j - i > 4 and buf[j - 1] == 0x2F:
                            # Of several that follow one another the first one's beginning, and the last one's end.
                            if n == 0:
                                if self.front_at < 0:
                                    self.front_at = i + 2
                                self.front_end = j - 2
                            elif ended:
                                if behind_at < 0:
                                    behind_at = i + 2
                                behind_end = j - 2
                            else:
                                if self.back_at < 0 or back_size != n:
                                    self.back_at = i + 2
                                    back_size = n
                                self.back_end = j - 2
                        i = j
                        space = True
                        continue
                elif block == 0 and not (creating and depth > 0):
                    i += 1
                    if n > 0 and not ended:
                        ended = True
                        careful = True
                        semicolon = i
                    continue

            # A token.
            if careful:
                if ended:
                    stop = True
                    break
                if n > TEXT_MAX:
                    n = begin
                    break
                was_armed = armed
                armed = A_NONE
                was_ending = ending
                ending = False
                careful = routine or outer >= 0 or was_armed != A_NONE or n > i - at
                if outer >= 0 and (k == C_COMMA or k == C_CLOSE):
                    space = False
                elif gap != G_NONE:
                    space = gap == G_COMMA
                elif was_armed == A_IN and c == 0x28:
                    space = True
                if gap != G_NONE:
                    gap = G_NONE
                    if k != C_COMMA and k != C_CLOSE:
                        size = n + 1 if space else n
                        if depth != outer:
                            inner_start = size
                        elif values and k != C_OPEN and k != C_WORD:
                            outer = -1  # VALUES was a name
                        else:
                            outer_start = size
            begin = n
            if space:
                if n > 0:
                    out[n] = 0x20
                    n += 1
                space = False
            literal = False
            string = False
            opens = False

            if k == C_WORD:
                pass
            elif k == C_DOLLAR:
                j = i + 1
                while j < end and classes[buf[j]] == C_DIGIT:
                    j += 1
                if j > i + 1:
                    # A parameter; what goes on behind the number is none.
                    if j - i > 6 or (j < end and classes[buf[j]] <= C_HIGH):
                        k = C_DIGIT
                    elif outer >= 0:
                        literal = True
                        i = j
                    else:
                        _copy(out, n, buf, i, j - i)
                        n += j - i
                        i = j
                        last = T_LITERAL
                        continue
                else:
                    j = _dollar(buf, i, end)
                    if j < 0:
                        if cut:
                            n = begin
                            break
                        j = 0
                    if j > 0:
                        literal = True
                        string = True
                        i = j
                        stop = i > end or self.inside
                    else:
                        k = C_WORD if mysql else C_OTHER
            elif k == C_DOT:
                if i + 1 < end and classes[buf[i + 1]] == C_DIGIT and not (last == T_WORD and begin == n):
                    k = C_DIGIT

            if k == C_WORD or k == C_HIGH:
                first = i
                # It is written as it is read, and stays if `n` goes on behind it.
                i = window.copy_span(no_word, i, end, out, n)
                while i < end and buf[i] >= 0x80:
                    size = _width(buf, i, end)
                    if size == 0:
                        break
                    _copy(out, n + i - first, buf, i, size)
                    i = window.copy_span(no_word, i + size, end, out, n + i + size - first)
                if i == end:
                    if cut:  # it may go on
                        n = begin
                        break
                    c = 0
                else:
                    c = buf[i]
                    if c >= 0x80:  # no UTF-8
                        n = begin
                        stop = True
                        break
                size = i - first
                fold = buf[first] | 0x20
                if c > 0x27 or c < 0x22:
                    pass
                elif c == 0x27 or (c == 0x22 and not names):
                    # What stands in front of a string may be a part of it.
                    if size == 1:
                        string = fold == 0x6E or fold == 0x78 or fold == 0x62 or (fold == 0x65 and not mysql)
                    elif mysql:
                        string = fold == 0x7F
                    if string:
                        i = self._string(window, i + 1, end, c, escapes or (fold == 0x65 and not mysql))
                elif c == 0x26 and size == 1 and fold == 0x75 and not mysql and i + 1 < end and buf[i + 1] == 0x27:
                    string = True
                    i = self._string(window, i + 2, end, 0x27, escapes)
                if string:
                    literal = True
                    if i < 0:
                        stop = True
                else:
                    if not watch:
                        pass
                    elif not begun:
                        begun = True
                        if size == 3:
                            setting = _is(buf, first, b"set")
                        elif size == 5:
                            altering = not mysql and _is(buf, first, b"alter")
                            starting = _is(buf, first, b"begin")
                        elif size == 6:
                            creating = _is(buf, first, b"create")
                            deciding = creating
                        watch = setting or altering or starting or creating
                    elif setting:
                        if valued:
                            if (
                                depth == 0
                                and c != 0x28
                                and (first == at or buf[first - 1] != 0x40)
                                and not _is_constant(buf, first, size)
                                and not (size == 2 and _is(buf, first, b"on"))
                                and not (size == 3 and _is(buf, first, b"off"))
                            ):
                                literal = True
                        elif size == 2 and fold == 0x74 and _is(buf, first, b"to"):
                            valued = True
                    elif altering:
                        setting = size == 3 and _is(buf, first, b"set")
                    elif routine:
                        if size == 5 and _is(buf, first, b"begin"):
                            block += 1
                        elif size == 4 and _is(buf, first, b"case"):
                            if block > 0 and not was_ending:
                                block += 1
                        elif size == 3 and _is(buf, first, b"end"):
                            if block > 0:
                                block -= 1
                                ending = True
                        elif was_ending and (
                            (size == 2 and _is(buf, first, b"if"))
                            or (size == 4 and _is(buf, first, b"loop"))
                            or (size == 5 and _is(buf, first, b"while"))
                            or (size == 6 and _is(buf, first, b"repeat"))
                            or (size == 3 and _is(buf, first, b"for"))
                        ):
                            block += 1  # that END was of no block
                    elif deciding and depth == 0:
                        if (
                            (size == 9 and _is(buf, first, b"procedure"))
                            or (size == 8 and _is(buf, first, b"function"))
                            or (size == 7 and (_is(buf, first, b"trigger") or _is(buf, first, b"package")))
                            or (size == 5 and _is(buf, first, b"event"))
                        ):
                            routine = True
                            careful = True
                        elif size == 5 and _is(buf, first, b"table"):
                            deciding = False
                    elif starting:
                        # MariaDB: BEGIN NOT ATOMIC is a block that is no routine.
                        starting = False
                        if size == 3 and _is(buf, first, b"not"):
                            routine = True
                            careful = True
                            block = 1

                    if last == T_DOT or literal:
                        pass
                    elif outer >= 0:
                        if values and depth == outer:
                            if size != 3 or not _is(buf, first, b"row"):
                                outer = -1
                        elif size == 6 and _is(buf, first, b"select"):
                            outer = -1
                        elif last == T_OPEN or last == T_COMMA:
                            literal = _is_constant(buf, first, size)
                    elif size == 2:
                        if fold == 0x69 and _is(buf, first, b"in"):
                            armed = A_IN
                            careful = True
                    elif size == 5:
                        if fold == 0x61 and _is(buf, first, b"array"):
                            armed = A_ARRAY
                            careful = True
                        elif fold == 0x76:
                            opens = _is(buf, first, b"value")
                    elif size == 6 and fold == 0x76:
                        opens = _is(buf, first, b"values")
                    if opens:
                        careful = True
                        outer = depth
                        values = True
                        outer_start = -1
                        outer_prior = -1
                        gap = G_COMMA
                    if not literal:
                        n += size
                        last = T_WORD
                        continue

            elif k == C_DIGIT:
                literal = True
                c = 0
                fold = buf[i + 1] | 0x20 if i + 1 < end else 0
                string = buf[i] == 0x30 and fold == 0x78  # hexadecimal: its E is a digit
                while i < end:
                    k = classes[buf[i]]
                    if k <= C_HIGH or k == C_DOT:
                        c = buf[i]
                        i += 1
                    elif (
                        (c | 0x20) == 0x65
                        and not string
                        and (buf[i] == 0x2B or buf[i] == 0x2D)
                        and i + 1 < end
                        and classes[buf[i + 1]] == C_DIGIT
                    ):
                        c = 0
                        i += 1
                    else:
                        break
                string = False
                stop = i < end and buf[i] == 0x27  # its E may have been that of E'', or a part of the number
                if last == T_SIGN and sign_at >= 0:
                    n = sign_at
                    begin = n

            elif k == C_QUOTE:
                if c == 0x27 or (c == 0x22 and not names):
                    literal = True
                    string = True
                    i = self._string(window, i + 1, end, c, escapes)
                    if i < 0:
                        stop = True
                elif c == 0x60 and not mysql:
                    out[n] = c
                    n += 1
                    i += 1
                    last = T_OTHER
                    continue
                else:
                    j = self._name(window, i + 1, end, c)
                    if j < 0 or (j == end and cut):
                        n = begin
                        stop = True
                        break
                    if setting and valued and depth == 0:
                        literal = True
                        i = j
                    else:
                        _copy(out, n, buf, i, j - i)
                        n += j - i
                        i = j
                        begun = True
                        last = T_WORD
                        continue

            elif k == C_OPEN:
                out[n] = c
                n += 1
                i += 1
                depth += 1
                if (was_armed == A_IN and c == 0x28) or (was_armed == A_ARRAY and c == 0x5B):
                    careful = True
                    outer = depth
                    values = False
                    outer_start = -1
                    outer_prior = -1
                    gap = G_OPENED
                elif outer >= 0 and depth == outer + 1:
                    inner_start = -1
                    inner_prior = -1
                    gap = G_OPENED
                last = T_OPEN
                continue

            elif k == C_COMMA or k == C_CLOSE:
                if outer >= 0:
                    if depth == outer:
                        if outer_start >= 0:
                            size = n - outer_start
                            if outer_prior >= 0 and outer_size == size and _again(out, outer_prior, outer_start, size):
                                n = outer_prior + size
                            else:
                                outer_prior = outer_start
                                outer_size = size
                            outer_start = -1
                        if k == C_COMMA:
                            gap = G_COMMA
                        else:
                            outer = -1
                    elif depth == outer + 1:
                        if inner_start >= 0:
                            size = n - inner_start
                            if inner_prior >= 0 and inner_size == size and _again(out, inner_prior, inner_start, size):
                                n = inner_prior + size
                            else:
                                inner_prior = inner_start
                                inner_size = size
                            inner_start = -1
                        if k == C_COMMA:
                            gap = G_COMMA
                out[n] = c
                n += 1
                i += 1
                if k == C_COMMA:
                    last = T_COMMA
                    if mysql and depth == 0:
                        valued = False
                    continue
                last = T_CLOSE
                if depth > 0:
                    depth -= 1
                if outer >= 0:
                    if depth < outer:
                        outer = -1
                    elif values and depth == outer and outer_start >= 0:
                        # A row ends with its parenthesis: what follows may be no comma.
                        size = n - outer_start
                        if outer_prior >= 0 and outer_size == size and _again(out, outer_prior, outer_start, size):
                            n = outer_prior + size
                        else:
                            outer_prior = outer_start
                            outer_size = size
                        outer_start = -1
                continue

            elif not literal:
                if cut and i + 1 == end:  # it may be the beginning of something else
                    n = begin
                    break
                out[n] = c
                n += 1
                i += 1
                if c == 0x2D or c == 0x2B:
                    sign_at = -1
                    if last == T_OPEN or last == T_COMMA or last == T_OTHER:
                        sign_at = n - 1
                    last = T_SIGN
                elif c == 0x3F and (mysql or last == T_OPEN or last == T_COMMA):
                    last = T_LITERAL
                elif k == C_DOT:
                    last = T_DOT
                else:
                    if c == 0x3D and setting:
                        valued = True
                    last = T_OTHER
                continue

            # A value.
            if string and last == T_LITERAL:
                n = begin
            else:
                if string and last == T_WORD and begin == n:
                    out[n] = 0x20
                    n += 1
                    careful = True
                out[n] = 0x3F
                n += 1
            last = T_LITERAL
            begun = True
            if stop:
                break

        if n > TEXT_MAX:
            n = begin
        self.size = n
        self.next = whole_end
        if ended and (stop or i < whole_end):
            self.next = semicolon
            behind_at = -1
        if self.back_at >= 0 and back_size != n:
            self.back_at = -1
        if self.back_at < 0 and behind_at >= 0:
            self.back_at = behind_at
            self.back_end = behind_end
        return n

    def _comment(self, buf: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t, mysql: cython.bint) -> cython.Py_ssize_t:
        """Where the comment ends that begins at `at`; `at` where none does, -1 where its end is not there."""
        c: cython.int = buf[at]
        following: cython.int = buf[at + 1] if at + 1 < end else 0
        i: cython.Py_ssize_t = at + 2
        if c == 0x2A:
            if self.inside and following == 0x2F:
                self.inside = False
                return i
            return at
        if c == 0x2F:
            if following != 0x2A:
                return at
            if mysql and i < end:
                if buf[i] == 0x4D and i + 1 < end and buf[i + 1] == 0x21:  # MariaDB's own
                    i += 1
                if buf[i] == 0x21:
                    self.inside = True
                    i += 1
                    while i < end and 0x30 <= buf[i] <= 0x39:
                        i += 1
                    return i
            level: cython.Py_ssize_t = 1
            while i + 1 < end:
                c = buf[i]
                if c == 0x2A and buf[i + 1] == 0x2F:
                    i += 2
                    level -= 1
                    if level == 0:
                        return i
                elif c == 0x2F and not mysql and buf[i + 1] == 0x2A:
                    i += 2
                    level += 1
                else:
                    i += 1
            return -1
        if c == 0x2D:
            # MySQL wants something behind it that is no text: `5--1` is a sum there.
            if following != 0x2D or (mysql and i < end and buf[i] > 0x20 and buf[i] != 0x7F):
                return at
        elif not mysql:
            return at
        i = at + 1
        while i < end:
            c = buf[i]
            if c == 0x0A or (c == 0x0D and not mysql):
                return i
            if c == 0x2A and self.inside and i + 1 < end and buf[i + 1] == 0x2F:
                return -1
            i += 1
        return end

    def _string(
        self, window: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t, quote: cython.int, escapes: cython.bint
    ) -> cython.Py_ssize_t:
        """Where the string ends whose first byte is at `at`; -1 where that cannot be known."""
        buf: bytes = window.buf
        i: cython.Py_ssize_t = at
        c: cython.int
        while True:
            i = window.span(_IN_STRING, i, end)
            if i == end:
                return -1
            c = buf[i]
            i += 1
            if c == quote:
                if i >= end or buf[i] != quote:
                    return i
                i += 1
            elif c == 0x5C:
                if escapes:
                    if i - 1 > at and buf[i - 2] >= 0x80 and not _whole(buf, at, i - 1):
                        return -1
                    i += 1
                    if i > end:
                        return -1
            elif c == 0x2A and self.inside and i < end and buf[i] == 0x2F:
                return -1

    def _name(self, window: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t, quote: cython.int) -> cython.Py_ssize_t:
        """Where the name in quotes ends whose first byte is at `at`; -1 where it does not, or is no text."""
        buf: bytes = window.buf
        i: cython.Py_ssize_t = at
        c: cython.int
        size: cython.Py_ssize_t
        while i < end:
            c = buf[i]
            if c == quote:
                i += 1
                if i >= end or buf[i] != quote:
                    return i
                i += 1
            elif c >= 0x80:
                size = _width(buf, i, end)
                if size == 0:
                    return -1
                i += size
            elif c < 0x20 or c == 0x7F or (c == 0x2A and self.inside and i + 1 < end and buf[i + 1] == 0x2F):
                return -1
            else:
                i += 1
        return -1


def _copy(out: bytearray, to: cython.Py_ssize_t, buf: bytes, at: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.int:
    """`buf[at : at + size]` to `out[to:]`."""
    if to < 0 or at < 0 or size < 0 or to + size > len(out) or at + size > len(buf):
        raise IndexError("outside the buffer")
    if cython.compiled:
        memcpy(PyByteArray_AS_STRING(out) + to, PyBytes_AS_STRING(buf) + at, size)
    else:
        out[to : to + size] = buf[at : at + size]
    return 0


def _is(buf: bytes, at: cython.Py_ssize_t, word: bytes) -> cython.bint:
    """Whether the word at `at`, which is as long, is `word` in any case."""
    n: cython.Py_ssize_t = len(word)
    i: cython.Py_ssize_t = 0
    while i < n and (buf[at + i] | 0x20) == word[i]:
        i += 1
    return i == n


def _is_constant(buf: bytes, at: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.bint:
    """Whether the word at `at` is a value: NULL, TRUE, FALSE, DEFAULT."""
    if size == 4:
        return _is(buf, at, b"null") or _is(buf, at, b"true")
    if size == 5:
        return _is(buf, at, b"false")
    return size == 7 and _is(buf, at, b"default")


def _width(buf: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """How many bytes the letter at `at` has; 0 where it is no UTF-8 (RFC 3629), or not all there."""
    c: cython.int = buf[at]
    low: cython.int = 0x80
    high: cython.int = 0xBF
    size: cython.Py_ssize_t
    if c < 0xC2 or c > 0xF4:
        return 0
    if c < 0xE0:
        size = 2
    elif c < 0xF0:
        size = 3
        if c == 0xE0:
            low = 0xA0
        elif c == 0xED:
            high = 0x9F
    else:
        size = 4
        if c == 0xF0:
            low = 0x90
        elif c == 0xF4:
            high = 0x8F
    if size > end - at:
        return 0
    if buf[at + 1] < low or buf[at + 1] > high:
        return 0
    i: cython.Py_ssize_t
    for i in range(at + 2, at + size):
        if buf[i] < 0x80 or buf[i] > 0xBF:
            return 0
    return size


def _whole(buf: bytes, start: cython.Py_ssize_t, at: cython.Py_ssize_t) -> cython.bint:
    """Whether a letter of UTF-8 ends before `at`."""
    first: cython.Py_ssize_t = at - 1
    while first > start and first > at - 4 and buf[first] < 0xC0:
        first -= 1
    return _width(buf, first, at) == at - first


def _again(text: bytearray, one: cython.Py_ssize_t, other: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.bint:
    """Whether the same stands at both places, `size` bytes."""
    i: cython.Py_ssize_t = 0
    while i < size and text[one + i] == text[other + i]:
        i += 1
    return i == size


def _dollar(buf: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where the string ends that begins with `$tag$` at `at`, behind `end` where it does not; 0 where none begins, -1 where that is
    not there to be seen."""
    i: cython.Py_ssize_t = at + 1
    while i < end and buf[i] != 0x24:
        if _CLASSES[buf[i]] > C_HIGH:
            return 0
        i += 1
    if i >= end:
        return -1
    size: cython.Py_ssize_t = i + 1 - at
    i += 1
    same: cython.Py_ssize_t
    while i + size <= end:
        if buf[i] == 0x24:
            same = 1
            while same < size and buf[i + same] == buf[at + same]:
                same += 1
            if same == size:
                return i + size
            i += same  # what was the same has no other dollar sign
        else:
            i += 1
    return end + 1
