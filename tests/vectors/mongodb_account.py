"""Servers that speak MongoDB's protocol, and what pymongo says that it did: the record of its own command monitoring.

An account has a line for each command that was published, in the order of their ends; of those that pymongo keeps to itself (hello,
and what proves who somebody is) nothing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import snappy
from pymongo import MongoClient, monitoring
from record import free_port, wait_for

Expected = list[dict[str, Any]]
Change = Callable[[bytes, set[int]], bytes]
# A value, and what else must never be found in anything that is told.
SECRET = "hunter2-never-shown"
UPSTREAMS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pcap-receiver-upstreams"
# Where mongo-java-server is, with what it needs: `mvn dependency:copy-dependencies` of de.bwaldvogel:mongo-java-server:1.46.0.
JAVA_SERVER = os.environ.get("MONGO_JAVA_SERVER", "/opt/mongo-java-server")

ROWS = "db.response.returned_rows"
BATCH = "db.operation.batch.size"
# What all collections of these workloads begin with.
COLLECTION = "carts"


def line(operation: str, target: str | None = None, namespace: str | None = None, **more: Any) -> dict[str, Any]:
    return {"operation": operation, "target": target, "namespace": namespace, "status": None, "outcome": "ok", **more}


class Account(monitoring.CommandListener):
    """What pymongo publishes of each command."""

    def __init__(self) -> None:
        self.lines: Expected = []
        self.took_us: list[int] = []
        self.began: dict[int, dict[str, Any]] = {}

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        name, command = event.command_name, event.command
        target = command.get("collection") if name == "getMore" else command.get(name)
        one = line(name, target if str(target).startswith(COLLECTION) else None, event.database_name)
        documents = [command[key] for key in ("documents", "updates", "deletes", "ops") if isinstance(command.get(key), list)]
        if documents and len(documents[0]) != 1:
            one[BATCH] = len(documents[0])
        if command.get("writeConcern", {}).get("w") == 0:
            one["outcome"] = "one_way"
        self.began[event.request_id] = one

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        one, reply = self.began.pop(event.request_id), event.reply
        cursor = reply.get("cursor") if isinstance(reply, dict) else None
        if isinstance(cursor, dict) and ("firstBatch" in cursor or "nextBatch" in cursor):
            one[ROWS] = len(cursor.get("firstBatch", cursor.get("nextBatch")))
        errors = reply.get("writeErrors") or ([reply["writeConcernError"]] if "writeConcernError" in reply else [])
        if errors:
            one.update(status=str(errors[0]["code"]), outcome="error")
        self.lines.append(one)
        self.took_us.append(event.duration_micros)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        one = self.began.pop(event.request_id)
        code = event.failure.get("code")  # mongo-java-server has errors without one
        one.update(status=None if code is None else str(code), outcome="error")
        self.lines.append(one)
        self.took_us.append(event.duration_micros)


class Heartbeats(monitoring.ServerHeartbeatListener):
    """How many hellos of the connection that watches were answered."""

    def __init__(self) -> None:
        self.count = 0

    def started(self, event: monitoring.ServerHeartbeatStartedEvent) -> None:
        pass

    def succeeded(self, event: monitoring.ServerHeartbeatSucceededEvent) -> None:
        self.count += 1

    def failed(self, event: monitoring.ServerHeartbeatFailedEvent) -> None:
        pass


def client(port: int, account: Account | None, **settings: Any) -> MongoClient[dict[str, Any]]:
    """A client of one connection, and another one that watches."""
    listeners = [account] if account else []
    usual = {"maxPoolSize": 1, "retryWrites": False, "retryReads": False, "directConnection": True, "event_listeners": listeners}
    return MongoClient("127.0.0.1", port, **{**usual, **settings})


def ferretdb_program() -> str:
    found = shutil.which("ferretdb-lab", path=f"{os.environ.get('PATH', '')}:{UPSTREAMS}")
    assert found is not None, "ferretdb-lab is missing: ./dev upstreams ferretdb-lab"
    return found


@contextlib.contextmanager
def server(command: list[str], port: int) -> Iterator[int]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def ferretdb() -> Iterator[int]:
    with tempfile.TemporaryDirectory(prefix="record-") as folder:
        port = free_port()
        with server([ferretdb_program(), f"127.0.0.1:{port}", folder], port):
            yield port


JAVA_MAIN = """
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
public class Lab {
  public static void main(String[] a) throws Exception {
    MongoServer server = new MongoServer(new MemoryBackend());
    server.bind("127.0.0.1", Integer.parseInt(a[0]));
    Thread.currentThread().join();
  }
}
"""


@contextlib.contextmanager
def java_server() -> Iterator[int]:
    with tempfile.TemporaryDirectory(prefix="record-") as folder:
        source = Path(folder, "Lab.java")
        source.write_text(JAVA_MAIN)
        port = free_port()
        with server(["java", "-cp", f"{JAVA_SERVER}/*", str(source), str(port)], port):
            yield port


class Compressing:
    """A relay in front of a server that compresses nothing: it offers a compressor in the server's name, and compresses with the
    real library what the server says; what the client compressed it inflates."""

    NAMES = ("noop", "snappy", "zlib", "zstd")

    def __init__(self, target: int, compressor: str) -> None:
        self.target = target
        self.number = self.NAMES.index(compressor)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                upstream = socket.create_connection(("127.0.0.1", self.target))
                for one in (client, upstream):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                packed: set[int] = set()
                threading.Thread(target=self._carry, args=(client, upstream, self._inflate, packed), daemon=True).start()
                threading.Thread(target=self._carry, args=(upstream, client, self._compress, packed), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, change: Change, packed: set[int]) -> None:
        stream = source.makefile("rb")
        with contextlib.suppress(OSError):
            while head := stream.read(4):
                message = head + stream.read(struct.unpack("<i", head)[0] - 4)
                sink.sendall(change(message, packed))
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def _inflate(self, message: bytes, packed: set[int]) -> bytes:
        _, number, to, opcode = struct.unpack_from("<iiii", message)
        if opcode != 2012:
            return message
        packed.add(number)
        opcode, size, compressor = struct.unpack_from("<iiB", message, 16)
        inside = self.unpack(compressor, message[25:])
        assert len(inside) == size
        return struct.pack("<iiii", 16 + size, number, to, opcode) + inside

    def _compress(self, message: bytes, packed: set[int]) -> bytes:
        _, number, to, opcode = struct.unpack_from("<iiii", message)
        if to not in packed:
            return self._offer(message)
        inside = message[16:]
        made = self.pack(self.number, inside)
        return struct.pack("<iiiiiiB", 25 + len(made), number, to, 2012, opcode, len(inside), self.number) + made

    def _offer(self, message: bytes) -> bytes:
        """The answer to a hello, with `compression` in it."""
        import bson

        _, number, to, opcode = struct.unpack_from("<iiii", message)
        front = 20 + 1 if opcode == 2013 else 36
        answer = bson.decode(message[front:])
        if "maxWireVersion" not in answer:
            return message
        answer["compression"] = [self.NAMES[self.number]]
        inside = message[16:front] + bson.encode(answer)
        return struct.pack("<iiii", 16 + len(inside), number, to, opcode) + inside

    @staticmethod
    def pack(compressor: int, inside: bytes) -> bytes:
        if compressor == 1:
            return bytes(snappy.compress(inside))
        if compressor == 2:
            return zlib.compress(inside)
        from backports import zstd

        return bytes(zstd.compress(inside))

    @staticmethod
    def unpack(compressor: int, made: bytes) -> bytes:
        if compressor == 0:
            return made
        if compressor == 1:
            return bytes(snappy.uncompress(made))
        if compressor == 2:
            return zlib.decompress(made)
        from backports import zstd

        return bytes(zstd.decompress(made))
