"""Which proxy lies before an endpoint. GO has the answers of golang.org/x/net/http/httpproxy v0.57.0, which was asked each case."""

from __future__ import annotations

import pytest

from receiver.config import endpoint_hosts
from receiver.settings.proxy import Proxies, read_proxy

GO = [
    ("", "http://example.com/", True),
    ("example.com", "http://example.com/", False),
    (".example.com", "http://example.com/", True),
    ("example.com", "http://foo.example.com/", False),
    (".example.com", "http://foo.example.com/", False),
    ("*.example.com", "http://foo.example.com/", False),
    ("*.example.com", "http://example.com/", True),
    ("ample.com", "http://example.com/", True),
    ("EXAMPLE.com", "http://example.COM/", False),
    ("example.com:80", "http://example.com/", False),
    ("example.com:81", "http://example.com/", True),
    ("example.com:8428", "http://foo.example.com:8428/", False),
    (".example.com:8428", "http://foo.example.com:8428/", False),
    ("a.b, example.com ,c", "http://example.com:1/", False),
    ("*", "http://example.com/", False),
    ("x,*", "http://10.0.0.1/", False),
    ("10.0.0.0/8", "http://10.1.2.3/", False),
    ("10.0.0.0/8", "http://11.1.2.3/", True),
    ("10.0.0.1/8", "http://10.1.2.3/", False),
    ("10.1.2.3", "http://10.1.2.3/", False),
    ("10.1.2.3", "http://10.1.2.33/", True),
    ("10.1.2.3:80", "http://10.1.2.3/", False),
    ("10.1.2.3:81", "http://10.1.2.3/", True),
    ("fd00::/8", "http://[fd00::1]:9/", False),
    ("fd00::1", "http://[fd00::1]:9/", False),
    ("[fd00::1]:9", "http://[fd00::1]:9/", False),
    ("[fd00::1]:8", "http://[fd00::1]:9/", True),
    ("FD00:0::1", "http://[fd00::1]:9/", False),
    ("", "http://localhost/", False),
    ("", "http://127.0.0.1:8428/", False),
    ("", "http://127.9.9.9/", False),
    ("", "http://[::1]:1/", False),
    ("", "http://localhost.example/", True),
    (":80", "http://example.com/", True),
    (",,", "http://example.com/", True),
    ("com", "http://example.com/", False),
    ("10.0.0.0/8", "http://ten.example/", True),
    ("::ffff:10.1.2.3", "http://10.1.2.3/", False),
    ("10.0.0.0/40", "http://10.0.0.1/", True),
    ("*.", "http://example.com/", True),
    ("*example.com", "http://example.com/", True),
]


@pytest.mark.parametrize(("exceptions", "url", "proxied"), GO)
def test_no_proxy_as_go_reads_it(exceptions: str, url: str, proxied: bool) -> None:
    warnings: list[str] = []
    for variable in ("NO_PROXY", "no_proxy"):
        proxies = Proxies({"HTTP_PROXY": "http://p:3128", variable: exceptions}, warnings)
        assert (proxies.of_url(url) == "http://p:3128") == proxied
    assert not warnings


@pytest.mark.parametrize(
    ("exceptions", "url"),
    [("[fd00::1]", "http://[fd00::1]:9/"), ("", "http://LOCALHOST/"), ("", "http://x.localhost/"), ("", "http://0.0.0.0:9/"),
     ("", "http://[::ffff:127.0.0.1]/"), ("example.com", "http://example.com./")],
)
def test_no_proxy_where_go_would_take_one(exceptions: str, url: str) -> None:
    assert Proxies({"HTTP_PROXY": "http://p:3128", "NO_PROXY": exceptions}, []).of_url(url) == ""


def test_capitals_go_first_and_an_empty_variable_is_none() -> None:
    environ = {"HTTP_PROXY": "", "http_proxy": "http://small:1", "HTTPS_PROXY": "http://large:1", "https_proxy": "http://small:2"}
    proxies = Proxies(environ, [])
    assert proxies.of_url("http://vm/") == "http://small:1"
    assert proxies.of_url("https://vm/") == "http://large:1"


@pytest.mark.parametrize(
    ("environ", "plain", "tls"),
    [
        ({"HTTPS_PROXY": "s:1", "HTTP_PROXY": "p:1"}, "http://s:1", "http://s:1"),  # as grpc-go, whose target is always https
        ({"HTTP_PROXY": "p:1"}, "http://p:1", ""),
        ({"http_proxy": "p:1"}, "http://p:1", ""),
        ({"grpc_proxy": "g:1", "HTTPS_PROXY": "s:1"}, "http://g:1", "http://g:1"),  # gRPC, doc/environment_variables.md
        ({"HTTPS_PROXY": "s:1", "NO_PROXY": "collector"}, "", ""),
        ({"HTTPS_PROXY": "s:1", "NO_PROXY": "collector", "no_grpc_proxy": "x"}, "http://s:1", "http://s:1"),
        ({"ALL_PROXY": "a:1"}, "", ""),  # neither Go nor gRPC reads it
    ],
)
def test_proxy_of_grpc(environ: dict[str, str], plain: str, tls: str) -> None:
    proxies = Proxies(environ, [])
    assert proxies.of_grpc("collector", 4317, tls=False) == plain
    assert proxies.of_grpc("collector", 4317, tls=True) == tls


def test_what_is_no_proxy_is_said_once_and_without_its_password() -> None:
    warnings: list[str] = []
    proxies = Proxies({"HTTPS_PROXY": "socks5://user:secret@proxy:1080", "HTTP_PROXY": "http://user:secret@proxy:x"}, warnings)
    for _ in range(2):
        assert proxies.of_url("https://vm/") == proxies.of_url("http://vm/") == proxies.of_grpc("c", 1, tls=True) == ""
    assert warnings == [
        "HTTPS_PROXY is ignored: a proxy of this kind is not spoken, takes http:// or https://",
        "HTTP_PROXY is ignored: takes the URL of a proxy, as http://proxy:3128",
    ]


@pytest.mark.parametrize(
    ("text", "url"),
    [("proxy", "http://proxy:80"), ("user:p%40@proxy:1", "http://user:p%40@proxy:1"), ("https://proxy", "https://proxy:443"),
     ("HTTP://[fd00::1]:3128/", "http://[fd00::1]:3128")],
)
def test_proxy_as_url(text: str, url: str) -> None:
    assert read_proxy(text) == url


@pytest.mark.parametrize(
    ("endpoint", "hosts"),
    [
        ("collector:4317", (("collector", 4317),)),
        ("[::1]:4317", (("::1", 4317),)),
        ("http://collector", (("collector", 4317),)),
        ("https://[fd00::1]:1/x", (("fd00::1", 1),)),
        ("dns:///collector:4317", (("collector", 4317),)),
        ("dns:collector:4317", (("collector", 4317),)),
        ("dns://8.8.8.8/collector:4317", (("collector", 4317),)),
        ("ipv4:10.0.0.1:1,10.0.0.2:2", (("10.0.0.1", 1), ("10.0.0.2", 2))),
        ("ipv6:[fd00::1]:1", (("fd00::1", 1),)),
        ("unix:///run/x.sock", ()),
        ("unix-abstract:x", ()),
    ],
)
def test_hosts_of_an_endpoint(endpoint: str, hosts: tuple[tuple[str, int], ...]) -> None:
    assert endpoint_hosts(endpoint) == hosts
