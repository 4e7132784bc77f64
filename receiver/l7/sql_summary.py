"""What a statement does, and to what: `SELECT orders customers`.

Room: l7, beside `sql.py`. Source: OpenTelemetry semantic conventions, docs/db/database-spans.md, "Generating a summary of the
query": operations and their targets in the order of the text, both as they are written there, with their quotes. It is made of a
text without values (`sql_text.py`), where every double quote and backtick holds a name, so it asks for no dialect.

One pass, with a state for each depth of parentheses: what a name would be there. Names of common table expressions are no targets,
nor are functions in FROM. What programs make up (names of prepared statements, cursors, savepoints) or is a person's is left out.
"""

from __future__ import annotations

import cython

from receiver.l7.sql_words import Words

if not cython.compiled:
    from receiver.l7.sql_words import (
        W_ALONE,
        W_AS,
        W_BODY,
        W_CALL,
        W_DEFINE,
        W_DELETE,
        W_DISTINCT,
        W_EXPLAIN,
        W_FROM,
        W_INSERT,
        W_INTO,
        W_JOIN,
        W_MATERIALIZED,
        W_MODE,
        W_NAME,
        W_NOISE,
        W_OBJECT_ON,
        W_ON,
        W_ON_TARGET,
        W_QUERIED,
        W_REST,
        W_SELECT,
        W_SET,
        W_TARGET,
        W_TARGETS,
        W_UNNAMED,
        W_UPDATE,
        W_USING,
        W_WITH,
    )

# What the next name is.
S_NONE = 0
S_COLUMNS = 1  # none, until FROM
S_FROM = 2  # a target, or a function
S_TARGETS = 3  # a target, and behind a comma the next
S_TARGET = 4
S_NAMED = 5  # an alias; a comma or a join brings the next target
S_WRITTEN = 6  # none
S_INTO = 7  # a target, and columns go on behind it
S_CTE = 8  # of a common table expression
S_CTE_AS = 9
S_OBJECT = 10  # none: what is created is not said yet

# "SHOULD truncate the summary to 255 characters (ensuring truncation does not occur within an operation name or target)"
SUMMARY_MAX = 255
# Parentheses inside one another that have a state of their own.
DEPTH_MAX = 64


@cython.no_gc
@cython.cclass
class SqlSummary:
    """Reads one text after another. `operation`: the statement's verb, in capitals; `procedure`: what is called."""

    def __init__(self) -> None:
        self.operation = ""
        self.procedure = ""
        self.text = bytearray()
        self.states = bytearray(DEPTH_MAX)

    def read(self, text: bytes) -> bytes:
        """The summary of a text without values; empty where its first word begins no statement that is known."""
        self.operation = ""
        self.procedure = ""
        self.text.clear()
        states: bytearray = self.states
        end: cython.Py_ssize_t = len(text)
        i: cython.Py_ssize_t = 0
        first: cython.Py_ssize_t
        depth: cython.Py_ssize_t = 0
        c: cython.int
        kind: cython.int
        state: cython.int
        verb: cython.int = W_NAME
        last: cython.int = W_NAME
        # A statement may begin here: at the start, behind a parenthesis and behind AS.
        position: cython.bint = True
        was_position: cython.bint
        expected: cython.bint
        dropping: cython.bint = False
        only_defined: cython.bint = False  # no statement follows
        on: cython.bint = False
        tables: set[bytes] | None = None
        name: bytes
        states[0] = S_NONE

        while i < end:
            c = text[i]
            if c == 0x20:
                i += 1
                continue
            state = states[depth]
            if c == 0x28:
                i += 1
                position = True
                if depth < DEPTH_MAX - 1:
                    if verb == W_TARGETS and state == S_TARGETS and last != W_NAME:
                        states[depth + 1] = S_NONE  # options: VACUUM (ANALYZE) t
                    elif S_FROM <= state <= S_TARGET:
                        states[depth] = S_NAMED if state != S_TARGET else S_WRITTEN
                        states[depth + 1] = S_FROM
                    else:
                        states[depth + 1] = S_NONE
                depth += 1
                if depth == DEPTH_MAX:
                    break
                continue
            if c == 0x29:
                i += 1
                if depth > 0:
                    depth -= 1
                position = states[depth] == S_CTE_AS or verb == W_EXPLAIN
                last = W_NAME
                continue
            if c == 0x2C:
                i += 1
                position = False
                last = W_NAME
                if state == S_NAMED:
                    states[depth] = S_TARGETS if verb == W_TARGETS or dropping else S_FROM
                elif state == S_CTE_AS:
                    states[depth] = S_CTE
                continue
            if not (_in_word(c) or c == 0x22 or c == 0x60):
                # A value, a sign, a variable.
                i += 1
                if c == 0x40 or c == 0x3A:
                    while i < end and (text[i] == 0x40 or _in_word(text[i])):
                        i += 1
                if c == 0x3F or c == 0x40:
                    if state == S_FROM or state == S_TARGETS:
                        states[depth] = S_NAMED
                    elif state == S_TARGET:
                        states[depth] = S_WRITTEN
                    elif state == S_INTO:
                        states[depth] = S_COLUMNS
                if verb != W_NAME and c != 0x3D:
                    position = verb == W_EXPLAIN
                    last = W_NAME
                continue

            first = i
            i = _name_end(text, i, end)
            kind = W_NAME
            if c != 0x22 and c != 0x60:
                kind = Words.kind(text, first, i)
            was_position = position
            position = False
            if verb == W_NAME:
                # The first word.
                self.operation = Words.operation(text[first:i])
                if self.operation == "":
                    break
                if kind == W_QUERIED:
                    kind = W_TARGETS  # TABLE t
                elif kind == W_SET:
                    kind = W_TARGET
                verb = kind
                last = kind
                if kind == W_WITH:
                    states[depth] = S_CTE
                    continue
                self._add(text, first, i)
                if kind == W_SELECT or kind == W_DELETE:
                    states[depth] = S_COLUMNS
                elif kind == W_INSERT:
                    states[depth] = S_TARGET
                elif kind == W_UPDATE:
                    states[depth] = S_FROM
                elif kind == W_DEFINE:
                    states[depth] = S_OBJECT
                    dropping = self.operation == "DROP"
                elif kind == W_TARGETS:
                    states[depth] = S_TARGETS
                elif kind == W_TARGET or kind == W_CALL:
                    states[depth] = S_TARGET
                elif kind == W_EXPLAIN or kind == W_BODY:
                    position = True
                elif kind == W_ALONE:
                    # With its second word, where that is no name: START TRANSACTION.
                    while i < end and text[i] == 0x20:
                        i += 1
                    if i < end and _in_word(text[i]):
                        first = i
                        i = _name_end(text, i, end)
                        kind = Words.kind(text, first, i)
                        if kind == W_UNNAMED or kind == W_QUERIED or kind == W_ALONE:
                            self._add(text, first, i)
                    break
                continue

            if state == S_OBJECT:
                # CREATE OR REPLACE ... VIEW
                if kind == W_MATERIALIZED:
                    self._add(text, first, i)
                elif W_QUERIED <= kind <= W_UNNAMED:
                    self._add(text, first, i)
                    if kind == W_UNNAMED:
                        break
                    states[depth] = S_TARGETS if dropping else S_TARGET
                    on = kind == W_OBJECT_ON
                    only_defined = kind != W_QUERIED
                continue

            expected = S_FROM <= state <= S_TARGET or state == S_INTO
            if kind != W_NAME:
                # Statements inside of others.
                if (
                    kind == W_SELECT
                    or ((kind == W_UPDATE or kind == W_DELETE or (kind == W_INSERT and _following(text, i, end) != 0x28))
                    and (was_position or (verb == W_EXPLAIN and depth == 0)))
                ) and not (only_defined or verb == W_ON_TARGET):
                    if not self._add(text, first, i):
                        break
                    if verb == W_WITH and depth == 0:
                        self.operation = Words.operation(text[first:i])
                        verb = kind
                    elif verb == W_EXPLAIN:
                        verb = W_BODY
                    if kind == W_INSERT:
                        states[depth] = S_TARGET
                    else:
                        states[depth] = S_FROM if kind == W_UPDATE else S_COLUMNS
                    last = kind
                    continue
                if kind == W_WITH and (was_position or state == S_WRITTEN):
                    states[depth] = S_CTE
                    last = kind
                    continue
                if W_FROM <= kind <= W_SET:
                    if kind == W_AS:
                        position = state != S_COLUMNS
                    elif kind == W_FROM:
                        if state == S_COLUMNS and last != W_DISTINCT:  # not that of IS DISTINCT FROM
                            states[depth] = S_FROM
                    elif kind == W_JOIN:
                        if state == S_NAMED:
                            states[depth] = S_FROM
                    elif kind == W_INTO:
                        if state == S_COLUMNS:
                            states[depth] = S_INTO
                        elif verb == W_BODY and state == S_NONE:
                            states[depth] = S_TARGET
                    elif kind == W_USING:
                        if verb == W_DEFINE:
                            pass
                        elif state == S_WRITTEN:
                            states[depth] = S_TARGET  # MERGE INTO t USING
                        elif state == S_NAMED and _following(text, i, end) != 0x28:
                            states[depth] = S_FROM  # DELETE FROM t USING, and not JOIN t USING (columns)
                    elif kind == W_ON:
                        if (on or verb == W_ON_TARGET) and depth == 0:
                            on = False
                            states[depth] = S_TARGET
                    elif kind == W_SET:
                        if state == S_NAMED:
                            states[depth] = S_COLUMNS  # UPDATE t SET a = b FROM
                    elif kind == W_REST:
                        if state != S_CTE_AS and state != S_NONE:
                            states[depth] = S_WRITTEN
                    last = kind
                    continue
                if kind == W_NOISE and expected:
                    continue
                if verb == W_TARGETS and expected and (kind == W_TARGETS or kind == W_MATERIALIZED):
                    continue  # VACUUM ANALYZE
                if (
                    kind == W_MODE
                    and (state == S_INTO or state == S_CTE or (expected and W_TARGETS <= verb <= W_ON_TARGET))
                    and _named(text, i, end)
                ):
                    continue
                if (
                    W_QUERIED <= kind <= W_UNNAMED
                    and expected
                    and ((verb == W_TARGETS and last == verb) or verb == W_ON_TARGET or verb == W_BODY)
                    and _named(text, i, end)
                ):
                    last = W_NAME
                    continue

            # A name.
            last = W_NAME
            if state == S_CTE:
                if tables is None:
                    tables = set()
                tables.add(text[first:i].lower())
                states[depth] = S_CTE_AS
            elif expected:
                if state == S_FROM or state == S_TARGETS:
                    states[depth] = S_NAMED
                elif state == S_INTO:
                    states[depth] = S_COLUMNS
                else:
                    states[depth] = S_WRITTEN
                if state == S_FROM and _following(text, i, end) == 0x28 and verb != W_UPDATE:
                    continue
                if tables is not None and text[first:i].lower() in tables:
                    continue
                if not self._add(text, first, i):
                    break
                if verb == W_CALL:
                    name = text[first:i]
                    self.procedure = name.decode("utf-8", "replace")
                    break
                if verb == W_ON_TARGET or (only_defined and not on and not dropping):
                    break
        return bytes(self.text)

    def _add(self, text: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
        """One word more; false where there is no room for it, nor for any behind it."""
        if len(self.text) + 1 + end - at > SUMMARY_MAX:
            return False
        if len(self.text) > 0:
            self.text.append(0x20)
        self.text += text[at:end]
        return True


def _in_word(c: cython.int) -> cython.bint:
    return (0x61 <= (c | 0x20) <= 0x7A and c >= 0x41) or 0x30 <= c <= 0x39 or c == 0x5F or c == 0x24 or c >= 0x80


def _name_end(text: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where the name at `at` ends, with all that it is qualified by."""
    quote: cython.int
    i: cython.Py_ssize_t = at
    while True:
        quote = text[i]
        if quote == 0x22 or quote == 0x60:
            i += 1
            while i < end:
                if text[i] == quote:
                    if i + 1 < end and text[i + 1] == quote:
                        i += 1
                    else:
                        break
                i += 1
            i = i + 1 if i < end else end
        else:
            while i < end and _in_word(text[i]):
                i += 1
        if i + 1 >= end or text[i] != 0x2E:
            return i
        quote = text[i + 1]
        if not (_in_word(quote) or quote == 0x22 or quote == 0x60):
            return i
        i += 1


def _named(text: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
    """Whether a name follows."""
    c: cython.int = _following(text, at, end)
    return c == 0x22 or c == 0x60 or _in_word(c)


def _following(text: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
    """The next byte that is no space; 0 at the end."""
    while at < end and text[at] == 0x20:
        at += 1
    return text[at] if at < end else 0
