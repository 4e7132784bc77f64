"""What TCP felt, between real network stacks: our figures beside the kernel's own, and each way for a connection to end.

The client is behind a router that loses and delays packets; the receiver stands beside the server, or beside the caller where the
application calls out. Expected values are the kernel's (TCP_INFO at both ends, /proc/net), or follow from what the test did.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dpkt
import pytest

from tests.bench.generate import LINK_RAW, Packet, write_pcap
from tests.integration.conservation import broken_laws
from tests.integration.figures import Figures
from tests.integration.namespaces import APPLICATION, Namespace
from tests.integration.servers import HERE, ROOT, Collector, Receiver, Site, need, program, wait_for

WORKLOAD = [sys.executable, str(HERE / "workload.py")]
MANY_OF = [sys.executable, str(ROOT / "tests" / "bench" / "many.py")]
SECOND_NS = 1_000_000_000
AGREED = 0.05
FEW = "in vain", "of these SYN-ACKs"  # of a handful one is more than that share

REFUSED, SILENT, NO_LAST_ACK, RESET_BY_SERVER, RESET_BY_CLIENT, VANISHED, CALLED_OUT, FILTERED, NO_UDP = range(8101, 8110)

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"
REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
LINGER_NOT = struct.pack("ii", 1, 0)


def watch(site: Site, *settings: str) -> tuple[Receiver, Collector]:
    """A receiver that exports to a Collector and to nobody else: it would try until its shutdown's time is up."""
    collector = site.collector()
    fixed = "receivers.pcap.interfaces=[eth0]", "service.pipelines.metrics.exporters=[otlp_grpc]"
    return site.receiver(*fixed, *settings), collector


def seen_all(receiver: Receiver) -> None:
    """Wait until no packet has come for longer than the capture holds one back."""

    def at_rest() -> bool:
        before = receiver.own("capture_packets_total")
        time.sleep(0.5)
        return before == receiver.own("capture_packets_total")

    wait_for(at_rest, "the last packet")


# -- beside the kernel's figures -------------------------------------------------------------------------------------


def snmp(namespace: Namespace) -> dict[str, int]:
    """The counters of TCP that `nstat` shows, by their names there."""
    found: dict[str, int] = {}
    for file in ("snmp", "netstat"):
        lines = namespace.run("cat", f"/proc/net/{file}").stdout.splitlines()
        for names, values in zip(lines[::2], lines[1::2], strict=True):
            group = names.split(":")[0]
            found |= {group + name: int(value) for name, value in zip(names.split()[1:], values.split()[1:], strict=True)}
    return found


def since(before: dict[str, int], namespace: Namespace) -> dict[str, int]:
    """What they have grown by, once the last FIN has come through: each try takes a quarter of a second and more."""

    def at_rest() -> bool:
        earlier = snmp(namespace)
        time.sleep(1)
        return earlier == snmp(namespace)

    wait_for(at_rest, "the last segment")
    return {name: value - before[name] for name, value in snmp(namespace).items() if name in before}


def test_loss_and_round_trips_are_those_of_the_kernel(routed_site: Site) -> None:
    """1 000 connections through a router that loses 1 % both ways and takes 5 ms each way."""
    site, connections = routed_site, 1000
    # Nothing is exported before the end: the kernel would count that too.
    receiver, collector = watch(site, "receivers.pcap.sampling.default=0", "exporters.otlp_grpc.interval=1h")
    site.delay(5)
    site.lose(1)
    before, callers_before = snmp(site.application), snmp(site.client)
    server = site.background([*WORKLOAD, "serve", APPLICATION, "8080"], site.application, "ready")
    called = site.client.run(*WORKLOAD, "call", APPLICATION, "8080", str(connections), "32", timeout_s=120)
    kernel, caller_kernel = since(before, site.application), since(callers_before, site.client)
    seen_all(receiver)
    server.stop()
    ends: list[dict[str, Any]] = json.loads(server.output().splitlines()[-1])
    callers: list[dict[str, Any]] = json.loads(called.stdout)
    assert receiver.packets_dropped() == 0
    receiver.stop()
    ours = Figures(collector)

    def ended(name: str) -> int:
        return sum(end[name] for end in ends)

    transmit, receive = {"direction": "transmit"}, {"direction": "receive"}
    out, again = ours.total("network.packets", **transmit), ours.total("tcp.retransmits", **transmit)
    # RFC 1213's tcpOutSegs leaves out what carries only data that was sent before; a SYN-ACK carries none.
    kernel_out = kernel["TcpOutSegs"] + kernel["TcpRetransSegs"] - kernel["TcpExtTCPSynRetrans"]
    pairs = {
        "retransmitted segments": (again, kernel["TcpRetransSegs"]),
        "of these fast": (ours.total("tcp.retransmits", cause="fast", **transmit), kernel["TcpExtTCPFastRetrans"]),
        "of these SYN-ACKs": (ours.total("tcp.retransmits", cause="syn_ack", **transmit), kernel["TcpExtTCPSynRetrans"]),
        "retransmitted bytes": (ours.total("tcp.retransmits.io", **transmit), ended("bytes_retrans")),
        "in vain": (ours.total("tcp.retransmits.spurious", **transmit), kernel["TcpExtTCPDSACKRecvSegs"]),
        "segments out": (out, kernel_out),
        "segments in": (ours.total("network.packets", **receive), kernel["TcpInSegs"]),
        "bytes out": (ours.total("network.io", **transmit), ended("bytes_sent")),
        "loss": (again / out, kernel["TcpRetransSegs"] / kernel_out),
        "round trip to the client, us": (ours.mean("tcp.rtt", leg="client") * 1e6, ended("rtt") / connections),
    }
    table = "\n".join(f"{what:30} {own:14.6g} {theirs:14.6g}" for what, (own, theirs) in pairs.items())
    print(f"{'':30} {'ours':>14} {'kernel':>14}\n{table}")
    assert site.lost("eth0") > 0
    assert site.lost("eth1") > 0
    for what, (own, theirs) in pairs.items():
        assert own == pytest.approx(theirs, rel=AGREED, abs=2 if what in FEW else None), f"{what}\n{table}"

    assert len(ends) == len(callers) == connections
    assert ours.total("tcp.connections.established") == kernel["TcpPassiveOpens"] == connections
    assert ours.split("tcp.connections.closed", "reason", "side") == {("fin", "client"): connections}
    assert ours.points("tcp.connections.failed") == ours.points("tcp.connections.open") == []
    assert ours.count("tcp.connection.duration") == ours.count("tcp.mss", side="client") == connections
    assert ours.total("tcp.connection.io", **receive) == ours.total("network.io", **receive)
    # What the client sent again because it was lost before it came here can be seen but for what was the last it had to say.
    assert 0 < ours.total("tcp.retransmits", **receive) <= caller_kernel["TcpRetransSegs"]
    attributes = {"vantage": "server", "port": 8080, "family": "ipv4", "transport": "tcp", "kind": "private"}
    assert ours.total("network.packets", **attributes) == ours.total("network.packets")
    assert ours.split("network.packets", "address", "client.address").keys() == {(None, None)}
    requests = sum(end["requests"] for end in ends)
    (counted,) = ours.points("roundtrips")
    assert (counted["attributes"], int(counted["asInt"])) == ({"protocol": "http", "outcome": "ok"}, requests)


# -- how connections end ---------------------------------------------------------------------------------------------


def listen(namespace: Namespace, address: str, port: int) -> socket.socket:
    return namespace.call(lambda: socket.create_server((address, port)))


def connect(namespace: Namespace, address: str, port: int, timeout_s: float = 10) -> socket.socket:
    return namespace.call(lambda: socket.create_connection((address, port), timeout=timeout_s))


def drop(namespace: Namespace, hook: str, rule: str) -> None:
    """`rule` in nft's language, for the packets that come in or go out."""
    namespace.run(
        "nft", f"add table ip lab; add chain ip lab {hook} {{ type filter hook {hook} priority 0; }}; add rule ip lab {hook} {rule}"
    )


def fail_in_each_way(site: Site) -> tuple[socket.socket, socket.socket]:
    """Each on a port of its own, towards the application but for one. Returns what must stay open for it."""
    application, client = site.application, site.client

    with suppress(ConnectionRefusedError):
        connect(client, APPLICATION, REFUSED)
    with suppress(ConnectionRefusedError):
        connect(application, site.client_address, CALLED_OUT)

    drop(application, "input", f"tcp dport {FILTERED} reject with icmp type port-unreachable")
    with suppress(OSError):
        connect(client, APPLICATION, FILTERED)

    with client.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as datagram:
        datagram.sendto(b"nobody", (APPLICATION, NO_UDP))

    drop(application, "input", f"tcp dport {SILENT} drop")
    with suppress(TimeoutError):
        connect(client, APPLICATION, SILENT, timeout_s=1.5)  # the SYN goes out again after a second

    application.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/tcp_synack_retries")
    drop(client, "output", f"tcp dport {NO_LAST_ACK} tcp flags & (syn | ack) == ack drop")
    with listen(application, APPLICATION, NO_LAST_ACK), connect(client, APPLICATION, NO_LAST_ACK):
        time.sleep(1.5)  # so does the SYN-ACK

    for port, by_server in ((RESET_BY_SERVER, True), (RESET_BY_CLIENT, False)):
        with listen(application, APPLICATION, port) as listener, connect(client, APPLICATION, port) as caller:
            answerer, _ = listener.accept()
            with answerer:
                caller.sendall(REQUEST)
                answerer.recv(1000)
                answerer.sendall(HEAD + b"a" * 100)
                caller.recv(len(HEAD), socket.MSG_WAITALL)
                one = answerer if by_server else caller
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
                one.close()

    listener = listen(application, APPLICATION, VANISHED)
    caller = connect(client, APPLICATION, VANISHED)
    answerer, _ = listener.accept()
    caller.sendall(REQUEST)
    answerer.recv(1000)
    answerer.sendall(HEAD + b"a" * 1000)
    caller.recv(len(HEAD) + 1000, socket.MSG_WAITALL)
    drop(client, "output", f"tcp dport {VANISHED} drop")
    caller.close()  # it is gone, and nobody has told the server, which still waits
    return listener, answerer


@pytest.fixture(scope="module")
def felt(tmp_path_factory: pytest.TempPathFactory) -> Figures:
    """The figures after one connection each has failed in each way; two seconds without a packet end a flow."""
    need("nft")
    site = Site(tmp_path_factory.mktemp("felt"))
    try:
        receiver, collector = watch(site, "receivers.pcap.flows.idle_timeout=2s")
        listener, answerer = fail_in_each_way(site)
        with listener, answerer:
            wait_for(lambda: receiver.own("flows_open") == 0, "the end of every flow")
        receiver.stop()
        return Figures(collector)
    finally:
        site.close()


ENDS: dict[str, tuple[int, dict[str, dict[tuple[object, ...], int]]]] = {
    "refused": (REFUSED, {"failed": {("refused", "server"): 1}}),
    "SYN without an answer": (SILENT, {"failed": {("timeout", "server"): 1}}),
    "SYN-ACK without an answer": (NO_LAST_ACK, {"failed": {("timeout", "client"): 1}}),
    "unreachable": (FILTERED, {"failed": {("unreachable", "server"): 1}}),
    "reset by the server in mid-answer": (RESET_BY_SERVER, {"closed": {("reset", "server"): 1}}),
    "reset by the client in mid-answer": (RESET_BY_CLIENT, {"closed": {("reset", "client"): 1}}),
    "the client vanished": (VANISHED, {"closed": {("idle", None): 1}}),
    "refused, seen by the caller": (CALLED_OUT, {"failed": {("refused", "server"): 1}}),
}


@pytest.mark.parametrize("way", ENDS)
def test_an_end_is_counted_once_and_the_right_side_is_blamed(felt: Figures, way: str) -> None:
    port, expected = ENDS[way]
    for what in ("failed", "closed"):
        assert felt.split(f"tcp.connections.{what}", "reason", "side", port=port) == expected.get(what, {})
    assert felt.total("tcp.connections.opened", port=port) == 1
    assert felt.total("tcp.connections.established", port=port) == (1 if "closed" in expected else 0)
    assert felt.total("tcp.connections.open", port=port) == 0


def test_what_is_repeated_in_a_handshake_is_told_apart(felt: Figures) -> None:
    assert felt.split("tcp.retransmits", "cause", "direction", port=SILENT) == {("syn", "receive"): 1}
    # The client's second ACK does not come here either: its SYN-ACK is what is answered, and that alone goes out twice.
    assert felt.split("tcp.retransmits", "cause", "direction", port=NO_LAST_ACK) == {("syn_ack", "transmit"): 1}
    assert felt.points("tcp.retransmits", port=REFUSED) == []


def test_an_answer_of_icmp_is_counted_for_whose_packet_it_is(felt: Figures) -> None:
    assert felt.total("network.unreachable", port=FILTERED, transport="tcp") == 1
    assert felt.total("network.unreachable", port=NO_UDP, transport="udp") == 1
    assert felt.total("network.packets", port=NO_UDP, transport="udp", direction="receive") == 1
    assert felt.total("network.unreachable") == 2


def test_who_is_ours_decides_the_vantage_and_the_direction(felt: Figures) -> None:
    (called,) = felt.points("tcp.connections.failed", port=CALLED_OUT)
    assert called["attributes"]["pcap_receiver.vantage"] == "client"
    assert called["attributes"]["server.address"] == "10.201.1.3"
    assert felt.split("network.packets", "direction", port=CALLED_OUT) == {("transmit",): 1, ("receive",): 1}
    assert felt.split("network.packets", "direction", port=REFUSED) == {("transmit",): 1, ("receive",): 1}
    assert felt.split("network.packets", "vantage", port=REFUSED).keys() == {("server",)}


# -- half-open for an hour -------------------------------------------------------------------------------------------

CLIENT = "192.0.2.1"
SYN, FIN, RST, ACK = dpkt.tcp.TH_SYN, dpkt.tcp.TH_FIN, dpkt.tcp.TH_RST, dpkt.tcp.TH_ACK
START_NS = 1_700_000_000 * SECOND_NS


class Conversation:
    """Packets between one client port and a server port, with sequence numbers that follow."""

    def __init__(self, client_port: int, server_port: int) -> None:
        self.ports = client_port, server_port
        self.next = {True: 1000, False: 5000}
        self.packets: list[Packet] = []

    def send(self, at_s: float, from_client: bool, flags: int, payload: bytes = b"", again: bool = False) -> None:
        """`again`: one that was sent before; the numbers stay."""
        source, target = self.ports if from_client else self.ports[::-1]
        seq = self.next[from_client] - (1 if again else 0)
        tcp = dpkt.tcp.TCP(
            sport=source, dport=target, seq=seq, ack=self.next[not from_client] if flags & ACK else 0, flags=flags, data=payload
        )
        ends = [socket.inet_aton(one) for one in (CLIENT, APPLICATION)]
        ip = dpkt.ip.IP(src=ends[not from_client], dst=ends[from_client], p=6, ttl=64, data=tcp)
        ip.len = len(ip)
        self.packets.append((START_NS + int(at_s * SECOND_NS), bytes(ip)))
        if not again:
            self.next[from_client] += len(payload) + (1 if flags & (SYN | FIN) else 0)

    def establish(self, at_s: float) -> None:
        self.send(at_s, True, SYN)
        self.send(at_s + 0.001, False, SYN | ACK)
        self.send(at_s + 0.002, True, ACK)


def write_hour(file: Path) -> int:
    """Writes the packets, and returns how many they are.

    Port 1: a SYN that nobody answers; 2: an answer without an answer; 3: a client that is gone for an hour and comes back to a
    server that has forgotten it; 4: one that is gone for good. 5: somebody who goes on, so that time passes."""
    silent, half, forgotten, gone, busy = (Conversation(40_000 + port, port) for port in range(1, 6))
    silent.send(0, True, SYN)
    silent.send(1, True, SYN, again=True)
    half.send(0, True, SYN)
    for at_s in (0.001, 1, 3, 7, 15):
        half.send(at_s, False, SYN | ACK, again=at_s > 0.001)
    for one in (forgotten, gone, busy):
        one.establish(0)
        one.send(1, True, ACK, REQUEST)
        one.send(1.1, False, ACK, HEAD + b"a" * 1000)
    for minute in range(1, 61):
        busy.send(60 * minute, True, ACK, REQUEST)
        busy.send(60 * minute + 0.1, False, ACK, HEAD + b"a" * 1000)
    forgotten.send(3602, True, ACK, REQUEST)
    forgotten.send(3602.1, False, RST)
    busy.send(3700, True, FIN | ACK)
    busy.send(3700.1, False, FIN | ACK)
    busy.send(3700.2, True, ACK)
    packets = (packet for one in (silent, half, forgotten, gone, busy) for packet in one.packets)
    return write_pcap(file, sorted(packets), LINK_RAW)


def read_hour(site: Site, *settings: str) -> Figures:
    collector, file = site.collector(), site.folder / "hour.pcap"
    packets = write_hour(file)
    config = site.folder / "file.yaml"
    config.write_text(Receiver.CONFIG)
    settings = (
        f"receivers.pcap.files=[{file}]", "receivers.pcap.interfaces=[]", f"receivers.pcap.local_addresses=[{APPLICATION}]",
        "service.pipelines.metrics.exporters=[otlp_grpc]", *settings,
    )
    done = site.run_receiver("--config", str(config), *(word for one in settings for word in ("--set", one)))
    assert done.returncode == 0, done.stderr
    wait_for(lambda: Figures(collector).points("tcp.connections.opened"), "the figures")
    figures = Figures(collector)
    assert figures.total("capture.packets") == packets
    assert broken_laws(figures.page(), exporters=False) == []
    return figures


def ends_of(figures: Figures) -> dict[int, dict[tuple[object, ...], float]]:
    """By port: (failed or closed, reason, side) and how many."""
    return {
        port: {
            (what, *key): count
            for what in ("failed", "closed")
            for key, count in figures.split(f"tcp.connections.{what}", "reason", "side", port=port).items()
        }
        for port in range(1, 6)
    }


def test_half_open_for_an_hour_is_given_up_after_five_minutes(site: Site) -> None:
    figures = read_hour(site)
    ends = ends_of(figures)
    assert ends[1] == {("failed", "timeout", "server"): 1}
    assert ends[2] == {("failed", "timeout", "client"): 1}
    # What comes after is of a connection that nobody saw begin.
    assert ends[3] == {("closed", "idle", None): 1, ("closed", "reset", "server"): 1}
    assert figures.total("tcp.connections.established", port=3) == 1
    assert ends[4] == {("closed", "idle", None): 1}
    assert ends[5] == {("closed", "fin", "client"): 1}
    assert figures.split("tcp.retransmits", "port", "cause") == {(1, "syn"): 1, (2, "syn_ack"): 4}


def test_half_open_for_an_hour_and_remembered_ends_as_it_does(site: Site) -> None:
    figures = read_hour(site, "receivers.pcap.flows.idle_timeout=2h")
    ends = ends_of(figures)
    assert ends[3] == {("closed", "reset", "server"): 1}
    assert ends[5] == {("closed", "fin", "client"): 1}
    # Nobody knows yet what becomes of it: the input has ended before its time was up.
    assert ends[4] == {}
    assert figures.total("tcp.connections.open", port=4) == 1
    assert figures.total("tcp.connection.duration", port=3) == pytest.approx(3602.1)


# -- many of them ----------------------------------------------------------------------------------------------------

MANY = 10_000


def test_ten_thousand_open_and_as_many_half_open(site: Site) -> None:
    program("nft")
    receiver, collector = watch(site)
    before = receiver.own("process_memory_rss_bytes")
    for setting, value in (
        ("tcp_max_syn_backlog", 30_000), ("tcp_syncookies", 0), ("tcp_synack_retries", 1), ("ip_local_port_range", "10000 65000")
    ):
        for namespace in (site.application, site.client):
            namespace.run("sh", "-c", f"echo {value} >/proc/sys/net/ipv4/{setting}")
    site.application.run("sh", "-c", "echo 30000 >/proc/sys/net/core/somaxconn")
    drop(site.client, "output", "tcp dport 8082 tcp flags & (syn | ack) == ack drop")
    for port in (8081, 8082):
        site.background([*MANY_OF, "accept", APPLICATION, str(port)], site.application, "ready")
        site.background([*MANY_OF, "connect", APPLICATION, str(port), str(MANY)], site.client, "ready")
    wait_for(lambda: receiver.own("flows_open") == 2 * MANY, f"{2 * MANY} flows")

    def settled() -> int:
        """What only the start needed is given back in the first 75 seconds (`receiver/memory.py`)."""
        now = receiver.own("process_memory_rss_bytes")
        return now if now <= 60_000_000 else 0

    rss = wait_for(settled, "60 MB", timeout_s=90)
    print(f"RSS {before / (1 << 20):.1f} MiB, with {MANY} open and {MANY} half-open connections {rss / (1 << 20):.1f} MiB")

    def figures() -> Figures | None:
        now = Figures(collector)
        return now if now.total("tcp.connections.opened") == 2 * MANY else None

    now = wait_for(figures, "the figures")
    assert now.split("tcp.connections.opened", "port") == {(8081,): MANY, (8082,): MANY}
    assert now.split("tcp.connections.established", "port") == {(8081,): MANY}
    assert now.split("tcp.connections.open", "port") == {(8081,): MANY}
    assert now.points("tcp.connections.failed") == now.points("tcp.connections.closed") == []
    assert receiver.own("limits_hit_total") == receiver.own("flows_ended_total") == 0
    assert receiver.packets_dropped() == 0


# -- names -----------------------------------------------------------------------------------------------------------


def test_servers_that_are_called_have_names(site: Site) -> None:
    """By a DNS answer, by /etc/hosts, by the configuration; by its address where nothing is known."""
    addresses = {"by-dns.test": "10.201.1.21", "by-hosts.test": "10.201.1.22", "by-configuration.test": "10.201.1.23"}
    nameless = "10.201.1.24"
    for address in (*addresses.values(), nameless):
        site.client.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
    site.background(
        [program("dnsmasq"), "-k", "-C", "/dev/null", "--no-resolv", "--no-hosts", "--user=root", "--pid-file=", "--log-facility=-",
         f"--address=/by-dns.test/{addresses['by-dns.test']}"],
        site.client, "started",
    )
    site.background([*WORKLOAD, "serve", "0.0.0.0", "8080"], site.client, "ready")
    own_etc = Path("/etc/netns") / site.application.name  # what `ip netns exec` puts over /etc
    own_etc.mkdir(parents=True)
    try:
        (own_etc / "hosts").write_text(f"127.0.0.1 localhost\n{addresses['by-hosts.test']} by-hosts.test other\n")
        configured = f"{{{addresses['by-configuration.test']}: by-configuration.test}}"
        receiver, collector = watch(site, f"receivers.pcap.names={configured}")
    finally:
        (own_etc / "hosts").unlink()
        own_etc.rmdir()
    query = dns.message.make_query("by-dns.test", "A")
    answer = site.application.call(lambda: dns.query.udp(query, site.client_address, timeout=10))
    assert addresses["by-dns.test"] in answer.answer[0].to_text()
    seen_all(receiver)  # an answer that is read after the connection's begin comes too late for it
    for address in (*addresses.values(), nameless):
        site.application.run(*WORKLOAD, "call", address, "8080", "3", "1")
    seen_all(receiver)
    receiver.stop()
    figures = Figures(collector)
    expected = {(name, "client"): 3 for name in (*addresses, nameless)}
    assert figures.split("tcp.connections.established", "address", "vantage", port=8080) == expected
    assert figures.split("tcp.connections.closed", "address", "vantage", port=8080) == expected
