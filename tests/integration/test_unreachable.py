"""Look-ups that the kernel refuses: its own ICMP and ICMPv6, seen live by `watch`, which leaves layer 4 in the kernel.

Nobody listens on 127.0.0.1 and ::1; nftables refuses 127.0.0.9 and fd00::9 as a firewall does. Needs root and nftables.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.integration.namespaces import Namespace
from tests.integration.servers import need

ROOT = Path(__file__).resolve().parent.parent.parent

# Prints what the client was told of each look-up.
CLIENT = r"""
import errno, socket, sys
import dns.message
for server in sys.argv[1:]:
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        one.settimeout(5)
        one.connect((server, 53))
        one.send(dns.message.make_query("a.test", "A").to_wire())
        try:
            one.recv(512)
        except OSError as error:
            print(server, errno.errorcode.get(error.errno, "none"))
"""


def test_a_lookup_that_the_kernel_refuses_ends_at_once(tmp_path: Path) -> None:
    need("nft")
    namespace = Namespace(f"pr-icmp-{os.getpid()}")
    shown = tmp_path / "watch.txt"
    watch: subprocess.Popen[bytes] | None = None
    try:
        for address in ("127.0.0.9/8", "fd00::9/128"):
            namespace.run("ip", "address", "add", address, "dev", "lo", *(["nodad"] if ":" in address else []))
        rules = (
            "add table inet lab; add chain inet lab input { type filter hook input priority 0; };"
            "add rule inet lab input ip daddr 127.0.0.9 udp dport 53 reject with icmp type admin-prohibited;"
            "add rule inet lab input ip6 daddr fd00::9 udp dport 53 reject with icmpv6 type admin-prohibited"
        )
        namespace.run("nft", rules)
        with shown.open("wb") as output:
            argv = [sys.executable, "-m", "receiver", "watch", "-i", "lo"]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            watch = subprocess.Popen(
                namespace.command(argv), stdout=output, stderr=subprocess.PIPE, cwd=ROOT, env=environment
            )
        time.sleep(3)
        servers = ["127.0.0.1", "::1", "127.0.0.9", "fd00::9"]
        told = namespace.run(sys.executable, "-c", CLIENT, *servers).stdout.split()
        time.sleep(2)
        watch.terminate()
        _, said = watch.communicate(timeout=30)
    finally:
        if watch is not None and watch.poll() is None:
            watch.kill()
            watch.wait()
        namespace.close()
    # EACCES and EHOSTUNREACH are what Linux makes of "prohibited" (RFC 1122 knows no better).
    assert dict(zip(told[::2], told[1::2], strict=True)) == {
        "127.0.0.1": "ECONNREFUSED", "::1": "ECONNREFUSED", "127.0.0.9": "EHOSTUNREACH", "fd00::9": "EACCES",
    }
    lines = [line.split("  ") for line in shown.read_text().splitlines()]
    assert [(line[1].split(" -> ")[1], line[3], line[-1].strip()) for line in lines] == [
        ("127.0.0.1:53", "A a.test", "unreachable"),
        ("[::1]:53", "A a.test", "unreachable"),
        ("127.0.0.9:53", "A a.test", "unreachable"),
        ("[fd00::9]:53", "A a.test", "unreachable"),
    ], said.decode()
    assert all(float(line[5].split()[0]) < 100 for line in lines)
    assert all(line[5].split()[1] in ("us", "ms") for line in lines)
