"""What link layers and IP do, live in network namespaces: frames in every envelope, a packet that passes two interfaces, answers in
IP fragments. Real programs ask and answer; their account is what is told. Needs root, ip, dnsmasq, kdig.

    client eth0 ----- vc (bridge br0) vs ----- eth0 server
                          receiver
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.namespaces import Namespace, available, join
from tests.integration.servers import need
from tests.pcap import encapsulations as enc

pytestmark = pytest.mark.skipif(not available(), reason="needs root and network namespaces")

CLIENT, SERVER = "10.202.1.3", "10.202.1.2"
CLIENT6, SERVER6 = "fd00:202::3", "fd00:202::2"

# Runs in the middle: opens, says so, captures until SIGTERM, then tells in JSON what it read.
RECEIVE = r"""
import json, signal, sys
from receiver.build import make_engine, make_source
from receiver.settings.loader import load
from receiver.wire.records import Sink
config = load(["yaml:" + json.dumps({"receivers": {"pcap": json.loads(sys.argv[1])}})]).config
told, stop = [], []
class Told(Sink):
    def roundtrip(self, roundtrip):
        request, response = roundtrip.request, roundtrip.response
        name = dict(zip(request.attributes[::2], request.attributes[1::2])).get("dns.question.name")
        told.append([roundtrip.outcome, name, response and response.status, request.size, response and response.size,
                     roundtrip.endpoints.transport, request.repeats, roundtrip.endpoints.client_port])
        return 0
engine = make_engine(config, Told(), detail=True, local=[])
source = make_source(config)
signal.signal(signal.SIGTERM, lambda *_: (stop.append(1), source.wake()))
source.open()
print("ready", flush=True)
source.run(engine.process_batch, lambda now: engine.tick(now - 500_000_000), lambda: bool(stop))
engine.finish()
pairing = engine.reading.pairing
print(json.dumps({"told": told, "skipped": engine.skipped_packets(), "packets": engine.packets, "parsed": engine.parsed,
                  "fragments": engine.fragments.states, "unmatched": pairing.unmatched, "repeated": pairing.repeated,
                  "dropped": source.stats().dropped_kernel}))
"""

# Look-ups by dnspython, each from a socket of its own; prints for each its name, code, size of question and answer.
ASK = r"""
import json, sys
import dns.message, dns.query, dns.rcode
told = []
for server, names, payload in json.loads(sys.argv[1]):
    for name in names:
        query = dns.message.make_query(name, "TXT", use_edns=0, payload=payload)
        answer = dns.query.udp(query, server, timeout=20)
        told.append([name, dns.rcode.to_text(answer.rcode()), len(query.to_wire()), len(answer.wire)])
print(json.dumps(told))
"""

# [interface] [frames in hexadecimal]
SEND = r"""
import json, socket, sys
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((sys.argv[1], 0))
for frame in json.load(sys.stdin):
    out.send(bytes.fromhex(frame))
"""


class Bridge:
    """The drawing above."""

    def __init__(self) -> None:
        prefix = f"prl{os.getpid()}"
        self.middle = Namespace(f"{prefix}-mid")
        self.client = Namespace(f"{prefix}-client")
        self.server = Namespace(f"{prefix}-server")
        join(self.middle, "vc", self.client, "eth0")
        join(self.middle, "vs", self.server, "eth0")
        self.middle.run("ip", "link", "add", "br0", "type", "bridge")
        for port in ("vc", "vs"):
            self.middle.run("ip", "link", "set", port, "master", "br0")
        for interface in ("vc", "vs", "br0"):
            self.middle.run("ip", "link", "set", interface, "up")
        for namespace, address, address6 in ((self.client, CLIENT, CLIENT6), (self.server, SERVER, SERVER6)):
            namespace.address("eth0", address)
            namespace.run("ip", "address", "add", f"{address6}/64", "dev", "eth0", "nodad")
        time.sleep(1)

    def close(self) -> None:
        for namespace in (self.client, self.server, self.middle):
            namespace.close()


@pytest.fixture
def bridge() -> Iterator[Bridge]:
    made = Bridge()
    try:
        yield made
    finally:
        made.close()


class Receiver:
    def __init__(self, namespace: Namespace, **pcap: Any) -> None:
        command = namespace.command((sys.executable, "-c", RECEIVE, json.dumps(pcap)))
        self.program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.program.stdout
        assert self.program.stdout.readline() == "ready\n"

    def end(self) -> dict[str, Any]:
        time.sleep(1)  # blocks that are not full come 100 ms later, on a busy machine more
        self.program.send_signal(signal.SIGTERM)
        out, errors = self.program.communicate(timeout=20)
        assert errors == ""  # libpcap says there when the kernel refuses the filter, and filters by itself
        told: dict[str, Any] = json.loads(out)
        assert told["packets"] == told["parsed"] + sum(told["skipped"].values())
        assert told["dropped"] == 0
        return told


@contextlib.contextmanager
def receiving(namespace: Namespace, **pcap: Any) -> Iterator[Receiver]:
    running = Receiver(namespace, **pcap)
    try:
        yield running
    finally:
        running.program.kill()
        running.program.wait()


TEXTS = [f"n{i}.test" for i in range(10)]
BIG = [f"big{i}.test" for i in range(10)]


@contextlib.contextmanager
def dnsmasq(namespace: Namespace) -> Iterator[None]:
    """Answers of some 60 bytes, and of some 4 000 where the client takes so many."""
    need("dnsmasq", "kdig")
    records = [f"--txt-record={name},small" for name in TEXTS]
    records += [f"--txt-record={name}," + ",".join("x" * 250 for _ in range(15)) for name in BIG]
    program = subprocess.Popen(
        namespace.command(
            ("dnsmasq", "-k", "-C", "/dev/null", "--no-resolv", "--no-hosts", "--user=root", "--pid-file=",
             f"--listen-address={SERVER},{SERVER6}", "--bind-interfaces", "--edns-packet-max=4096", *records)
        ),
        stderr=subprocess.DEVNULL,
    )
    try:
        for server in (SERVER, SERVER6):
            until = time.monotonic() + 20
            question = ("kdig", "+short", "+retry=0", "+timeout=1", f"@{server}", TEXTS[0], "TXT")
            while "small" not in namespace.run(*question, check=False).stdout:
                assert time.monotonic() < until
        yield
    finally:
        program.terminate()
        program.wait(20)


def ask(bridge: Bridge, *wishes: tuple[str, list[str], int]) -> list[list[Any]]:
    told: list[list[Any]] = json.loads(bridge.client.run(sys.executable, "-c", ASK, json.dumps(wishes)).stdout)
    return told


def account(told: dict[str, Any]) -> list[list[Any]]:
    """What the receiver says, as the client does; every look-up went well, none was repeated."""
    assert {(outcome, transport, repeats) for outcome, _, _, _, _, transport, repeats, _ in told["told"]} <= {(0, "udp", 0)}
    return [[name, code, asked, answered] for _, name, code, asked, answered, *_ in told["told"]]


@pytest.mark.parametrize("layer4", [True, False])
@pytest.mark.parametrize("interfaces", [("vc", "vs"), ("vs", "vc"), ("vs", "br0", "vc"), ("any",)])
def test_packets_that_pass_two_interfaces_are_told_once(bridge: Bridge, interfaces: tuple[str, ...], layer4: bool) -> None:
    with dnsmasq(bridge.server), receiving(bridge.middle, interfaces=interfaces, layer4={"enabled": layer4}) as receiver:
        asked = ask(bridge, (SERVER, TEXTS, 1232), (SERVER6, TEXTS, 1232), (SERVER6, BIG, 4096))
        told = receiver.end()
    assert len(asked) == 30
    assert account(told) == asked
    assert (told["unmatched"], told["repeated"]) == (0, 0)
    assert told["skipped"]["duplicate"] >= 60


@pytest.mark.parametrize("layer4", [True, False])
def test_answers_in_fragments_are_what_the_client_got(bridge: Bridge, layer4: bool) -> None:
    with dnsmasq(bridge.server), receiving(bridge.middle, interfaces=["vc"], layer4={"enabled": layer4}) as receiver:
        asked = ask(bridge, (SERVER, BIG, 4096), (SERVER6, BIG, 4096))
        for server in (SERVER, SERVER6):
            shown = bridge.client.run("kdig", "+bufsize=4096", "+notcp", "+ignore", f"@{server}", BIG[0], "TXT").stdout
            assert "status: NOERROR" in shown and "Flags: qr aa" in shown.replace(" tc", "TC"), shown
        told = receiver.end()
    mine = account(told)
    assert mine[:20] == asked
    assert all(size > 3700 for *_, size in asked)
    assert [(name, code, size) for name, code, _, size in mine[20:]] == [(BIG[0], "NOERROR", asked[0][3])] * 2
    assert told["fragments"]["reassembled"] == 3 * 22  # of 1 480 bytes of an answer at most
    assert sum(told["fragments"].values()) == 3 * 22


@pytest.mark.parametrize("interface", ["vc", "any"])
def test_frames_in_every_envelope_pass_the_filter_live(bridge: Bridge, interface: str) -> None:
    """The kernel takes the outermost tag out of the frame before the filter sees it, and libpcap puts it back."""
    frames: list[bytes] = []
    sent: dict[int, tuple[str, int, int]] = {}
    port = 20000
    for envelope in enc.ENVELOPES:
        # Of what is cooked the kernel (6.18) names the protocol behind all tags, and leaves those in that are not the outermost.
        for tags in range(5 if interface != "any" else 2):
            for tpid in (0x8100, 0x88A8) if tags else (0,):
                for ip in (enc.ip4, enc.ip6) if envelope != "IP's SAP" else (enc.ip4,):
                    port += 1
                    inner = ip(enc.udp(port, 53, bytes.fromhex("0007 0100 0001 0000 0000 0000 0161 00 0001 0001")))
                    wrapped = enc.tagged(enc.ENVELOPES[envelope](inner), *(tpid,) * min(tags, 1), *(0x8100,) * (tags - 1))
                    frames.append(enc.ethernet(wrapped))
                    sent[port] = (envelope, tags, tpid)
    with receiving(bridge.middle, interfaces=[interface], layer4={"enabled": False}) as receiver:
        bridge.client.run(sys.executable, "-c", SEND, "eth0", text_in=json.dumps([frame.hex() for frame in frames]))
        told = receiver.end()
    found = [port for *_, port in told["told"]]
    assert [sent[port] for port in sent if port not in found] == []
    assert len(found) == len(frames)
