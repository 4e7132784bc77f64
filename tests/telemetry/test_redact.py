"""Redaction: what the semantic conventions ask for, what may hide elsewhere in a URL, and any bytes at all."""

from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.telemetry.redact import Redactor


def path(text: bytes) -> str:
    padded = b"?@" + text + b"@&"
    return Redactor().path(padded, 2, 2 + len(text)).decode("ascii")


def query(text: str) -> str:
    return Redactor().query(text.encode(), 0, len(text.encode())).decode("ascii")


def url(text: str) -> str:
    """As decoders divide a target, put together again."""
    before, mark, behind = text.partition("?")
    return path(before.encode()) + mark + query(behind)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        # the conventions' own example
        ("https://username:password@www.example.com/", "https://REDACTED:REDACTED@www.example.com/"),
        ("https://username@www.example.com/", "https://REDACTED:REDACTED@www.example.com/"),
        ("http://a:b@c@host:80/x", "http://REDACTED:REDACTED@host:80/x"),
        ("http://a:b;c=d@host", "http://REDACTED:REDACTED@host"),
        ("//u:p@host/x", "//REDACTED:REDACTED@host/x"),
        ("//u@host/x", "//REDACTED:REDACTED@host/x"),
        ("u:p@host:443", "REDACTED:REDACTED@host:443"),
        ("u@host:443", "REDACTED:REDACTED@host:443"),
        ("/proxy/http://u:p@host/x", "/proxy/http://REDACTED:REDACTED@host/x"),
        ("/proxy/http://u@host/x", "/proxy/http://REDACTED:REDACTED@host/x"),
        ("/proxy/http:%2F%2Fu:p@host/x", "/proxy/REDACTED:REDACTED@host/x"),
        ("http:\\\\u:p@host\\x", "REDACTED:REDACTED@host\\x"),
        # no userinfo
        ("https://www.example.com/a/b", "https://www.example.com/a/b"),
        ("/user@example.com/x", "/user@example.com/x"),
        ("/@scope/package", "/@scope/package"),
        ("/a//b", "/a//b"),
        ("/", "/"),
        ("*", "*"),
        ("", ""),
        ("host:443", "host:443"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
    ],
)
def test_userinfo_goes_and_all_else_stays(text: str, wanted: str) -> None:
    assert url(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a=1&b=2", "a=REDACTED&b=REDACTED"),
        ("a=1&a=2", "a=REDACTED&a=REDACTED"),
        ("q=", "q="),
        ("", ""),
        ("&&a=1&", "&&a=REDACTED&"),
        ("a=b=c", "a=REDACTED"),
        ("a=b;c=d", "a=REDACTED"),  # ';' may be part of a password
        ("a=x%26b=y", "a=REDACTED"),
        ("flag", "REDACTED"),
        ("dG9rZW4==", "REDACTED"),
        ("eyJhbGciOiJIUzI1NiJ9=", "REDACTED"),
        ("k" * 64 + "=1", "k" * 64 + "=REDACTED"),
        ("k" * 65 + "=1", "REDACTED"),
        ("k" * 16 + "=", "k" * 16 + "="),
        ("k" * 17 + "=", "REDACTED"),
        ("=secret", "=REDACTED"),
        ("caf\xe9 \x00=1", "caf%C3%A9%20%00=REDACTED"),
        ("a=1?b=2", "a=REDACTED"),
    ],
)
def test_every_query_value_goes_and_names_stay(text: str, wanted: str) -> None:
    assert query(text) == wanted
    assert url("/p?" + text) == "/p?" + wanted


def test_path_parameters_are_values_too() -> None:
    assert url("/a;jsessionid=SECRET;v=1/b;x?q=1") == "/a;jsessionid=REDACTED;v=REDACTED/b;x?q=REDACTED"
    assert url("/a=b") == "/a=b"


def test_a_fragment_goes_whole() -> None:
    assert url("/a#access_token=SECRET") == "/a#REDACTED"
    assert url("/a#access_token=SECRET?x") == "/a#REDACTED?REDACTED"
    assert url("/a?b=1#SECRET") == "/a?b=REDACTED"
    assert url("/a#") == "/a#"


def test_path_leaves_a_question_mark_to_its_caller() -> None:
    assert Redactor().path(b"/a b\xff", 0, 5) == b"/a%20b%FF"


def test_redactions_are_counted() -> None:
    redactor = Redactor()
    redactor.path(b"http://u:p@h/;a=1#f", 0, 19)
    assert redactor.redactions == 3
    redactor.query(b"b=2&c=&d", 0, 8)
    assert redactor.redactions == 5


def test_a_text_of_the_limit_is_whole_and_one_byte_more_is_cut_and_counted() -> None:
    redactor = Redactor(limit=64)
    assert redactor.path(b"/" * 64, 0, 64) == b"/" * 64
    assert redactor.truncations == 0
    assert redactor.path(b"/" * 65, 0, 65) == b"/" * 64
    assert redactor.path(b"a" * 65, 0, 65) == b"a" * 64
    assert redactor.truncations == 2


@pytest.mark.parametrize(
    "piece", [b"/", b"//", b"@", b":@", b";", b";a=", b"&", b"a=&", b"=", b"?", b"#", b"%", b"\xff"]
)
def test_a_megabyte_of_anything_is_cut(piece: bytes) -> None:
    text = piece * (1_000_000 // len(piece))
    redactor = Redactor()
    for whole in (redactor.path(text, 0, len(text)), redactor.query(text, 0, len(text))):
        assert len(whole) <= 2048


def test_a_place_outside_the_buffer_is_refused() -> None:
    redactor = Redactor()
    for start, end in ((-1, 2), (0, 4), (2, 1)):
        for call in (redactor.path, redactor.query):
            with pytest.raises(IndexError):
                call(b"abc", start, end)


def test_a_limit_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="64"):
        Redactor(limit=63)


ODD = st.text(st.sampled_from("ab:@/;?#&=%2fF\\.[] \xe9\0"), max_size=40).map(str.encode)
# Alphabet of words apart from that of secrets: a secret that shows up cannot have come from elsewhere.
WORD = st.text("abcdef", min_size=1, max_size=8)
SECRET = st.text("0123456789", min_size=4, max_size=12)


@given(st.one_of(ODD, st.binary(max_size=60)))
def test_any_bytes_become_printable_ascii(raw: bytes) -> None:
    redactor = Redactor(limit=64)
    for call in (redactor.path, redactor.query):
        out = call(raw, 0, len(raw))
        assert len(out) <= 64
        assert all(0x20 < byte < 0x7F for byte in out)


@given(
    WORD, SECRET, SECRET, WORD, st.lists(st.tuples(WORD, SECRET), min_size=1, max_size=5), st.lists(WORD, max_size=4)
)
def test_secrets_never_show_and_the_rest_does(
    scheme: str, user: str, password: str, host: str, items: list[tuple[str, str]], pieces: list[str]
) -> None:
    path = "".join("/" + piece for piece in pieces)
    text = f"{scheme}://{user}:{password}@{host}{path}?" + "&".join(f"{name}={value}" for name, value in items)
    out = url(text)
    assert not any(c.isdigit() for c in out)
    parts = urlsplit(out)
    assert (parts.hostname, parts.path) == (host, path)
    assert parse_qsl(parts.query) == [(name, "REDACTED") for name, _ in items]


@given(ODD)
def test_where_nothing_is_secret_only_the_encoding_changes(raw: bytes) -> None:
    if not set(raw) & set(b"@;?#%"):
        redactor = Redactor()
        assert unquote_to_bytes(redactor.path(raw, 0, len(raw))) == raw
        assert redactor.redactions == 0
