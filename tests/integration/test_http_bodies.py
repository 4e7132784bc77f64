"""Bodies and their framing between real clients and servers: what both ends say happened is what is told.

curl 7.88, Node.js, and the HTTP server of Python's library, which goes on with a connection on which it refused a body.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.integration.namespaces import APPLICATION
from tests.integration.servers import HERE, Program, Site, Span, need, program, wait_for
from tests.integration.test_main_job import settled_spans

PORT = "8080"


def account(server: Program) -> list[tuple[Any, ...]]:
    """What the server says: method, path, status, bytes of the body that it read (None: not one)."""
    rows = [json.loads(line) for line in server.output().splitlines() if line.startswith("{")]
    return [(row["method"], row["path"], row["status"], row["body"]) for row in rows]


def told(spans: list[Span]) -> list[tuple[Any, ...]]:
    names = ("http.request.method", "url.path", "http.response.status_code", "http.request.body.size")
    ordered = sorted(spans, key=lambda span: int(span["startTimeUnixNano"]))
    return [tuple(span["attributes"].get(name) for name in names) for span in ordered]


def test_node_server_that_doubles_transfer_encoding(site: Site) -> None:
    need("node")
    collector = site.collector()
    receiver = site.receiver()
    server = site.background([program("node"), str(HERE / "doubled.js"), APPLICATION, PORT], site.application, "ready")

    statuses = [200, 404, 200, 500, 200]
    urls = [f"http://{APPLICATION}:{PORT}/{status}/{i}" for i, status in enumerate(statuses)]
    said = site.client.run(program("curl"), "-sS", "-w", " %{http_code} %{size_download} %{num_connects}\n", *urls).stdout

    assert said.split("\n")[:-1] == [f"hello world {status} 11 {0 if i else 1}" for i, status in enumerate(statuses)]
    spans = settled_spans(receiver, collector, len(statuses))
    assert [row[:3] for row in told(spans)] == [row[:3] for row in account(server)]
    assert [span["attributes"]["http.response.body.size"] for span in spans] == [11] * len(statuses)
    assert receiver.own("decode_errors_total", reason="coding after chunked") == len(statuses)
    assert receiver.own("roundtrips_total", outcome="lost") == 0


def test_curl_whose_body_is_refused_goes_on_with_the_connection(site: Site) -> None:
    """417: curl asks again without `Expect`. 401: with credentials. Then it goes on; in between, bodies that are taken."""
    collector = site.collector()
    receiver = site.receiver()
    server = site.background([sys.executable, str(HERE / "refuse.py"), APPLICATION, PORT], site.application, "ready")
    body = site.folder / "body"
    body.write_bytes(b"x" * 1_200_000)  # curl waits for 100 before it sends more than 1 MiB
    root = f"http://{APPLICATION}:{PORT}"
    common = ("-sS", "-w", "%{http_code} %{num_connects}\n")
    upload = (*common, "--expect100-timeout", "20", "-T", str(body))

    said = site.client.run(
        program("curl"),
        *(*upload, f"{root}/up/417"),
        *("--next", *upload, f"{root}/take/1"),
        *("--next", *upload, "--anyauth", "--user", "a:b", f"{root}/up/401"),
        *("--next", *upload, f"{root}/up/403"),
        *("--next", *common, f"{root}/last"),
    ).stdout

    rows = account(server)
    assert [row[1] for row in rows if row[3] is None and row[0] == "PUT"] == ["/up/417", "/up/401", "/up/403"], said
    spans = settled_spans(receiver, collector, len(rows))
    assert told(spans) == rows
    assert receiver.own("matcher_unmatched_total") == 0


def test_slow_upload_takes_longer_than_the_timeout(site: Site) -> None:
    """`curl --limit-rate`: never silent for as long as the timeout, and three times as long in all."""
    need("node")
    collector = site.collector()
    receiver = site.receiver("receivers.pcap.request_timeout=4s")
    server = site.background([program("node"), str(HERE / "doubled.js"), APPLICATION, PORT], site.application, "ready")
    body = site.folder / "body"
    body.write_bytes(b"x" * 480_000)

    url = f"http://{APPLICATION}:{PORT}/201"
    said = site.client.run(
        *(program("curl"), "-sS", "--limit-rate", "40k", "-H", "Expect:", "-w", "%{http_code} %{size_upload} %{time_total}\n"),
        *("-T", str(body), f"{url}/a", "--next", "-sS", "-H", "Transfer-Encoding: chunked", "-H", "Expect:", "--limit-rate", "40k"),
        *("-w", "%{http_code} %{size_upload} %{time_total}\n", "-T", str(body), f"{url}/b"),
        timeout_s=120,
    ).stdout

    spans = settled_spans(receiver, collector, 2)
    assert told(spans) == account(server) == [("PUT", "/201/a", 201, 480_000), ("PUT", "/201/b", 201, 480_000)]
    by_length, in_chunks = (line.split() for line in said.splitlines())
    assert by_length[:2] == ["201", "480000"]
    assert in_chunks[0] == "201" and int(in_chunks[1]) > 480_000  # curl counts the framing of chunks
    served = [json.loads(line)["seconds"] for line in server.output().splitlines() if line.startswith("{")]
    for span, seconds in zip(spans, served, strict=True):
        took_s = (int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])) / 1e9
        assert seconds > 8 and abs(took_s - seconds) < 0.5
    wait_for(lambda: receiver.own("roundtrips_total", outcome="ok") == 2, "two good roundtrips")
