"""A web application of the usual kind: WSGI, SQLAlchemy, and OpenTelemetry's instrumentation of both with sqlcommenter on.

Its own spans go nowhere; what the receiver tells, beside the application and its database, is one trace for each request: the
request that came with a traceparent, and the statements whose comments carry it on. Needs root, the Collector, and PostgreSQL or
MariaDB (Debian packages postgresql-15, mariadb-server-core).
"""

from __future__ import annotations

import os
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from tests.integration.namespaces import APPLICATION
from tests.integration.servers import Program, Site, Span, need, wait_for
from tests.integration.test_postgresql import VECTORS, folder, is_up, server

__all__ = ["folder"]  # a fixture

REQUESTS = 20
SERVER, CLIENT = 2, 3  # Span.SpanKind

APPLICATION_CODE = r"""
import contextlib, sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from opentelemetry import trace
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import TracerProvider
from sqlalchemy import String, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

class Base(DeclarativeBase): pass
class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    def __init__(self, name):
        self.name = name

class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *more): pass

@contextlib.contextmanager
def database(kind):
    if kind == "postgresql":
        yield "postgresql+psycopg://lab@127.0.0.1:5432/postgres?sslmode=disable"
    else:
        sys.path.insert(0, sys.argv[2])
        from mysql_account import SECRET, USER, mariadb
        with mariadb() as port:
            yield f"mysql+pymysql://{USER}:{SECRET}@127.0.0.1:{port}/shop"

def answer(environ, start_response):
    with Session(engine) as session:
        session.add(Item(environ["QUERY_STRING"]))
        session.commit()
        found = session.scalars(select(Item).where(Item.name == environ["QUERY_STRING"])).all()
    body = str(len(found)).encode()
    start_response("200 OK", [("Content-Length", str(len(body))), ("Content-Type", "text/plain")])
    return [body]

trace.set_tracer_provider(TracerProvider())
with database(sys.argv[1]) as url:
    engine = create_engine(url)
    SQLAlchemyInstrumentor().instrument(engine=engine, enable_commenter=True)
    Base.metadata.create_all(engine)
    server = make_server("0.0.0.0", 8080, OpenTelemetryMiddleware(answer), Server, Quiet)
    print("ready", flush=True)
    server.serve_forever()
"""


def told(span: Span) -> tuple[int, str, str]:
    attributes = span["attributes"]
    return span["kind"], str(attributes.get("db.system.name", "")), str(attributes.get("db.query.summary", span["name"]))


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_one_trace_from_the_request_to_its_statements(site: Site, folder: Path, kind: str) -> None:
    for module in ("sqlalchemy", "opentelemetry.instrumentation.sqlalchemy", "opentelemetry.instrumentation.wsgi"):
        pytest.importorskip(module, reason=f"NOT RUN: {module} is missing (pip install '.[test]')")
    if kind == "postgresql":
        database = Program(server(folder, "127.0.0.1"), site.application, folder)
        site.programs.append(database)
        database.start()
        wait_for(lambda: is_up(site.application, folder), "postgres")
    else:
        need("mariadbd", "mariadb-install-db")
    collector = site.collector()
    receiver = site.receiver()  # it sees the logins, which say whether it is MySQL or MariaDB
    site.background([sys.executable, "-c", APPLICATION_CODE, kind, os.fspath(VECTORS)], site.application, "ready")

    trace_ids = [f"{number:032x}" for number in range(1, REQUESTS + 1)]
    for number, trace_id in enumerate(trace_ids):
        header = f"traceparent: 00-{trace_id}-00f067aa0ba902b7-01"
        site.client.run("curl", "-sSf", "-H", header, f"http://{APPLICATION}:8080/?item-{number}")

    def statements() -> list[Span]:
        return [span for span in collector.spans() if span["traceId"] in trace_ids and span["kind"] == CLIENT]

    wait_for(lambda: len(statements()) >= 2 * REQUESTS, "the statements' spans")
    traces: dict[str, list[Span]] = defaultdict(list)
    for span in collector.spans():
        traces[span["traceId"]].append(span)
    assert trace_ids == sorted(trace_ids) and set(trace_ids) <= traces.keys()
    expected = Counter([(SERVER, "", "GET /"), (CLIENT, kind, "INSERT item"), (CLIENT, kind, "SELECT item")])
    for trace_id in trace_ids:
        spans = traces[trace_id]
        assert Counter(map(told, spans)) == expected
        (request,) = (span for span in spans if span["kind"] == SERVER)
        assert request["parentSpanId"] == "00f067aa0ba902b7"
        for span in spans:
            assert "traceparent" not in str(span["attributes"])
            assert "item-" not in str(span["attributes"].get("db.query.text", ""))
            # A statement is a child of the application's own span of it, which is in no way that of the request.
            assert span is request or span["parentSpanId"] not in ("", request["parentSpanId"], request["spanId"])
    assert receiver.packets_dropped() == 0
