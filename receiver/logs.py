"""Log lines on standard error, in the Collector's two encodings.

Room: service. A traceback is for whoever debugs this program: it is written at level `debug` only; otherwise the line
ends with the exception's type and place.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from receiver.config import TelemetryLogs

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
NAMES = {number: name for name, number in LEVELS.items()}


def configure(logs: TelemetryLogs) -> None:
    """Write what is logged at `logs.level` and above to standard error; a later call replaces an earlier one."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(json_lines=logs.encoding == "json", tracebacks=logs.level == "debug"))
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old.formatter, LineFormatter):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(LEVELS[logs.level])


class LineFormatter(logging.Formatter):
    """`2025-01-31T12:00:00.000Z<TAB>info<TAB>receiver.service<TAB>message`, or the same as one JSON object."""

    def __init__(self, *, json_lines: bool, tracebacks: bool) -> None:
        super().__init__()
        self._json_lines = json_lines
        self._tracebacks = tracebacks

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        level = NAMES.get(record.levelno, record.levelname.lower())
        message = record.getMessage()
        stack = ""
        if record.exc_info and record.exc_info[1] is not None:
            error, trace = record.exc_info[1], record.exc_info[2]
            message += f" ({type(error).__name__} at {_place(trace)})"
            stack = self.formatException(record.exc_info) if self._tracebacks else ""
        if self._json_lines:
            line: dict[str, Any] = {"level": level, "ts": at, "logger": record.name, "msg": message}
            return json.dumps(line | ({"stacktrace": stack} if stack else {}))
        # What a peer sent may stand in a message: one record stays one line. It may stand in a traceback as well: none of its lines
        # can be taken for a record.
        below = "".join(f"\n\t{_printable(row)}" for row in stack.splitlines())
        return f"{at}\t{level}\t{record.name}\t{_printable(message)}{below}"


def _printable(text: str) -> str:
    """Without line breaks and control characters: these as Python writes them."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _place(trace: TracebackType | None) -> str:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "an unknown place" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
