"""What clients of Kafka say that they did: the requests of each connection in their order, by the clients' own debug logs.

An account is a list for each connection; a line of it has the correlation id, and of the roundtrip what the log says: which
request, and where it prints the answer, the errors in that.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from receiver.l7.kafka_names import ERRORS

Line = dict[str, Any]
Account = list[list[Line]]

NAMES = {code: (name, retry) for code, name, retry in ERRORS}

OPERATIONS = {
    "produce": "send",
    "fetch": "poll",
    "share_fetch": "poll",
    "offset_commit": "commit",
    "api_version": "api_versions",
    "offset": "list_offsets",
}


def operation(name: str) -> str:
    """What a roundtrip is called, by what a client calls its request: `FetchRequest`, `FETCH`."""
    name = re.sub(r"Request$", "", name)
    snake = name.lower() if name.isupper() or "_" in name else re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return OPERATIONS.get(snake, snake)


class Log(logging.Handler):
    """Keeps the lines of a logger."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.logger = logging.getLogger(name)
        self.logger.addHandler(self)
        self.logger.setLevel(logging.DEBUG)
        self.logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def close(self) -> None:
        self.logger.removeHandler(self)
        super().close()


def in_order(connections: dict[str, dict[int, Line]]) -> Account:
    return [list(lines.values()) for lines in connections.values()]


def librdkafka(lines: list[str]) -> Account:
    """`SEND [shop#producer-5] [thrd:..]: 127.0.0.1:38341/1: Sent ProduceRequest (v10, 183 bytes @ 0, CorrId 2)`. A broker's name
    serves one connection after the other, each of which counts from 1."""
    found: Account = []
    now: dict[str, list[Line]] = {}
    for line in lines:
        sent = re.search(r"\[([^]]*)\] \[thrd:[^]]*\]: (\S+): Sent (\w+) \(v\d+, \d+ bytes @ \d+, CorrId (\d+)\)", line)
        if sent:
            key, number = sent[1] + sent[2], int(sent[4])
            if number == 1 or key not in now:
                now[key] = []
                found.append(now[key])
            now[key].append({"id": number, "operation": operation(sent[3]), "answered": False})
        got = re.search(r"\[([^]]*)\] \[thrd:[^]]*\]: (\S+): Received \w+ \(v\d+, \d+ bytes, CorrId (\d+),", line)
        for one in now.get(got[1] + got[2], []) if got else []:
            if one["id"] == int(got[3]):
                one["answered"] = True
    return found


def kafka_python(lines: list[str]) -> Account:
    return list(kafka_python_by_port(lines).values())


def kafka_python_by_port(lines: list[str]) -> dict[int, list[Line]]:
    """`<KafkaConnection node_id=1 host=[127.0.0.1:9092<-59224] ...> Request 2: ProduceRequest(version=..`: by the client's port."""
    now: dict[str, dict[int, Line]] = {}
    for line in lines:
        sent = re.match(r"<KafkaConnection [^>]*?host=\[(\S+)[^>]*[>)].* Request (\d+): (\w+)\(version=(\d+)(.*)", line, re.S)
        if sent is None:
            sent = re.match(r"<KafkaConnection .*?host=\[(\S+).*?> Request (\d+): (\w+)\(version=(\d+)(.*)", line, re.S)
        if sent:
            one: Line = {"id": int(sent[2]), "operation": operation(sent[3]), "answered": False}
            if sent[3] in ("ProduceRequest", "OffsetCommitRequest"):
                topics = set(re.findall(r"(?:Topic\w*|TopicProduceData)\([^()]*?name='([^']*)'", sent[5]))
                one["target"] = topics.pop() if len(topics) == 1 else ""
            now.setdefault(sent[1], {})[int(sent[2])] = one
        got = re.match(r"<KafkaConnection .*?host=\[(\S+).*?>: Response (\d+) \([^)]*\): (.*)", line, re.S)
        if got and int(got[2]) in now.get(got[1], {}):
            answer(now[got[1]][int(got[2])], re.findall(r"error_code=(-?\d+)", got[3]))
    return {int(re.findall(r"<-(\d+)", host)[0]): list(told.values()) for host, told in now.items()}


def java(lines: list[str]) -> Account:
    """`[Producer clientId=a] Sending PRODUCE request with header RequestHeader(apiKey=PRODUCE, apiVersion=13, clientId=a,
    correlationId=4, ..) and timeout 30000 to node 1: {..}`; a node serves one connection here."""
    now: dict[str, dict[int, Line]] = {}
    for line in lines:
        head = r"RequestHeader\(apiKey=(\w+), apiVersion=\d+, clientId=([^,]*), correlationId=(\d+)"
        sent = re.search(rf"Sending \w+ request with header {head}.*? to node (-?\d+)", line)
        if sent:
            one = {"id": int(sent[3]), "operation": operation(sent[1]), "answered": False}
            now.setdefault(sent[2] + "/" + sent[4], {})[int(sent[3])] = one
        got = re.search(rf"Received \w+ response from node (-?\d+) for request with header {head}[^)]*\): (.*)", line, re.S)
        if got and int(got[4]) in now.get(got[3] + "/" + got[1], {}):
            answer(now[got[3] + "/" + got[1]][int(got[4])], re.findall(r"[eE]rrorCode=(-?\d+)", got[5]))
    return in_order(now)


def answer(line: Line, codes: list[str]) -> None:
    """The errors of an answer, as the client printed their numbers; Kafka's own list has their names."""
    line["answered"] = True
    bad = [code for code in map(int, codes) if code != 0]
    # What must not be tried again is worse.
    worst = next((code for code in bad if not NAMES[code][1]), bad[0]) if bad else 0
    line["status"] = NAMES[worst][0] if bad else None
    line["outcome"] = "error" if bad else "ok"
