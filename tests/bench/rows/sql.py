"""SQL: what a statement costs to be read, one that was seen before and one that was not, short and long."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tests.bench.bench_hpack import rounds
from tests.bench.measure import Bench
from tests.bench.report import Bars

ORDER = 66
ROW = "SQL"
QUERY = (
    b"SELECT o.id, o.created_at, c.name FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.status = 'open' AND"
    b" o.total > 1234.50 AND c.region IN ('eu', 'us', 'ap') ORDER BY o.created_at DESC LIMIT 50"
)
SHORT = b"SELECT abalance FROM pgbench_accounts WHERE aid = 12345;"
LONG = b"SELECT " + b", ".join(b"t.column_%04d + 'value %d'" % (i, i) for i in range(145)) + b" FROM t"
ROWS = b"INSERT INTO t (a, b, c) VALUES " + b", ".join(b"(%d, 'value %d', NULL)" % (i, i) for i in range(145))
NEW = 500


def run(bench: Bench) -> None:
    for what, text, bars in (
        ("a known statement of 205 bytes", QUERY, Bars(0.6)),
        ("a known statement of 56 bytes", SHORT, None),
        ("a known statement of 4 KB", LONG, None),
        ("a list of rows, 4 KB", ROWS, None),
    ):
        found = [bench.quietly(f"SQL, {what}", partial(rounds, reading(text), 20_000))[0][0] for _ in range(bench.repeats)]
        bench.add(ROW, "ours", what, "us", found, bars)
    found = [bench.quietly("SQL, new statements", partial(rounds, new_ones(), 10))[0][0] / NEW for _ in range(bench.repeats)]
    bench.add(ROW, "ours", "a new statement of 205 bytes", "us", found)


def reading(text: bytes) -> Callable[[], object]:
    from receiver.l7.sql import Sql
    from receiver.wire.cursor import Cursor

    return partial(Sql(2).read, Cursor(text), 0, len(text), False, None)


def new_ones() -> Callable[[], object]:
    from receiver.l7.sql import Sql
    from receiver.wire.cursor import Cursor

    texts = [Cursor(QUERY.replace(b"orders", b"o%05d" % i)) for i in range(NEW)]

    def once() -> None:
        sql = Sql(2)
        for text in texts:
            sql.read(text, 0, text.end, False, None)

    return once
