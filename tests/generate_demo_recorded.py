"""Writes `receiver/demo_recorded.py`: conversations of real servers and clients, from the vectors, for the demo to show.

python -m tests.generate_demo_recorded
"""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULE = ROOT / "receiver" / "demo_recorded.py"
# The vector, the port that such servers have, and how many of its events: up to an answer.
CHOSEN = (
    ("dns/unbound-tcp-kdig", 53, 10),
    ("redis/redis-cli", 6379, 14),
    ("mysql/mariadb-pymysql-orders", 3306, 21),
    ("postgresql/psycopg-transaction", 5432, 21),
    ("mongodb/ferretdb-bulk", 27017, 12),
    ("kafka/kafka-python-produce-1", 9092, 17),
    ("amqp/consume-and-ack", 5672, 24),
)
HEAD = '''"""What real servers and clients said to each other, for the demo to show of protocols that it has no server for.

Room: cli. Written by `tests/generate_demo_recorded.py` from `tests/vectors`; not to be edited.

Of each conversation the server, the client, the port, and what passed: microseconds since its begin, whether it went to the
server, and the bytes.
"""

from __future__ import annotations

'''


def literal(payload: bytes) -> str:
    """In lines of at most 100 characters."""
    pieces, at = [], 0
    for end in range(1, len(payload) + 1):
        if end == len(payload) or len(repr(payload[at : end + 1])) > 100:
            pieces.append(repr(payload[at:end]))
            at = end
    return "\n         ".join(pieces)


def source() -> str:
    lines = [HEAD + "RECORDED: tuple[tuple[str, str, int, tuple[tuple[int, bool, bytes], ...]], ...] = ("]
    for name, port, count in CHOSEN:
        about, *rest = map(json.loads, (ROOT / "tests" / "vectors" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines())
        server = about["server"].removesuffix(" Configure")  # what its version begins with
        lines += [f"    ({server!r}, {about['client']!r}, {port}, ("]
        for event in [each for each in rest if "text" in each][:count]:
            payload = event["text"].encode("latin-1")
            payload += payload[-1:] * event.get("times", 0)
            lines.append(f"        ({event['us']}, {event['to'] == 'server'}, {literal(payload)}),")
        lines.append("    )),")
    return "\n".join([*lines, ")  # fmt: skip", ""])


if __name__ == "__main__":
    MODULE.write_text(source(), encoding="utf-8")
