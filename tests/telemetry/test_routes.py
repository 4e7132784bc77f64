"""Routes: the user's patterns, the guesses, and paths made to break either."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.route import parse_route
from receiver.telemetry.routes import RouteTable


def guess(path: str | bytes) -> str | None:
    return RouteTable().template(path.encode() if isinstance(path, str) else path)


def configured(patterns: list[str], path: str) -> str | None:
    table = RouteTable(patterns, heuristic=False)
    route = table.find(path.encode())
    assert route is None or route.configured
    return table.template(path.encode())


@pytest.mark.parametrize(
    "segment",
    [
        # numbers, dates, times, addresses
        "1",
        "0",
        "12345",
        "-5",
        "3.14",
        "2024-01-31",
        "2024-01-31T10:00:00Z",
        "20240131",
        "10:30",
        "10.0.0.1",
        "1,2,3",
        # UUIDs, with and without dashes, upper case
        "123e4567-e89b-12d3-a456-426614174000",
        "123E4567-E89B-12D3-A456-426614174000",
        "123e4567e89b12d3a456426614174000",
        # hashes and hexadecimal numbers: git, MD5 of '', ObjectId
        "ee27d07a",
        "d41d8cd98f00b204e9800998ecf8427e",
        "507f1f77bcf86cd799439011",
        "deadbeefdeadbeef",
        "00ff00ff",
        # tokens: ULID, nanoid, a JWT's head, base64, video id
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "V1StGXR8_Z5jdHi6B-myT",
        "eyJhbGciOiJIUzI1NiJ9",
        "SGVsbG9Xb3JsZFRoaXNJc0Jhc2U",
        "dQw4w9WgXcQ",
        "cus_4fdAW5ftNQow1a",
        # numbered things
        "order-12345",
        "user123",
        "INV-2024-001",
        "report_2024.pdf",
        # addresses, encoded text, things that no route has
        "someone@example.com",
        "hello%20world",
        "caf\xe9",
        "a b",
        "color=red",
        "{id}",
        "a'b",
        "w" * 41,
    ],
)
def test_what_looks_like_an_id_becomes_id(segment: str) -> None:
    assert guess(f"/things/{segment}/edit") == "/things/{id}/edit"


@pytest.mark.parametrize(
    "segment",
    [
        "users",
        "v1",
        "v12",
        "v1beta1",
        "oauth2",
        "s3",
        "ipv4",
        "utf-8",
        "utf-16",
        "base64",
        "p2p",
        "health-check",
        "getUserAccountSettings",
        "UserService",
        "api.example.com",
        "index.html",
        "logo.png",
        "robots.txt",
        ".well-known",
        "openid-configuration",
        "batch:get",
        "deadbeef",
        "facade",
        "a",
        "JSON",
        "some_snake_case_name",
        "_search",
        "~user",
        "w" * 40,
    ],
)
def test_what_looks_like_a_word_stays(segment: str) -> None:
    assert guess(f"/{segment}/list") == f"/{segment}/list"


@given(st.uuids(), st.integers(0, 2**63), st.binary(min_size=16, max_size=32))
def test_ids_of_every_kind_collapse(a: uuid.UUID, b: int, c: bytes) -> None:
    assert guess(f"/a/{a}/b/{b}/c/{c.hex()}") == "/a/{id}/b/{id}/c/{id}"


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/", "/"),
        ("//", "/"),
        ("/a/", "/a"),
        ("//a///b//", "/a/b"),
        ("/a;jsessionid=1/b;x", "/a/b"),
        ("/;a=b", "/"),
        ("/a?id=7", "/a"),
        ("/a#f", "/a"),
        ("/a\0b", "/{id}"),
        (b"/\xff\xfe/x", "/{id}/x"),
        ("/../etc/passwd", "/../etc/passwd"),
        ("/a/b/c/d/e/f/g/h", "/a/b/c/d/e/f/g/h"),
        ("/a/b/c/d/e/f/g/h/i", "/a/b/c/d/e/f/g/h/*"),
    ],
)
def test_the_shape_of_a_path(path: str | bytes, wanted: str) -> None:
    assert guess(path) == wanted


@pytest.mark.parametrize("path", ["", "*", "host:443", "http://host/a", "a/b", "?a"])
def test_what_is_no_path_has_no_route(path: str) -> None:
    table = RouteTable(["/*", "/"])
    assert table.find(path.encode()) is None
    assert table.find(path.encode()) is None


def test_long_words_end_a_route_before_200_bytes() -> None:
    words = "/".join("ghijklmnop"[i] * 40 for i in range(8))
    assert guess("/" + words) == "/" + "/".join("ghij"[i] * 40 for i in range(4)) + "/*"


def test_templates_are_capped_and_overflow_is_counted() -> None:
    table = RouteTable(templates_max=3)
    for name in ("a", "b", "c"):
        assert table.template(f"/{name}".encode()) == f"/{name}"
    assert table.overflowed == 0
    route = table.find(b"/d")
    assert route is not None
    assert (route.text, route.configured) == ("/**", False)
    assert table.overflowed == 1
    assert table.template(b"/a") == "/a"
    assert table.template(b"/a/") == "/a"
    assert table.overflowed == 1


def test_paths_that_the_server_did_not_know_use_up_nothing() -> None:
    table = RouteTable(templates_max=2)
    for i in range(100):
        assert table.template(b"/scan" + bytes((97 + i % 26,)) * (1 + i // 26), learn=False) == "/**"
    assert table.template(b"/users/1") == "/users/{id}"
    assert table.template(b"/users/2", learn=False) == "/users/{id}"
    assert table.template(b"/users/3") == "/users/{id}"


def test_the_cache_forgets_and_answers_stay_the_same() -> None:
    table = RouteTable(["/files/*"])
    for _ in range(2):
        for i in range(10_000):
            assert table.template(b"/users/%d" % i) == "/users/{id}"
            assert table.template(b"/files/%d" % i) == "/files/*"
    assert table.template(b"/users/1") is table.template(b"/users/2")


PATTERNS = [
    "/",
    "/users",
    "/users/{id}",
    "/users/me",
    "/users/{id}/orders/{order}",
    "/files/*",
    "/files/{name}/meta",
    "/v{version}/x",
    "/Users({id})",
    "/docs/{name}.html",
    "/docs/{name}",
    "/caf\xe9/{x}",
    "/caf%C3%A9-{x}",
    "/trailing/",
]


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/", "/"),
        ("/users", "/users"),
        ("/users/", "/users"),
        ("//users", "/users"),
        ("/users;a=b", "/users"),
        ("/users?x=1", "/users"),
        ("/users/7", "/users/{id}"),
        ("/users/words-too", "/users/{id}"),
        ("/users/%20", "/users/{id}"),
        ("/users/me", "/users/me"),
        ("/users/%6de", "/users/me"),
        ("/users/me/orders/1", "/users/{id}/orders/{order}"),  # back from the literal
        ("/users/7/orders", None),
        ("/users/7/orders/8/9", None),
        ("/files", None),
        ("/files/a", "/files/*"),
        ("/files/a/b/c", "/files/*"),
        ("/files/a/meta", "/files/{name}/meta"),
        ("/files/a/meta/b", "/files/*"),
        ("/v2/x", "/v{version}/x"),
        ("/v/x", None),
        ("/Users(7)", "/Users({id})"),
        ("/Users()", None),
        ("/docs/a.html", "/docs/{name}.html"),
        ("/docs/.html", "/docs/{name}"),
        ("/docs/a.txt", "/docs/{name}"),
        ("/caf%C3%A9/1", "/caf\xe9/{x}"),
        ("/caf\xe9/1", "/caf\xe9/{x}"),
        ("/caf\xe9-1", "/caf%C3%A9-{x}"),
        ("/trailing", "/trailing/"),
        ("/unknown", None),
        ("/USERS", None),
    ],
)
def test_patterns(path: str, wanted: str | None) -> None:
    assert configured(PATTERNS, path) == wanted
    assert configured(PATTERNS[::-1], path) == wanted


def test_patterns_win_over_the_heuristic() -> None:
    table = RouteTable(["/users/me", "/a/{x}"])
    assert table.template(b"/users/me") == "/users/me"
    assert table.template(b"/a/words") == "/a/{x}"
    route = table.find(b"/users/7")
    assert route is not None
    assert (route.text, route.configured) == ("/users/{id}", False)


def test_patterns_do_not_count_against_the_cap() -> None:
    table = RouteTable(["/a", "/b", "/c"], templates_max=1)
    assert [table.template(path) for path in (b"/a", b"/b", b"/c", b"/d", b"/e")] == ["/a", "/b", "/c", "/d", "/**"]


def test_without_heuristic_and_pattern_there_is_no_route() -> None:
    table = RouteTable(heuristic=False)
    assert table.find(b"/a") is None
    assert table.find(b"/a") is None


@pytest.mark.parametrize(
    ("method", "path", "wanted"),
    [
        ("GET", "/users/7", "/users/{id}"),
        ("PUT", "/users/7", "/users/{user}"),
        ("PATCH", "/users/7", "/users/*"),  # nothing nearer takes it
        (None, "/users/7", "/users/*"),
        ("GET", "/users/me", "/users/{id}"),  # the literal is POST's alone
        ("POST", "/users/me", "/users/me"),
        ("HEAD", "/users/7", "/users/{id}"),  # as in Go's ServeMux
        ("HEAD", "/status", "/status"),
        ("POST", "/status", None),
        ("GET", "/any", "/any"),
        ("PUT", "/any", "/any"),
        ("DELETE", "/files/a/b", "/files/*"),
        ("GET", "/files/a/b", None),
    ],
)
def test_a_method_in_front_of_the_path(method: str | None, path: str, wanted: str | None) -> None:
    patterns = ["GET /users/{id}", "PUT /users/{user}", "POST /users/me", "/users/*", "GET /status", "/any", "DELETE /files/*"]
    for table in (RouteTable(patterns, False), RouteTable(patterns[::-1], False)):
        for _ in range(2):  # the second is remembered
            assert table.template(path.encode(), method=method) == wanted


def test_the_method_decides_between_two_patterns_of_one_path() -> None:
    table = RouteTable(["/a/{x}", "GET /a/{y}", "HEAD /a/{z}"], heuristic=False)
    assert [table.template(b"/a/1", method=method) for method in ("GET", "HEAD", "PUT")] == ["/a/{y}", "/a/{z}", "/a/{x}"]


def test_guesses_are_the_same_for_every_method() -> None:
    table = RouteTable(["GET /a"], templates_max=1)
    assert {table.template(b"/b/7", method=method) for method in ("GET", "POST", None)} == {"/b/{id}"}


TOO_MUCH = "the path is not printable, or longer than 200 bytes"


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("", "the path does not start with /"),
        ("users", "the path does not start with /"),
        ("GET", "the path does not start with /"),
        ("GET example.com/a", "the path does not start with /"),
        ("GET POST /a", "what stands before the path is not one method"),
        ("GET  /a", "what stands before the path is not one method"),
        ("/a /b", "what stands before the path is not one method"),
        ("/a/*/b", "* takes the rest and stands last"),
        ("/a*", "segment 'a*' is neither text nor {name}"),
        ("/{", "segment '{' is neither text nor {name}"),
        ("/}", "segment '}' is neither text nor {name}"),
        ("/{}", "segment '{}' is neither text nor {name}"),
        ("/}{", "segment '}{' is neither text nor {name}"),
        ("/{a}{b}", "segment '{a}{b}' is neither text nor {name}"),
        ("/{{a}}", "segment '{{a}}' is neither text nor {name}"),
        ("/{rest...}", "segment '{rest...}' is neither text nor {name}"),  # Go's way to take the rest
        ("/{$}", "segment '{$}' is neither text nor {name}"),
        ("/{id}/{id}", "a name stands twice"),
        ("/a?b=c", "segment 'a?b=c' is neither text nor {name}"),
        ("/a#b", "segment 'a#b' is neither text nor {name}"),
        ("/a\n", TOO_MUCH),
        ("/\udcff", TOO_MUCH),
        ("/" + "a" * 200, TOO_MUCH),
        ("/a" * 64, "the path has more than 63 segments"),
    ],
)
def test_a_pattern_that_cannot_be_read(pattern: str, problem: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_route(pattern)
    assert str(caught.value) == problem
    with pytest.raises(ValueError):
        RouteTable([pattern])


def test_patterns_at_their_limits_are_read() -> None:
    assert configured(["/" + "a" * 199], "/" + "a" * 199) is not None
    assert configured(["/a" * 63], "/a" * 63) == "/a" * 63


def test_many_overlapping_patterns_are_tried_once_each() -> None:
    # Every way through literals and placeholders fails at the end: exponential without the tree.
    patterns = ["".join(f"/{{x{bit}}}" if i >> bit & 1 else "/a" for bit in range(8)) + "/end" for i in range(256)]
    assert configured(patterns, "/a" * 8 + "/other") is None
    assert configured(patterns, "/a" * 8 + "/end") == "/a" * 8 + "/end"


@pytest.mark.parametrize("piece", [b"/", b"/a", b"a", b"%", b"%41", b";", b"/;", b"\xff", b"1", b"/1"])
def test_eight_kilobytes_of_anything(piece: bytes) -> None:
    path = b"/" + piece * (8192 // len(piece))
    text = RouteTable(["/b/{x}", "/a/a/*"]).template(path)
    assert text is not None and len(text) <= 200


@given(st.one_of(st.binary(max_size=80), st.text("/;%?#*{}a1.Z\xe9\0", max_size=60).map(str.encode)))
def test_any_bytes_give_printable_text_or_nothing(raw: bytes) -> None:
    table = RouteTable(["/a/{x}", "/1/*"])
    for path in (raw, b"/" + raw):
        text = table.template(path)
        assert text == table.template(path)
        assert (text is None) == (not path.startswith(b"/"))
        if text is not None:
            assert text.startswith("/") and text.isascii() and text.isprintable() and len(text) <= 200


@given(st.text("/abc{}", max_size=12))
def test_a_pattern_is_refused_or_matches_its_own_text(pattern: str) -> None:
    try:
        table = RouteTable([pattern], heuristic=False)
    except ValueError:
        return
    assert table.template(pattern.encode()) == pattern
