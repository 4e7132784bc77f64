"""A flow is ours when the socket is; the kernel says which sockets a process has."""

import socket
import subprocess
import sys
import time

import pytest

from receiver.export.own import REMEMBER_NS, OwnSockets, packed

OTHER = """
import socket, sys, time
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print(s.getsockname()[1], flush=True)
sys.stdin.read()
"""


SERVER = """
import socket, sys
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def server():
    """The port of another process."""
    with subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield int(process.stdout.readline())
        process.stdin.close()


def is_watched(own, port):
    return bool(own.watched[port >> 3] >> (port & 7) & 1)


def asked(own, mine, theirs, ts_ns=None):
    """Of a flow between two (address, port), from either side."""
    a, b = (packed(mine[0]), mine[1]), (packed(theirs[0]), theirs[1])
    now_ns = time.time_ns() if ts_ns is None else ts_ns
    answers = {own.is_own(*a, *b, True, now_ns), own.is_own(*b, *a, True, now_ns)}
    assert len(answers) == 1
    return answers.pop()


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1"])
def test_socket_that_a_library_opened(server, address):
    own = OwnSockets()
    own.expect(server)
    assert is_watched(own, server)
    began_ns = time.time_ns()
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as mine:
        mine.connect((address, server))
        port = mine.getsockname()[1]
        assert asked(own, ("127.0.0.1", port), ("127.0.0.1", server), began_ns)
        assert is_watched(own, port)
        assert not asked(own, ("127.0.0.2", port), ("127.0.0.1", server))
        assert not asked(own, ("127.0.0.1", port ^ 1), ("127.0.0.1", server))
        assert asked(own, ("127.0.0.1", port), ("10.9.9.9", server))  # translated on its way
        assert not asked(own, ("127.0.0.1", port), ("10.9.9.9", server ^ 1))  # another's, from the same port
    assert not asked(own, ("127.0.0.1", port), ("127.0.0.1", server))


def test_socket_of_another_process_to_the_same_server(server):
    own = OwnSockets()
    own.expect(server)
    with subprocess.Popen([sys.executable, "-c", OTHER, str(server)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        port = int(other.stdout.readline())
        assert not asked(own, ("127.0.0.1", port), ("127.0.0.1", server))
        other.stdin.close()


def test_socket_of_ours_is_known_from_before_its_first_packet_to_after_its_end(server):
    own = OwnSockets()
    before_ns = time.time_ns()
    with own.connect("localhost", server, 5) as mine:
        port = mine.getsockname()[1]
        assert mine.getpeername()[1] == server
        assert is_watched(own, port)
        assert not is_watched(own, server)  # the application's connections there need no look
        assert asked(own, ("127.0.0.1", port), ("127.0.0.1", server), before_ns)
    assert asked(own, ("127.0.0.1", port), ("127.0.0.1", server))
    assert asked(own, ("127.0.0.1", port), ("10.9.9.9", 9))  # address and port translated on their way
    assert not asked(own, ("10.9.9.8", port), ("10.9.9.9", server))
    assert not asked(own, ("127.0.0.1", port), ("127.0.0.1", server), before_ns + REMEMBER_NS + 10**9)


def test_socket_of_ours_that_lives_stays_known(server):
    own = OwnSockets()
    with own.connect("127.0.0.1", server, 5) as mine:
        port = mine.getsockname()[1]
        later_ns = time.time_ns() + REMEMBER_NS + 10**9  # a flow that was forgotten, and goes on
        assert asked(own, ("127.0.0.1", port), ("127.0.0.1", server), later_ns)


def test_connection_that_is_refused_was_ours():
    own = OwnSockets()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        own.connect("127.0.0.1", port, 5)
    (local,) = own._opened
    assert is_watched(own, local)
    assert asked(own, ("127.0.0.1", local), ("127.0.0.1", port))


def test_name_without_an_address():
    with pytest.raises(socket.gaierror):
        OwnSockets().connect("nowhere.invalid", 1, 1)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "127.0.0.1"])
def test_page_that_listens(address):
    own = OwnSockets()
    with socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET) as listener:
        port = listener.getsockname()[1]
        own.expect(port)
        assert asked(own, ("10.0.0.9", 40000), ("127.0.0.1", port))
        assert asked(own, ("10.0.0.9", 40000), ("10.0.0.7", port)) == (address != "127.0.0.1")
    assert not asked(own, ("10.0.0.9", 40000), ("127.0.0.1", port))


def test_endpoint_whose_address_is_known():
    own = OwnSockets()
    own.exclude("10.0.0.7", 4317)
    own.exclude("fd00::7", 4317)
    assert is_watched(own, 4317)
    assert asked(own, ("10.0.0.9", 40000), ("10.0.0.7", 4317))
    assert asked(own, ("fd00::9", 40000), ("fd00::7", 4317))
    assert not asked(own, ("10.0.0.9", 40000), ("10.0.0.8", 4317))
    assert not asked(own, ("10.0.0.9", 40000), ("10.0.0.7", 4318))


def test_sockets_are_read_once_for_all_flows_that_began_before(server, monkeypatch):
    own = OwnSockets()
    own.expect(server)
    looks = []
    look = own.look
    monkeypatch.setattr(own, "look", lambda: (looks.append(1), look()))
    began_ns = time.time_ns()
    for port in range(40000, 40100):
        asked(own, ("127.0.0.1", port), ("127.0.0.1", server), began_ns)
    assert len(looks) == 1
    asked(own, ("127.0.0.1", 40000), ("127.0.0.1", server), time.time_ns())
    assert len(looks) == 2
    for port in range(40000, 40010):  # the application's, to other ports
        asked(own, ("127.0.0.1", port), ("127.0.0.1", server ^ 1), time.time_ns() + 10**9)
    assert len(looks) == 2


def test_looking_leaves_every_descriptor_as_it_was(server):
    mine = socket.create_connection(("127.0.0.1", server), timeout=3)
    nonblocking = socket.socket()
    nonblocking.setblocking(False)
    own = OwnSockets()
    for _ in range(3):
        own.look()
    assert mine.getpeername()[1] == server
    assert mine.gettimeout() == 3
    assert not nonblocking.getblocking()
    mine.close()
    nonblocking.close()


def question(name):
    return bytes(12) + b"".join(bytes((len(label),)) + label.encode() for label in name.split(".")) + b"\0\0\1\0\1"


def test_our_questions_are_known_by_their_name_while_they_are_asked(monkeypatch):
    own, during = OwnSockets(), []
    host, resolver = packed("10.0.0.9"), packed("10.0.0.53")

    def is_ours(name, ts_ns, port=53):
        return own.is_own(host, 40000, resolver, port, False, ts_ns, question(name))

    def answer(*_, **__):
        during.append(time.time_ns())
        assert is_watched(own, 53)
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    with pytest.raises(socket.gaierror):
        own.resolve("Collector.obs", 4317)
    (asked_ns,) = during
    assert is_watched(own, 53)  # the packets come later
    assert is_ours("collector.obs", asked_ns)
    assert is_ours("coLLector.OBS.svc.cluster.local", asked_ns)  # the search path
    assert not is_ours("collector", asked_ns)
    assert not is_ours("other.obs", asked_ns)
    assert not is_ours("collector.obs", asked_ns - 2 * 10**9)
    assert not is_ours("collector.obs", asked_ns + 2 * 10**9)
    assert not is_ours("collector.obs", asked_ns, port=5353)
    assert not is_ours("collector.obs", asked_ns + 20 * 10**9)
    assert not is_watched(own, 53)  # of later ones nobody asks


def test_addresses_are_no_questions():
    own = OwnSockets()
    for host in ("127.0.0.1", "::1"):
        own.resolve(host, 4317)
    assert not is_watched(own, 53)
