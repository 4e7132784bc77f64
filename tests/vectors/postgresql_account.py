"""What PostgreSQL's clients say that they did, as roundtrips: `Psycopg` notes each statement's status, rows and error.

Expected of a statement is its command tag (`tag`: the first word of what the summary says), the rows that came, the SQLSTATE.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

Expected = list[dict[str, Any]]


def ok(tag: str, rows: int | None = None) -> dict[str, Any]:
    return {"tag": tag, "operation": None, "outcome": "ok", "status": None, "db.response.returned_rows": rows}


def failed(code: str | None) -> dict[str, Any]:
    return {"operation": None, "outcome": "error", "status": code, "error_type": code, "db.response.returned_rows": None}


def aborted() -> dict[str, Any]:
    return {"operation": None, "outcome": "error", "status": None, "error_type": "aborted", "db.response.returned_rows": None}


def named(operation: str, status: str | None = None, outcome: str | None = None) -> dict[str, Any]:
    """What is no statement."""
    return {"operation": operation, "outcome": outcome or ("ok" if status is None else "error"), "status": status}


def result(cursor: psycopg.Cursor[Any]) -> dict[str, Any]:
    """What a cursor knows of its present result."""
    tag = (cursor.statusmessage or "").rstrip("0123456789 ")
    if cursor.description is not None:
        return ok(tag, cursor.rowcount)
    return ok(tag, 0 if tag == "SELECT" else None)


class Psycopg:
    """Runs statements on a connection that commits by itself, and keeps what psycopg says of each."""

    def __init__(self, connection: psycopg.Connection[Any], simple: bool = False) -> None:
        self.connection = connection
        self.cursor: Any = psycopg.ClientCursor if simple else psycopg.Cursor
        self.expected: Expected = [named("LOGIN")]

    def run(self, text: str, values: Sequence[Any] | None = None, prepare: bool | None = None, skipped: int = 0) -> None:
        """`skipped`: how many statements an error in a text of several keeps from being done."""
        cursor = self.cursor(self.connection)
        try:
            cursor.execute(text, values, prepare=prepare)
        except psycopg.Error as error:
            self.expected.append(failed(error.sqlstate))
            self.expected += [aborted() for _ in range(skipped)]
            return
        self.expected.append(result(cursor))
        while cursor.nextset():
            self.expected.append(result(cursor))
