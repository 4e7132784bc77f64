"""Records the DNS vectors: dnsmasq and unbound, dnspython and kdig, a relay between them that notes what passes.

    python tests/vectors/record_dns.py

The form is that of `record.py`; a vector of datagrams says so in its first line. What must be read out of it is the client's own
record: dnspython's reading of each answer, in the order in which the answers came.
"""

from __future__ import annotations

import contextlib
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.version
from record import Recording, Relay, free_port, program, write

ZONE = """
a.test. 60 IN A 192.0.2.1
many.test. 60 IN A 192.0.2.2
many.test. 60 IN A 192.0.2.3
many.test. 60 IN AAAA 2001:db8::2
ALIAS.test. 60 IN CNAME a.test.
mail.test. 60 IN MX 10 mx1.mail.test.
mail.test. 60 IN MX 20 mx2.mail.test.
_sip._tcp.test. 60 IN SRV 5 6 5060 sip.test.
text.test. 60 IN TXT "v=spf1 -all" "and \\"more\\""
soa.test. 60 IN SOA ns.test. admin.test. 7 3600 600 86400 60
ns.test. 60 IN NS ns1.test.
1.2.0.192.in-addr.arpa. 60 IN PTR a.test.
svc.test. 60 IN HTTPS 1 . alpn="h2,h3" port="8443" ipv4hint="192.0.2.1" ipv6hint="2001:db8::1"
alias.svc.test. 60 IN SVCB 0 svc.test.
caa.test. 60 IN CAA 0 issue "ca.test"
"""

QUESTIONS = (
    ("a.test", "A"), ("WwW.A.TeSt", "A"), ("many.test", "A"), ("many.test", "AAAA"), ("alias.test", "A"),
    ("mail.test", "MX"), ("_sip._tcp.test", "SRV"), ("text.test", "TXT"), ("soa.test", "SOA"), ("ns.test", "NS"),
    ("1.2.0.192.in-addr.arpa", "PTR"), ("svc.test", "HTTPS"), ("alias.svc.test", "SVCB"), ("caa.test", "CAA"),
    ("a.test", "TYPE65280"), ("nothing.test", "A"), ("broken.fail.test", "A"), ("elsewhere.example", "A"),
)

# Response codes that are no errors: RFC 2308, 2.1 has the second of them as an answer.
ANSWERS = ("NOERROR", "NXDOMAIN")

LISTED = {"A", "AAAA", "CNAME", "MX", "PTR", "SRV", "SOA", "TXT", "NS", "SVCB", "HTTPS"}


def expected(answer: dns.message.Message) -> dict[str, Any]:
    """What the client saw."""
    question = answer.question[0]
    texts = [shown(rdata) for rrset in answer.answer for rdata in rrset]
    rcode = dns.rcode.to_text(answer.rcode())
    return {
        "operation": dns.rdatatype.to_text(question.rdtype),
        "dns.question.name": question.name.to_text(omit_final_dot=True).lower(),
        "dns.answers": texts[:64] or None,
        "status": rcode,
        "error_type": None if rcode in ANSWERS else rcode,
        "outcome": "ok" if rcode in ANSWERS else "error",
    }


def shown(rdata: dns.rdata.Rdata) -> str:
    """As zone files have it, names in lower case and without their last dot."""
    kind = dns.rdatatype.to_text(rdata.rdtype)
    if kind not in LISTED:
        return f"TYPE{int(rdata.rdtype)}"
    if kind == "TXT":
        return rdata.to_text()
    words = rdata.to_text().lower().split(" ")
    return " ".join(word.rstrip(".") or "." for word in words)


class DatagramRelay:
    """Carries one client's datagrams to `target` and back."""

    def __init__(self, target: int) -> None:
        self.recording = Recording()
        self.inner = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.inner.connect(("127.0.0.1", target))
        self.outer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.outer.bind(("127.0.0.1", 0))
        self.port = int(self.outer.getsockname()[1])
        self.client: Any = None
        self.stop = False
        self.thread = threading.Thread(target=self._carry, name="datagrams")
        self.thread.start()

    def _carry(self) -> None:
        while not self.stop:
            ready, _, _ = select.select([self.inner, self.outer], [], [], 0.05)
            for side in ready:
                if side is self.outer:
                    piece, self.client = self.outer.recvfrom(65535)
                    self.recording.events.append((time.time(), True, piece))
                    self.inner.send(piece)
                else:
                    piece = self.inner.recv(65535)
                    self.recording.events.append((time.time(), False, piece))
                    self.outer.sendto(piece, self.client)

    def close(self) -> Recording:
        time.sleep(0.2)
        self.stop = True
        self.thread.join()
        self.inner.close()
        self.outer.close()
        return self.recording


@contextlib.contextmanager
def refusing() -> Iterator[int]:
    """A server that refuses all: whoever asks it for a client answers that one SERVFAIL."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                wire, client = server.recvfrom(65535)
                if len(wire) < 12:
                    return
                answer = dns.message.make_response(dns.message.from_wire(wire))
                answer.set_rcode(dns.rcode.REFUSED)
                server.sendto(answer.to_wire(), client)

        thread = threading.Thread(target=serve, name="refusing")
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            server.sendto(b"", server.getsockname())
            thread.join()


@contextlib.contextmanager
def unbound() -> Iterator[int]:
    port = free_port()
    with refusing() as dead, tempfile.TemporaryDirectory() as folder:
        data = "\n".join(f"local-data: '{line}'" for line in ZONE.strip().splitlines())
        Path(folder, "u.conf").write_text(
            f'server:\n interface: 127.0.0.1@{port}\n username: ""\n chroot: ""\n directory: "{folder}"\n use-syslog: no\n'
            ' pidfile: ""\n module-config: "iterator"\n do-not-query-localhost: no\n minimal-responses: yes\n'
            ' local-zone: "." refuse\n local-zone: "test." static\n local-zone: "fail.test." transparent\n'
            ' local-zone: "2.0.192.in-addr.arpa." static\n edns-buffer-size: 1232\n max-udp-size: 1232\n'
            f"{data}\n"
            f'stub-zone:\n name: "fail.test."\n stub-addr: 127.0.0.1@{dead}\nremote-control:\n control-enable: no\n'
        )
        with program(["unbound", "-d", "-p", "-c", f"{folder}/u.conf"], port):
            yield port


@contextlib.contextmanager
def dnsmasq() -> Iterator[int]:
    port = free_port()
    command = ["dnsmasq", "-k", "-C", "/dev/null", "--no-resolv", "--no-hosts", "-p", str(port), "--user=root", "--pid-file="]
    command += ["--listen-address=127.0.0.1", "--bind-interfaces", "--address=/a.test/192.0.2.1", "--cname=c.test,host.test"]
    command += ["--host-record=host.test,192.0.2.9,2001:db8::9", "--txt-record=t.test,one,two", "--mx-host=m.test,mx.test,10"]
    command += ["--srv-host=_x._udp.test,host.test,4444"] + [f"--host-record=big.test,192.0.2.{i}" for i in range(10, 110)]
    with program(command, port):
        yield port


def version(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return " ".join((done.stdout + done.stderr).split()[:3]).rstrip(",")


def about(server: str, client: str, datagrams: bool) -> dict[str, str]:
    return {"folder": "dns", "protocol": "dns", "server": server, "client": client, "datagrams": "yes" if datagrams else ""}


def ask_all(send: socket.socket, receive: Any, edns: int) -> list[dict[str, Any]]:
    """Each question once, one after the other, as a stub resolver does."""
    found = []
    for i, (name, kind) in enumerate(QUESTIONS):
        query = dns.message.make_query(name, kind, use_edns=0 if edns else None, payload=edns, id=1000 + i)
        send.send(query.to_wire())
        found.append(expected(dns.message.from_wire(receive())))
    return found


def record_udp(name: str, port: int, server: str, edns: int) -> None:
    relay = DatagramRelay(port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", relay.port))
        client.settimeout(20)
        found = ask_all(client, lambda: client.recv(65535), edns)
    write(name, about(server, f"dnspython {dns.version.version}", True), relay.close(), found)


def record_tcp_pipelined(port: int, server: str) -> None:
    """All questions in one write; the answers come in the server's order."""
    relay = Relay(port)
    with socket.create_connection(("127.0.0.1", relay.port)) as client:
        client.settimeout(20)
        whole = b""
        for i, (name, kind) in enumerate(QUESTIONS):
            wire = dns.message.make_query(name, kind, id=2000 + i).to_wire()
            whole += len(wire).to_bytes(2, "big") + wire
        client.sendall(whole)
        found = []
        file = client.makefile("rb")
        for _ in QUESTIONS:
            size = int.from_bytes(file.read(2), "big")
            found.append(expected(dns.message.from_wire(file.read(size))))
        file.close()
    write("unbound-tcp-pipelined", about(server, f"dnspython {dns.version.version}", False), relay.only(), found)
    relay.close()


def record_tcp_kdig(port: int, server: str) -> None:
    """kdig asks on one connection, one after the other; its own report names status and question."""
    relay = Relay(port)
    asked = [word for name, kind in QUESTIONS[:16] for word in (name, kind)]
    command = ["kdig", "+keepopen", "+tcp", "@127.0.0.1", "-p", str(relay.port)]
    done = subprocess.run([*command, *asked], capture_output=True, text=True, check=True)
    found = []
    for block in done.stdout.split(";; ->>HEADER<<- ")[1:]:
        status = block.split("status: ")[1].split(";")[0]
        name, _, kind = block.split(";; QUESTION SECTION:\n;; ")[1].split("\n")[0].split()
        found.append(
            {
                "operation": kind,
                "dns.question.name": name.rstrip(".").lower(),
                "status": status,
                "outcome": "ok" if status in ANSWERS else "error",
            }
        )
    write("unbound-tcp-kdig", about(server, version(["kdig", "-V"]), False), relay.only(), found)
    relay.close()


def record_truncated(port: int, server: str) -> None:
    """An answer that does not fit, and the same over TCP: two vectors of one look-up."""
    wire = dns.message.make_query("big.test", "A", id=77).to_wire()
    datagrams, stream = DatagramRelay(port), Relay(port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", datagrams.port))
        client.settimeout(5)
        client.send(wire)
        short = dns.message.from_wire(client.recv(65535))
        assert short.flags & dns.flags.TC
    found = {**expected(short), "pcap_receiver.dns.truncated": True}
    client_name = f"dnspython {dns.version.version}"
    write("dnsmasq-udp-truncated", about(server, client_name, True), datagrams.close(), [found])
    with socket.create_connection(("127.0.0.1", stream.port)) as client:
        client.settimeout(5)
        client.sendall(len(wire).to_bytes(2, "big") + wire)
        file = client.makefile("rb")
        whole = dns.message.from_wire(file.read(int.from_bytes(file.read(2), "big")))
        file.close()
    assert len(whole.answer[0]) == 100
    write("dnsmasq-tcp-after-truncated", about(server, client_name, False), stream.only(), [expected(whole)])
    stream.close()


def main() -> int:
    missing = [name for name in ("unbound", "dnsmasq", "kdig") if not shutil.which(name)]
    if missing:
        print(f"missing: {', '.join(missing)}", file=sys.stderr)
        return 1
    with unbound() as port:
        server = f"unbound {version(['unbound', '-V']).split()[-1]}"
        record_udp("unbound-udp", port, server, 0)
        record_udp("unbound-udp-edns", port, server, 1232)
        record_tcp_pipelined(port, server)
        record_tcp_kdig(port, server)
    with dnsmasq() as port:
        server = f"dnsmasq {version(['dnsmasq', '--version']).split()[-1]}"
        record_udp("dnsmasq-udp", port, server, 1232)
        record_truncated(port, server)
    return 0


if __name__ == "__main__":
    sys.exit(main())
