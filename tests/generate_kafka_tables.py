"""Makes `receiver/l7/kafka_names.py` from the message schemas that Apache Kafka publishes in its jar `kafka-clients`.

    mvn org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
        -Dartifact=org.apache.kafka:kafka-clients:4.4.0 -DoutputDirectory=jars          (and 3.9.1)
    python -m tests.generate_kafka_tables jars/kafka-clients-4.4.0.jar jars/kafka-clients-3.9.1.jar

(with org.slf4j:slf4j-api beside them). A version of a message is laid out as the first jar says that has it: later releases
leave out what they no longer speak. The names of errors, and whether a client may retry, are asked of the first jar's own
classes, by Java 17 or later.

A layout becomes a program of one byte an operation; `kafka.py` has what runs it, the table at the top of what this writes says
which operations there are.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import textwrap
import zipfile
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parents[1] / "receiver" / "l7" / "kafka_names.py"

# Operations; the low four bits. The high four are a mark: what the field is to whoever reads it.
END, FIXED, STRING, COMPACT_STRING, BYTES, COMPACT_BYTES, ARRAY, COMPACT_ARRAY = range(8)
RUN, COMPACT_RUN, MAYBE, TAGS, NUMBER16, NUMBER32, NUMBER64, UUID = range(8, 16)
NEXT = 0x10 | END  # an element ends: the next one, or what follows the array

TOPIC, GROUP, RECORDS, ERROR, ACKS, WAIT, REPLICA = range(1, 8)
EPOCH, THROTTLE, PARTITION, OFFSET, TOPIC_ID, NAMED_ID, TAGGED_REPLICA, POSITION = range(8, 16)

NUMBERS = {
    "MaxWaitMs": WAIT,
    "ReplicaId": REPLICA,
    "SessionEpoch": EPOCH,
    "ShareSessionEpoch": EPOCH,
    "ThrottleTimeMs": THROTTLE,
}
FIXED_SIZES = {"int8": 1, "bool": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8, "float64": 8, "uuid": 16}

ERRORS_JAVA = """
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.errors.RetriableException;
public class E {
    public static void main(String[] a) {
        for (Errors e : Errors.values())
            System.out.println(e.code() + " " + e.name() + " " + (e.exception() instanceof RetriableException ? 1 : 0));
    }
}
"""

HEAD = '''"""Kafka's requests, the layouts of their messages, and its errors.

Room: l7. Written by `tests/generate_kafka_tables.py`; not to be edited.
Source: the message schemas of {source} (Apache License 2.0).

`APIS`: of each kind of request its number, its name, the newest version that is known, the first whose header is flexible (of
the request; of the answer, header and body), and for each version from 0 on the place in `PROGRAMS` of the request's layout and
of the answer's. `ERRORS`: number, name, whether it may be tried again.

A program goes through a whole message. An operation is a byte: its kind in the low four bits, what the field is in the high four.

    0 end (0x10: end of an element)    1 n: n bytes                    2 string, i16 length    3 string, uvarint length + 1
    4 bytes, i32 length                5 bytes, uvarint length + 1     6 u16 n: array, its element's program has n bytes
    7 the same with uvarint count + 1  8 n: array of n bytes each      9 n: the same, uvarint
    10 u16 n: a structure that may be absent    11 tagged fields    12 i16    13 i32    14 i64    15 uuid

    1 topic    2 group    3 records    4 error    5 acks    6 longest wait    7 replica    8 session epoch    9 throttle time
    10 partition    11 offset    12 id of a topic    13 id of the topic that was just named    14 tagged: 1 is the replica
    15 where a fetch begins, in its answer the partition's end; of a topic, and of its partitions: no longer fetched
"""

'''


class Schemas:
    def __init__(self, jar: Path) -> None:
        self.by_key: dict[tuple[int, str], dict[str, Any]] = {}
        with zipfile.ZipFile(jar) as archive:
            for name in archive.namelist():
                if name.startswith("common/message/") and name.endswith(".json"):
                    text = archive.read(name).decode()
                    schema = json.loads(re.sub(r'("(?:\\.|[^"\\])*")|//[^\n]*', lambda m: m[1] or "", text))
                    if schema["type"] in ("request", "response") and "apiKey" in schema:
                        self.by_key[schema["apiKey"], schema["type"]] = schema


def versions(text: str | None) -> range:
    if not text or text == "none":
        return range(0)
    first, dash, last = text.partition("-")
    if text.endswith("+"):
        return range(int(text[:-1]), 1000)
    return range(int(first), int(last if dash else first) + 1)


def mark_of(field: dict[str, Any], path: tuple[str, ...], named: bool) -> int:
    name, kind = field["name"], field["type"].removeprefix("[]")
    if kind == "string":
        return TOPIC if field.get("entityType") == "topicName" else GROUP if field.get("entityType") == "groupId" else 0
    if kind == "records":
        return RECORDS
    if kind == "uuid":
        return 0 if name not in ("TopicId", "TopicIds") else NAMED_ID if named else TOPIC_ID
    if kind == "int16":
        return ERROR if name.endswith("ErrorCode") else ACKS if name == "Acks" else 0
    if kind == "int32" and not field["type"].startswith("["):
        if not path and name in NUMBERS:
            return NUMBERS[name]
        if name in ("Index", "PartitionIndex", "Partition") and len(path) == 2:
            return PARTITION
    if kind == "int64" and name == "BaseOffset":
        return OFFSET
    if kind == "int64" and name in ("FetchOffset", "HighWatermark"):
        return POSITION
    return 0


class Layout:
    """One version of one message, as a program."""

    def __init__(self, schema: dict[str, Any], version: int) -> None:
        self.version = version
        self.flexible = version in versions(schema.get("flexibleVersions"))
        self.structs = {each["name"]: each["fields"] for each in schema.get("commonStructs", ())}
        # Whose partitions tell of what is sent or fetched; elsewhere nobody asks.
        self.moves = schema["name"].startswith(("Produce", "Fetch", "ShareFetch"))
        self.fetches = schema["name"] in ("FetchRequest", "FetchResponse")
        self.replicates = schema["name"] == "FetchRequest"
        top = self._fields(schema.get("fields", ()), (), False)
        self.program = b"".join(joined(top)) + bytes((END,))

    def _fields(self, fields: Any, path: tuple[str, ...], dropped: bool) -> list[bytes]:
        there = [f for f in fields if self.version in versions(f["versions"])]
        untagged = [f for f in there if self.version not in versions(f.get("taggedVersions"))]
        ops: list[bytes] = []
        named = False
        for field in untagged:
            ops += self._field(field, path, named, dropped)
            named = named or field.get("entityType") == "topicName"
        if self.flexible:
            replica = self.replicates and not path and any(f["name"] == "ReplicaState" for f in there)
            ops.append(bytes((TAGS | (TAGGED_REPLICA << 4 if replica else 0),)))
        return ops

    def _field(self, field: dict[str, Any], path: tuple[str, ...], named: bool, dropped: bool) -> list[bytes]:
        kind = field["type"]
        element = kind.removeprefix("[]")
        mark = POSITION if dropped and field["name"] in ("Topic", "TopicId", "Partitions") else 0
        if not dropped:
            mark = mark_of(field, path, named)
        dropped = dropped or field["name"] == "ForgottenTopicsData"
        if (mark in (PARTITION, OFFSET) and not self.moves) or (mark == REPLICA and not self.replicates):
            mark = 0
        if mark == POSITION and not self.fetches:
            mark = 0
        fields = field.get("fields") or self.structs.get(element)
        if fields is not None:
            body = self._fields(fields, (*path, field["name"]), dropped)
            if kind == element:
                if self.version in versions(field.get("nullableVersions")):
                    inner = b"".join(joined(body))
                    return [bytes((MAYBE,)) + len(inner).to_bytes(2, "big") + inner]
                return body
        else:
            # The partitions that are dropped are read all at once.
            body = [self._plain(element, 0 if element == "int32" and kind != element else mark)]
        if kind == element:
            return body
        body = joined(body)
        if len(body) == 1 and body[0][0] == FIXED:
            return [bytes(((COMPACT_RUN if self.flexible else RUN) | mark << 4,)) + body[0][1:]]
        inner = b"".join(body) + bytes((NEXT,))
        return [bytes((COMPACT_ARRAY if self.flexible else ARRAY,)) + len(inner).to_bytes(2, "big") + inner]

    def _plain(self, kind: str, mark: int) -> bytes:
        if kind == "string":
            return bytes(((COMPACT_STRING if self.flexible else STRING) | mark << 4,))
        if kind in ("bytes", "records"):
            return bytes(((COMPACT_BYTES if self.flexible else BYTES) | mark << 4,))
        size = FIXED_SIZES[kind]
        if mark:
            return bytes(({2: NUMBER16, 4: NUMBER32, 8: NUMBER64, 16: UUID}[size] | mark << 4,))
        return bytes((FIXED, size))


def joined(ops: list[bytes]) -> list[bytes]:
    """Fixed fields that follow one another are one."""
    made: list[bytes] = []
    for op in ops:
        if made and op[0] == FIXED and made[-1][0] == FIXED and made[-1][1] + op[1] < 256:
            made[-1] = bytes((FIXED, made[-1][1] + op[1]))
        else:
            made.append(op)
    return made


def errors(jar: Path) -> list[tuple[int, str, bool]]:
    slf4j = list(jar.parent.glob("slf4j-api-*.jar"))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "E.java"
        source.write_text(ERRORS_JAVA)
        path = ":".join(str(one) for one in (jar, *slf4j))
        said = subprocess.run(["java", "-cp", path, str(source)], check=True, capture_output=True, text=True).stdout
    return [(int(code), name, retry == "1") for code, name, retry in (line.split() for line in said.splitlines()) if name != "NONE"]


def main(jars: list[Path]) -> None:
    releases = [Schemas(jar) for jar in jars]
    programs: dict[bytes, int] = {}
    rows: list[str] = []
    for key in sorted({key for release in releases for key, _ in release.by_key}):
        name = next(r.by_key[key, "request"]["name"].removesuffix("Request") for r in releases if (key, "request") in r.by_key)
        found: dict[str, list[int]] = {}
        flexible = {}
        asked = [r.by_key[key, "request"] for r in releases if (key, "request") in r.by_key]
        highest = max(max(versions(one["validVersions"]), default=-1) for one in asked)
        if highest < 0:
            continue
        for kind in ("request", "response"):
            places = []
            flexible[kind] = 999
            for version in range(highest + 1):
                all_of_it = [r.by_key[key, kind] for r in releases if (key, kind) in r.by_key]
                schema = next(one for one in all_of_it if version in versions(one["validVersions"]))
                layout = Layout(schema, version)
                if layout.flexible:
                    flexible[kind] = min(flexible[kind], version)
                places.append(programs.setdefault(layout.program, len(programs)))
            found[kind] = places
        row = (key, name, highest, flexible["request"], flexible["response"], *map(tuple, found.values()))
        rows.append(f"{row!r},".replace("'", '"'))
    source = " and ".join(jar.stem for jar in jars)
    lines = [HEAD.format(source=source), "APIS: tuple[tuple[int, str, int, int, int, tuple[int, ...], tuple[int, ...]], ...] = ("]
    for row in rows:
        lines += textwrap.wrap(row, 128, initial_indent="    ", subsequent_indent="        ", break_long_words=False)
    lines += [")", "", "PROGRAMS: tuple[bytes, ...] = tuple(bytes.fromhex(program) for program in ("]
    texts = [" ".join(f'"{part}"' for part in textwrap.wrap(program.hex(), 96)) + "," for program in programs]
    lines += textwrap.wrap(" ".join(texts), 128, initial_indent="    ", subsequent_indent="    ", break_long_words=False)
    lines += ["))", "", "ERRORS: tuple[tuple[int, str, bool], ...] = ("]
    told = " ".join(f'({code},~"{name}",~{retry}),' for code, name, retry in errors(jars[0]))
    lines += textwrap.wrap(told, 128, initial_indent="    ", subsequent_indent="    ")
    lines[-len(lines) :] = [line.replace("~", " ") for line in lines]
    lines += [")"]
    TARGET.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
