"""DNS between real programs in a namespace of its own: what the clients say they got is what is read off the wire.

unbound answers on 127.0.0.1 and ::1, dnsmasq on 127.0.0.2, nobody on 127.0.0.3; the clients are dnspython, kdig and the C library's
resolver (getent). Needs root, tcpdump, unbound, dnsmasq, kdig.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from receiver.l7.registry import protocols
from receiver.l7.shared import Shared
from receiver.wire.names import Names, pack_address
from tests.integration.conservation import read_capture
from tests.integration.namespaces import Namespace
from tests.integration.servers import need
from tests.l7.harness import Collector

UNBOUND = """
server:
 interface: 127.0.0.1@53
 interface: ::1@53
 username: ""
 chroot: ""
 directory: "{folder}"
 use-syslog: no
 pidfile: ""
 module-config: "iterator"
 do-not-query-localhost: no
 local-zone: "." refuse
 local-zone: "test." static
 local-zone: "fail.test." transparent
 local-data: "a.test. 60 IN A 192.0.2.1"
 local-data: "a.test. 60 IN AAAA 2001:db8::1"
 local-data: "mail.test. 60 IN MX 10 mx.test."
 local-data: 'text.test. 60 IN TXT "v=1 x" "two"'
 local-data: '_s._tcp.test. 60 IN SRV 1 2 3 a.test.'
 local-data: 'svc.test. 60 IN HTTPS 1 . alpn="h2"'
stub-zone:
 name: "fail.test."
 stub-addr: 127.0.0.2
remote-control:
 control-enable: no
"""

DNSMASQ = ("dnsmasq", "-k", "-C", "/dev/null", "--no-resolv", "--no-hosts", "--user=root", "--pid-file=",
           "--listen-address=127.0.0.2", "--bind-interfaces", "--address=/a.test/192.0.2.1")

# Runs inside the namespace; prints its record of each look-up, in the order in which they ended.
WORKLOAD = r"""
import json, random, socket, struct, sys
import dns.flags, dns.message, dns.name, dns.query, dns.rcode, dns.rdatatype
record = []
def note(transport, query, answer):
    question = query.question[0]
    record.append([transport, dns.rdatatype.to_text(question.rdtype), question.name.to_text(omit_final_dot=True).lower(),
                   None if answer is None else dns.rcode.to_text(answer.rcode()),
                   0 if answer is None else sum(len(one) for one in answer.answer)])
def ask(name, kind, server, **options):
    query = dns.message.make_query(name, kind, **options)
    note("udp", query, dns.query.udp(query, server, timeout=10))
def ask_all(server):
    for name, kind in (("a.test", "A"), ("A.tEsT", "AAAA"), ("mail.test", "MX"), ("text.test", "TXT"), ("_s._tcp.test", "SRV"),
                       ("svc.test", "HTTPS"), ("none.test", "A"), ("x.fail.test", "A"),
                       ("elsewhere.example", "NS"), ("a.test", "ANY")):
        for options in ({}, {"use_edns": 0, "payload": 1232}):
            ask(name, kind, server, **options)
ask_all("127.0.0.1"); ask_all("::1"); ask_all("127.0.0.2")
# An EDNS version that nobody knows: BADVERS, of which the header alone says NOERROR
query = dns.message.make_query("a.test", "A", use_edns=1)
note("udp", query, dns.query.udp(query, "127.0.0.1", timeout=10))
# An answer that does not fit, then the same over TCP
query = dns.message.make_query("big.test", "A")
answer, by_tcp = dns.query.udp_with_fallback(query, "127.0.0.2", timeout=10)
assert by_tcp
note("udp", query, dns.message.make_response(query)); record[-1][4] = None
note("tcp", query, answer)
# Many on one connection, answered in the server's order
names = [f"n{i}.fail.test" if i % 3 == 0 else "a.test" if i % 3 == 1 else f"none{i}.test" for i in range(60)]
queries = {i: dns.message.make_query(name, "A", id=i + 1) for i, name in enumerate(names)}
with socket.create_connection(("127.0.0.1", 53), timeout=20) as stream:
    stream.sendall(b"".join(struct.pack(">H", len(w)) + w for w in (q.to_wire() for q in queries.values())))
    file = stream.makefile("rb")
    for _ in queries:
        answer = dns.message.from_wire(file.read(struct.unpack(">H", file.read(2))[0]))
        note("tcp", queries[answer.id - 1], answer)
# Nobody answers; the resolver asks again from the same port
query = dns.message.make_query("silent.test", "A")
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
    one.bind(("127.0.0.1", 0))
    for _ in range(3):
        one.sendto(query.to_wire(), ("127.0.0.3", 53))
note("udp", query, None)
print(json.dumps(record))
"""


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[Namespace]:
    need("tcpdump", "unbound", "dnsmasq", "kdig", "getent")
    made = Namespace(f"pr-dns-{os.getpid()}")
    resolver = Path("/etc/netns") / made.name
    resolver.mkdir(parents=True)
    (resolver / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:2 attempts:1\n")
    try:
        yield made
    finally:
        shutil.rmtree(resolver)
        made.close()


def start(namespace: Namespace, log: Path, *argv: str) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(namespace.command(argv), stdout=output, stderr=output)


def test_the_clients_record_is_what_is_read(namespace: Namespace, tmp_path: Path) -> None:
    (tmp_path / "u.conf").write_text(UNBOUND.format(folder=tmp_path))
    many = [f"--host-record=big.test,198.51.100.{i}" for i in range(100)]
    capture = tmp_path / "dns.pcap"
    started = [
        start(namespace, tmp_path / "unbound.log", "unbound", "-d", "-p", "-c", f"{tmp_path}/u.conf"),
        start(namespace, tmp_path / "dnsmasq.log", *DNSMASQ, *many),
    ]
    silent = namespace.call(lambda: _silent())
    try:
        for server in ("127.0.0.1", "127.0.0.2"):
            _until_it_answers(namespace, server)
        tcpdump = start(namespace, tmp_path / "tcpdump.log", "tcpdump", "-i", "lo", "-U", "-w", os.fspath(capture), "port", "53")
        started.append(tcpdump)
        _until(lambda: b"listening" in (tmp_path / "tcpdump.log").read_bytes())
        done = namespace.run(sys.executable, "-c", WORKLOAD, timeout_s=120)
        record: list[list[Any]] = json.loads(done.stdout)
        kdig = namespace.run("kdig", "+keepopen", "+tcp", "@127.0.0.1", "a.test", "A", "mail.test", "MX", "none.test", "A")
        found = namespace.run("getent", "ahosts", "a.test")
        time.sleep(1.5)  # libpcap hands over a block that is not full up to a second late
    finally:
        for program in reversed(started):
            program.terminate()
            program.wait(20)
        silent.close()
    names = Names()
    collector = Collector()
    reading = read_capture(capture, collector, protocols(Shared(names=names)))
    seen = collector.seen
    assert not reading.errors
    assert reading.pairing.unmatched == 0
    # What unbound asks of dnsmasq for fail.test, and refuses to believe, is on the wire as well: it is left out on both sides.
    record = [one for one in record if not (one[2].endswith("fail.test") and one[3] == "REFUSED")]
    asked = [one for one in seen if not (str(one["dns.question.name"]).endswith("fail.test") and one["status"] == "REFUSED")]

    by_kdig = [(kind, name) for kind, name in (("A", "a.test"), ("MX", "mail.test"), ("A", "none.test")) if name in kdig.stdout]
    assert len(by_kdig) == 3
    assert {"192.0.2.1", "2001:db8::1"} <= {line.split()[0] for line in found.stdout.splitlines()}
    expected = [tuple(one[1:4]) for one in record if one[3] is not None]
    expected += [(kind, name, "NXDOMAIN" if name == "none.test" else "NOERROR") for kind, name in by_kdig]
    expected += [("A", "a.test", "NOERROR"), ("AAAA", "a.test", "NOERROR")]
    answered = [(one["operation"], one["dns.question.name"], one["status"]) for one in asked if one.paired]
    assert answered[:-2] == expected[:-2]
    assert sorted(answered[-2:]) == sorted(expected[-2:])
    counts = [one[4] for one in record if one[3] is not None]
    for one, count in zip([one for one in asked if one.paired], counts, strict=False):
        if count is not None:
            assert len(one["dns.answers"] or []) == min(count, 64)
    assert [(one["dns.question.name"], one.outcome) for one in seen if not one.paired] == [("silent.test", "lost")]
    assert reading.pairing.repeated == 2
    assert names.name_of(pack_address("192.0.2.1"), 0) == "a.test"
    assert names.name_of(pack_address("2001:db8::1"), 0) == "a.test"


# Names of any bytes, flags, operations and shapes that few clients send; prints what the client got. An answer's id is the query's.
ODD = r"""
import json, socket, struct, sys
import dns.edns, dns.flags, dns.message, dns.name, dns.opcode, dns.rcode, dns.rdataclass, dns.rdatatype
record = []
def ask(wire, server, name, operation, tcp=False):
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as one:
        one.settimeout(3)
        one.connect((server, 53))
        one.send(struct.pack(">H", len(wire)) + wire if tcp else wire)
        try:
            answer = one.recv(65535)
        except TimeoutError:
            answer = b""
    if tcp and answer:
        answer = answer[2:]
    assert not answer or answer[:2] == wire[:2]
    code = dns.rcode.to_text(dns.rcode.Rcode(answer[3] & 15)) if answer else None
    record.append([name, operation, code])
def shown(name):
    text = name.canonicalize().to_text(omit_final_dot=True)
    for special in '"();@$':
        text = text.replace("\\" + special, special)
    return text
for server in sys.argv[1:]:
    for tcp in (False, True):
        for labels in ((b"Office Printer 2", b"_ipp", b"test"), ("caf\u00e9".encode(), b"test"), (b"\x00\x1b[1m", b"a.b", b"test")):
            name = dns.name.Name((*labels, b""))
            ask(dns.message.make_query(name, "SRV").to_wire(), server, shown(name), "SRV", tcp)
        for opcode in (1, 2, 3, 4, 5, 7, 15):
            query = dns.message.make_query("a.test", "SOA")
            query.set_opcode(dns.opcode.Opcode(opcode))
            known = {1: "IQUERY", 2: "STATUS", 4: "NOTIFY", 5: "UPDATE"}.get(opcode, f"OPCODE{opcode}")
            ask(query.to_wire(), server, "a.test", known, tcp)
        for flag in (0x0400, 0x0080, 0x0040):
            wire = bytearray(dns.message.make_query("a.test", "A").to_wire())
            wire[2:4] = struct.pack(">H", struct.unpack(">H", wire[2:4])[0] | flag)
            ask(bytes(wire), server, "a.test", "A", tcp)
        ask(dns.message.make_query("a.test", dns.rdatatype.RdataType.make(300)).to_wire(), server, "a.test", "TYPE300", tcp)
        ask(dns.message.make_query("version.bind", "TXT", "CH").to_wire(), server, "version.bind", "TXT", tcp)
        ask(dns.message.make_query("a.test", "A", "ANY").to_wire(), server, "a.test", "A", tcp)
        ask(dns.message.make_query("a.test", "A").to_wire() + bytes(9), server, "a.test", "A", tcp)
        two = dns.message.make_query("a.test", "A")
        two.question += dns.message.make_query("b.test", "A").question
        ask(two.to_wire(), server, "a.test", "A", tcp)
        cookie = dns.message.QueryMessage(id=5)
        cookie.use_edns(0, options=[dns.edns.GenericOption(10, b"12345678")])
        ask(cookie.to_wire(), server, None, None, tcp)
        ask(b"\x07\x07" + bytes(10), server, None, None, tcp)
print(json.dumps(record))
"""


def test_what_few_clients_ask_is_told_as_the_server_answered_it(namespace: Namespace, tmp_path: Path) -> None:
    (tmp_path / "u.conf").write_text(UNBOUND.format(folder=tmp_path))
    capture = tmp_path / "odd.pcap"
    started = [
        start(namespace, tmp_path / "unbound.log", "unbound", "-d", "-p", "-c", f"{tmp_path}/u.conf"),
        start(namespace, tmp_path / "dnsmasq.log", *DNSMASQ),
    ]
    try:
        for server in ("127.0.0.1", "127.0.0.2"):
            _until_it_answers(namespace, server)
        started.append(
            start(namespace, tmp_path / "tcpdump.log", "tcpdump", "-i", "lo", "-U", "-w", os.fspath(capture), "port", "53")
        )
        _until(lambda: b"listening" in (tmp_path / "tcpdump.log").read_bytes())
        done = namespace.run(sys.executable, "-c", ODD, "127.0.0.1", "::1", "127.0.0.2", timeout_s=300)
        record: list[list[Any]] = json.loads(done.stdout)
        by_kdig = []
        for more in (("+zflag",), ("+aaflag", "+raflag"), ("+padding=128",), ("+cookie",), ("+tcp", "+zflag")):
            said = namespace.run("kdig", *more, "@::1", "Bad\\032Name\\200.test", "TXT").stdout
            by_kdig.append([r"bad\032name\200.test", "TXT", said.partition("status: ")[2].partition(";")[0]])
        time.sleep(1.5)
    finally:
        for program in reversed(started):
            program.terminate()
            program.wait(20)
    collector = Collector()
    reading = read_capture(capture, collector, protocols())
    told = [[one["dns.question.name"], one["operation"], one["status"]] for one in collector.seen]
    assert sum(one[2] is not None for one in record) > 80
    key = str  # a name may be none
    # What got no answer stays a question to the end of the capture, but for what only an answer proves.
    expected = [one for one in record + by_kdig if one[2] is not None or one[0] is not None]
    assert sorted(told, key=key) == sorted(expected, key=key)
    assert not reading.errors
    assert reading.pairing.unmatched == 0


def _silent() -> Any:
    import socket

    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(("127.0.0.3", 53))
    return one


def _until_it_answers(namespace: Namespace, server: str) -> None:
    _until(lambda: namespace.run("kdig", "+time=1", "+retry=0", f"@{server}", "a.test", check=False).returncode == 0)


def _until(ready: Any) -> None:
    """The time limit only ends what hangs."""
    for _ in range(200):
        if ready():
            return
        time.sleep(0.1)
    raise AssertionError("not ready after 20 s")
