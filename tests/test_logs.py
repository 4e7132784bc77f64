"""Log lines: one record, one line."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from receiver import logs
from receiver.config import TelemetryLogs


def _record(message: str, *, failed: bool = False) -> logging.LogRecord:
    trace = None
    if failed:
        try:
            raise KeyError("k")
        except KeyError:
            trace = sys.exc_info()
    record = logging.LogRecord("receiver.engine", logging.WARNING, "", 0, message, (), trace)
    record.created = 1738324800.25  # date -u -d @1738324800: 2025-01-31T12:00:00
    return record


def test_console_line() -> None:
    line = logs.LineFormatter(json_lines=False, tracebacks=False).format(_record("a\nb\x1b[31m"))
    assert line == "2025-01-31T12:00:00.250Z\twarn\treceiver.engine\ta\\nb\\x1b[31m"


def test_json_line() -> None:
    line = logs.LineFormatter(json_lines=True, tracebacks=False).format(_record("a\nb"))
    assert json.loads(line) == {
        "level": "warn", "ts": "2025-01-31T12:00:00.250Z", "logger": "receiver.engine", "msg": "a\nb",
    }
    assert "\n" not in line


@pytest.mark.parametrize("json_lines", [False, True])
def test_traceback_only_when_debugging(json_lines: bool) -> None:
    short = logs.LineFormatter(json_lines=json_lines, tracebacks=False).format(_record("lost", failed=True))
    assert "lost (KeyError at test_logs.py:" in short
    assert "Traceback" not in short
    assert "Traceback" in logs.LineFormatter(json_lines=json_lines, tracebacks=True).format(
        _record("lost", failed=True)
    )


def test_no_line_of_a_traceback_can_be_taken_for_a_record() -> None:
    try:
        raise ValueError("sent\n2025-01-31T12:00:00.250Z\tinfo\treceiver\tall is well\x1b[2J")
    except ValueError:
        record = logging.LogRecord("receiver.engine", logging.ERROR, "", 0, "lost", (), sys.exc_info())
    first, *rest = logs.LineFormatter(json_lines=False, tracebacks=True).format(record).split("\n")
    assert "lost (ValueError at " in first
    assert rest
    assert all(row.startswith("\t") and "\x1b" not in row for row in rest)


def test_configured_twice_writes_once(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    logs.configure(TelemetryLogs(level="debug"))
    logs.configure(TelemetryLogs(level="warn"))
    logging.getLogger("a").info("quiet")
    logging.getLogger("a").warning("loud")
    assert [line.split("\t")[1:] for line in capsys.readouterr().err.splitlines()] == [["warn", "a", "loud"]]
