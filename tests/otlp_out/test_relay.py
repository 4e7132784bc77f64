"""OTLP through an HTTP proxy: what the proxy is asked, what arrives, and what is said when it does not."""

import logging
import socket
import ssl
import subprocess
import sys
import threading
import time

import grpc
import pytest

from receiver.config import Duration, OtlpGrpcExporter, Tls
from receiver.export.own import OwnSockets, packed
from receiver.otlp_out.client import OtlpExporter
from receiver.otlp_out.relay import MAX_HEAD_BYTES
from tests.export.counted import points_of, spans_of
from tests.export.http_proxy import HttpProxy
from tests.otlp_out.test_client import (  # noqa: F401 - certificate is a fixture
    FAST,
    RESOURCE,
    Collector,
    blob,
    certificate,
    exporter,
    free_port,
    serve,
    snapshot,
    wait_for,
)


def through(proxy_port, port, userinfo="", scheme="http"):
    return {"endpoint": f"localhost:{port}", "proxy_url": f"{scheme}://{userinfo}127.0.0.1:{proxy_port}"}


def test_everything_goes_through_the_proxy_and_arrives_once():
    collector, proxy = Collector(), HttpProxy()
    with serve(collector) as port, proxy.serve() as proxy_port, exporter(0, **through(proxy_port, port)) as out:
        for n in range(20):
            out.export_spans(blob(str(n), "x" * 100_000), 2)
            out.export_metrics(snapshot())
        out.shutdown(20)
        assert spans_of(out).sent == 40
        assert points_of(out).sent == 60
    assert [name for name in collector.spans if len(name) < 9] == [str(n) for n in range(20)]
    assert collector.points == 60
    assert [head.split("\r\n")[:2] for head in proxy.heads] == [[f"CONNECT localhost:{port} HTTP/1.1", f"Host: localhost:{port}"]]


def test_sockets_to_the_proxy_are_ours():
    collector, proxy, own = Collector(), HttpProxy(), OwnSockets()
    with serve(collector) as port, proxy.serve() as proxy_port:
        config = OtlpGrpcExporter(**through(proxy_port, port), tls=Tls(insecure=True), retry_on_failure=FAST)
        out = OtlpExporter("otlp_grpc/x", config, RESOURCE, "1.2.3", own)
        out.start()
        out.export_spans(blob("a"), 1)
        wait_for(lambda: spans_of(out).sent == 1)
        (peer,) = proxy.peers
        here = packed("127.0.0.1")
        assert own.is_own(here, peer, here, proxy_port, True, time.time_ns())
        assert not own.is_own(here, peer ^ 1, here, proxy_port, True, time.time_ns())  # the application uses it as well
        out.shutdown(1)


def test_tls_is_between_us_and_the_collector(certificate):  # noqa: F811 - the fixture above
    key, cert = (certificate / "key.pem").read_bytes(), (certificate / "cert.pem").read_bytes()
    collector, proxy = Collector(), HttpProxy()
    tls = Tls(ca_file=str(certificate / "cert.pem"), server_name_override="collector.test")
    with (
        serve(collector, credentials=grpc.ssl_server_credentials([(key, cert)])) as port,
        proxy.serve() as proxy_port,
        exporter(0, tls=tls, **through(proxy_port, port)) as out,
    ):
        out.export_spans(blob("a"), 1)
        wait_for(lambda: spans_of(out).sent == 1)
    assert collector.spans == ["a"]


def test_name_of_the_certificate_is_that_of_the_endpoint(certificate, caplog):  # noqa: F811 - the fixture above
    key, cert = (certificate / "key.pem").read_bytes(), (certificate / "cert.pem").read_bytes()
    proxy, tls = HttpProxy(), Tls(ca_file=str(certificate / "cert.pem"))
    with (
        serve(Collector(), credentials=grpc.ssl_server_credentials([(key, cert)])) as port,
        proxy.serve() as proxy_port,
        exporter(0, tls=tls, **through(proxy_port, port)) as out,
    ):
        out.export_spans(blob("a"), 1)
        wait_for(lambda: spans_of(out).retries >= 2)
    assert f"localhost:{port} its certificate is for another name: set tls.server_name_override" in caplog.text


def test_proxy_behind_tls(certificate, monkeypatch):  # noqa: F811 - the fixture above
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **more: resolve("127.0.0.1" if host == "collector.test" else host, *rest, **more)
    )
    collector, proxy = Collector(), HttpProxy()
    with serve(collector) as port, proxy.serve(context) as proxy_port:
        settings = {"endpoint": f"localhost:{port}", "proxy_url": f"https://collector.test:{proxy_port}"}
        with exporter(0, **settings) as out:
            out.export_spans(blob("a"), 1)
            wait_for(lambda: spans_of(out).sent == 1)
    assert collector.spans == ["a"]


def test_proxy_with_credentials_which_are_never_said(caplog):
    caplog.set_level(logging.DEBUG)
    collector, proxy = Collector(), HttpProxy(credentials="us er:hunt@er2")
    with serve(collector) as port, proxy.serve() as proxy_port:
        with exporter(0, **through(proxy_port, port, "us%20er:hunt%40er2@")) as out:
            out.export_spans(blob("a"), 1)
            wait_for(lambda: spans_of(out).sent == 1)
        with exporter(0, **through(proxy_port, port, "us%20er:hunter3@")) as out:
            out.export_spans(blob("a"), 1)
            wait_for(lambda: spans_of(out).retries >= 2)
    assert collector.spans == ["a"]
    answer = "with 407 Proxy Authentication Required"
    assert f"the proxy 127.0.0.1:{proxy_port} answers CONNECT localhost:{port} {answer}" in caplog.text
    assert "hunt" not in caplog.text


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 403 Access denied\x1b[2J\r\n\r\n", "with 403 Access denied [2J"),
        (b"SSH-2.0-x\r\n\r\n", "with nothing"),
        (b"x" * (MAX_HEAD_BYTES + 1), "does not answer CONNECT as a proxy does"),
    ],
)
def test_proxy_that_refuses(answer, said, caplog):
    proxy = HttpProxy(answer=answer)
    with proxy.serve() as proxy_port, exporter(0, **through(proxy_port, 4317)) as out:
        out.export_spans(blob("a"), 1)
        wait_for(lambda: spans_of(out).retries >= 2)
    assert said in caplog.text


def test_proxy_that_is_not_there(caplog):
    proxy_port = free_port()
    with exporter(0, **through(proxy_port, 4317)) as out:
        out.export_spans(blob("a"), 1)
        wait_for(lambda: spans_of(out).retries >= 2)
    assert f"the proxy 127.0.0.1:{proxy_port} refuses the connection" in caplog.text


def test_proxy_that_comes_back():
    collector, proxy = Collector(), HttpProxy()
    with serve(collector) as port:
        with proxy.serve() as proxy_port:
            pass
        with exporter(0, **through(proxy_port, port), timeout=Duration(5)) as out:
            out.export_spans(blob("a"), 1)
            wait_for(lambda: spans_of(out).retries >= 1)
            listener = socket.create_server(("127.0.0.1", proxy_port))
            threading.Thread(target=proxy._accept, args=(listener, None), daemon=True).start()
            wait_for(lambda: spans_of(out).sent == 1)
            listener.close()
    assert collector.spans == ["a"]


def test_a_stranger_is_not_carried_anywhere():
    proxy = HttpProxy()
    with proxy.serve() as proxy_port, exporter(0, **through(proxy_port, 4317)) as out:
        name = out._relay.target.removeprefix("unix-abstract:")
        code = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect('\\0'+sys.argv[1]); print(len(s.recv(1)))"
        assert subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=True).stdout == "0\n"
    assert proxy.heads == []
