"""SQL: rules by name, what must never be told, what is bounded. `test_sql_oracles.py` has what other implementations say."""

from __future__ import annotations

import gc
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.l7 import sql as module
from receiver.l7.sql import Prepared, Room, Sql, Statement
from receiver.l7.trace_context import TraceContext
from receiver.wire.cursor import Cursor
from receiver.wire.records import Message
from tests.l7.harness import COMPILED
from tests.l7.sql_statements import outside_names

MYSQL, MARIADB, POSTGRESQL = 0, 1, 2
BOTH = (MYSQL, POSTGRESQL)
TEXT_MAX = 4096
SUMMARY_MAX = 255


def read(
    text: str | bytes, dialect: int = POSTGRESQL, cut: bool = False, ansi_quotes: bool | None = None, backslash: bool | None = None
) -> Statement:
    """The first statement, with bytes around it that must not be read."""
    wire = text if isinstance(text, bytes) else text.encode()
    sql = Sql(dialect)
    if ansi_quotes is not None:
        sql.ansi_quotes = ansi_quotes
    if backslash is not None:
        sql.backslash = backslash
    c = Cursor(b"'\"`$/*" + wire + b"' secret \" `")
    c.set(c.buf if not COMPILED else b"'\"`$/*" + wire + b"' secret \" `", 6, 6 + len(wire))
    return sql.read(c, 6, 6 + len(wire), cut, None)


def each(text: str | bytes, dialect: int = POSTGRESQL) -> list[str]:
    """The texts of all statements, as a decoder reads them."""
    wire = text if isinstance(text, bytes) else text.encode()
    sql, c, at = Sql(dialect), Cursor(wire), 0
    found = []
    while at < len(wire):
        statement = sql.read(c, at, len(wire), False, None)
        assert sql.next > at
        at = sql.next
        if statement.operation:
            found.append(statement.text)
    return found


# --- values ---

TEXTS = [
    # The examples of the conventions (docs/db/database-spans.md).
    (MYSQL, "SELECT *\n   FROM   wuser_table\n   WHERE  username = 'x'", "SELECT * FROM wuser_table WHERE username = ?"),
    (POSTGRESQL, "SET mykey 'x'", "SET mykey ?"),
    (POSTGRESQL, "SELECT * FROM t WHERE id IN (1, 2, 3, 4)", "SELECT * FROM t WHERE id IN (?)"),
    # Strings.
    (POSTGRESQL, "SELECT 'a''b', 'a\\', E'a\\'b', e'\\\\', U&'\\0061', N'a', B'01', X'1F'", "SELECT ?, ?, ?, ?, ?, ?, ?, ?"),
    (
        MYSQL,
        "SELECT 'a''b', 'a\\'b', \"c\"\"d\", \"e\\\"\", N'a', b'01', x'1F', _utf8mb4'a', _latin1\"b\"",
        "SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?",
    ),
    (POSTGRESQL, "SELECT $$a 'b' $1$$, $x$ $$ $y$ $x$, $x1_ü$a$x1_ü$", "SELECT ?, ?, ?"),
    (POSTGRESQL, "SELECT 'a'\n'b'", "SELECT ?"),
    (POSTGRESQL, "SELECT date'2020-01-01', interval '1 day', timestamp  '2020-01-01'", "SELECT date ?, interval ?, timestamp ?"),
    # Numbers.
    (POSTGRESQL, "SELECT 1, 1.5, .5, 5., 1e10, 1.5E-3, 0x1F, 0o17, 0b101, 1_000", "SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"),
    (
        MYSQL,
        "SELECT a FROM t WHERE b=-1 AND c = + 5 AND d>-.5 AND e - 1 < 2",
        "SELECT a FROM t WHERE b=? AND c = ? AND d>? AND e - ? < ?",
    ),
    (POSTGRESQL, "SELECT a[1:2], t.x1, a1 FROM t LIMIT 5 OFFSET 10", "SELECT a[?:?], t.x1, a1 FROM t LIMIT ? OFFSET ?"),
    (POSTGRESQL, "SELECT 1secret, 12:30, 5::int8", "SELECT ?, ?:?, ?::int8"),
    # Names, parameters, operators.
    (MYSQL, "SELECT `a``b 'c'`, @v, @@session.x, @'q' FROM `t`", "SELECT `a``b 'c'`, @v, @@session.x, @? FROM `t`"),
    (POSTGRESQL, 'SELECT "a""b \'c\'", $1, $23::text[] FROM "T"', 'SELECT "a""b \'c\'", $1, $23::text[] FROM "T"'),
    (
        POSTGRESQL,
        "SELECT d->>'k', d #> '{a,b}', d @> '{}'::jsonb, d ?| array['a','b']",
        "SELECT d->>?, d #> ?, d @> ?::jsonb, d ?| array[?]",
    ),
    (POSTGRESQL, "SELECT f(a := 1, b => 'x'), :name, U&\"d\\0061t\"", 'SELECT f(a := ?, b => ?), :name, U&"d\\0061t"'),
    (MYSQL, "SELECT a FROM t WHERE b = ? AND c = :c AND d := 5", "SELECT a FROM t WHERE b = ? AND c = :c AND d := ?"),
    (POSTGRESQL, "SELECT a ` b, 'c' ` d", "SELECT a ` b, ? ` d"),
    # Words that are no values, outside of lists.
    (
        POSTGRESQL,
        "UPDATE t SET a = NULL, b = TRUE, c = DEFAULT WHERE d IS NOT NULL",
        "UPDATE t SET a = NULL, b = TRUE, c = DEFAULT WHERE d IS NOT NULL",
    ),
    # Comments and spaces.
    (POSTGRESQL, "/* a 'b' */ SELECT /* c /* d */ 'e' */ 1 -- f 'g\n FROM\tt--h", "SELECT ? FROM t"),
    (MYSQL, "# a 'b\nSELECT/**/1 -- c 'd\n FROM t# e 'f\rg\n WHERE a=5--1 /* x */", "SELECT ? FROM t WHERE a=?--?"),
    (
        MYSQL,
        "SELECT /*+ MAX_EXECUTION_TIME(1000) */ /*!40001 SQL_NO_CACHE */ a FROM t /*M!100100 FOR UPDATE */",
        "SELECT SQL_NO_CACHE a FROM t FOR UPDATE",
    ),
    (MYSQL, "/*!50003 SELECT 'a' */ /*!*/", "SELECT ?"),
    (POSTGRESQL, "SELECT /*! 'a' */ b # 5", "SELECT b # ?"),
    # Lists.
    (
        POSTGRESQL,
        "SELECT a FROM t WHERE (a, b) IN ((1, 2), (3, 'x')) OR c NOT IN('a')",
        "SELECT a FROM t WHERE (a, b) IN ((?)) OR c NOT IN (?)",
    ),
    (POSTGRESQL, "INSERT INTO t VALUES (1, $2, NULL, true), ($3, -4, 'x', DEFAULT)", "INSERT INTO t VALUES (?)"),
    (
        POSTGRESQL,
        "INSERT INTO t (a) VALUES(1, now(), 2), (3, now(), 4) , (5, now(), 6) RETURNING a",
        "INSERT INTO t (a) VALUES (?, now(), ?) RETURNING a",
    ),
    (
        MYSQL,
        "INSERT INTO t VALUE (1,2) ON DUPLICATE KEY UPDATE a=VALUES(a), b = 2",
        "INSERT INTO t VALUE (?) ON DUPLICATE KEY UPDATE a=VALUES (a), b = ?",
    ),
    (MYSQL, "VALUES ROW(1,-2), ROW(5,7) ORDER BY 1", "VALUES ROW(?) ORDER BY ?"),
    (POSTGRESQL, "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v (a, b)", "SELECT * FROM (VALUES (?)) AS v (a, b)"),
    (
        POSTGRESQL,
        "SELECT a FROM t WHERE b = ANY(ARRAY[1, 2, 3]) AND c IN (SELECT 1, 1 FROM u)",
        "SELECT a FROM t WHERE b = ANY(ARRAY[?]) AND c IN (SELECT ?, ? FROM u)",
    ),
    (
        POSTGRESQL,
        "SELECT a FROM t WHERE b IN (1::int, 2::int) AND f(1, 2) AND c IN ()",
        "SELECT a FROM t WHERE b IN (?::int) AND f(?, ?) AND c IN ()",
    ),
    (POSTGRESQL, "SELECT position('a' in b), value, 5, 5 FROM t", "SELECT position(? in b), value, ?, ? FROM t"),
    # What is set.
    (POSTGRESQL, "SET app.secret = hunter2", "SET app.secret = ?"),
    (POSTGRESQL, 'SET LOCAL app.secret TO "hunter2", hunter3', "SET LOCAL app.secret TO ?, ?"),
    (POSTGRESQL, "ALTER ROLE bob SET app.secret TO hunter2", "ALTER ROLE bob SET app.secret TO ?"),
    (POSTGRESQL, "SET a TO DEFAULT", "SET a TO DEFAULT"),
    (MYSQL, "SET autocommit=ON, @x = PASSWORD('a'), sql_mode=ANSI", "SET autocommit=ON, @x = PASSWORD(?), sql_mode=?"),
]


@pytest.mark.parametrize(("dialect", "text", "told"), TEXTS)
def test_text_without_its_values(dialect: int, text: str, told: str) -> None:
    assert read(text, dialect).text == told


def test_double_quotes_hold_what_the_connection_says() -> None:
    text = 'SELECT "a" FROM `t`'
    assert read(text, MYSQL).text == "SELECT ? FROM `t`"
    assert read(text, MYSQL, ansi_quotes=True).text == 'SELECT "a" FROM `t`'


def test_backslash_escapes_where_the_connection_says_so() -> None:
    assert read("SELECT 'a\\', b, 'c'", MYSQL).text == "SELECT ?c ?"  # c is a name there, and the last quote begins a string
    assert read("SELECT 'a\\', b, 'c'", MYSQL, backslash=False).text == "SELECT ?, b, ?"
    assert read("SELECT 'a\\'b', c", POSTGRESQL, backslash=True).text == "SELECT ?, c"


# --- summaries ---

SUMMARIES = [
    # The examples of the conventions. A string is a value: its name is not told where they tell it.
    ("SELECT *\nFROM   wuser_table\nWHERE  username = ?", "SELECT wuser_table"),
    (
        "INSERT INTO shipping_details (order_id, address) SELECT order_id, address FROM orders WHERE order_id = ?",
        "INSERT shipping_details SELECT orders",
    ),
    ("SELECT * FROM songs, artists WHERE songs.artist_id == artists.id", "SELECT songs artists"),
    (
        "SELECT order_date FROM (SELECT * FROM orders o JOIN customers c ON o.customer_id = c.customer_id)",
        "SELECT SELECT orders customers",
    ),
    ("SELECT * FROM \"song list\", 'artists'", 'SELECT "song list"'),
    ("{call some_stored_procedure}", "call some_stored_procedure"),
    # Queries.
    ("select 1", "select"),
    ("(SELECT a FROM t) UNION ALL (SELECT b FROM u) ORDER BY 1", "SELECT t SELECT u"),
    ("SELECT a FROM t UNION SELECT b FROM u", "SELECT t SELECT u"),
    ("SELECT (SELECT max(x) FROM u), EXTRACT(YEAR FROM d), substring(a FROM 1 FOR 2) FROM t", "SELECT SELECT u t"),
    ("SELECT a FROM t WHERE b IS DISTINCT FROM c AND EXISTS (SELECT 1 FROM v)", "SELECT t SELECT v"),
    (
        "SELECT a FROM ONLY s.t AS x LEFT JOIN u USING (id) CROSS JOIN LATERAL (SELECT 1) l, generate_series(1, 9) g, w",
        "SELECT s.t u SELECT w",
    ),
    ("SELECT a FROM t, u ON a.x = u.x, v WHERE a IN (1, 2) ORDER BY b, c LIMIT 1, 2", "SELECT t u v"),
    ("SELECT a FROM (t JOIN u ON t.a = u.a) JOIN v ON 1 = 1 FOR UPDATE OF t, u", "SELECT t u v"),
    ("SELECT a INTO b FROM c", "SELECT b c"),
    ("SELECT count(*) AS update FROM session s, user, event", "SELECT session user event"),
    ("WITH a AS (SELECT * FROM t), b (x) AS MATERIALIZED (SELECT 1 FROM a) SELECT * FROM a, b, u", "SELECT t SELECT SELECT u"),
    ("WITH RECURSIVE a AS (SELECT 1 UNION ALL SELECT n FROM a) DELETE FROM t USING a WHERE t.x = a.x", "SELECT SELECT DELETE t"),
    ("WITH d AS (DELETE FROM t RETURNING *) INSERT INTO u SELECT * FROM d", "DELETE t INSERT u SELECT"),
    ("INSERT INTO t WITH a AS (SELECT 1 FROM v) SELECT * FROM a", "INSERT t SELECT v SELECT"),
    # Writing.
    ("INSERT INTO t (a, b) VALUES (1, 2) ON CONFLICT (a) DO UPDATE SET b = 3", "INSERT t"),
    ("INSERT IGNORE t SET a = 1, b = (SELECT x FROM y)", "INSERT t SELECT y"),
    ("INSERT INTO t SELECT a FROM u ON DUPLICATE KEY UPDATE a = 1, b = 2", "INSERT t SELECT u"),
    ("REPLACE INTO t VALUES (REPLACE(a, 'b', 'c'), INSERT('a', 1, 2, 'b'))", "REPLACE t"),
    ("UPDATE ONLY t SET a = u.a, b = 2 FROM u, v WHERE t.x = u.x", "UPDATE t u v"),
    ("UPDATE LOW_PRIORITY a, b JOIN c ON a.x = c.x SET a.y = 1, b.y = 2", "UPDATE a b c"),
    ("DELETE FROM a USING b WHERE a.x = b.x", "DELETE a b"),
    ("DELETE x, y FROM a AS x JOIN b AS y ON x.a = y.a", "DELETE a b"),
    (
        "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN UPDATE SET a = 1 WHEN NOT MATCHED THEN INSERT (a) VALUES (1)",
        "MERGE t s",
    ),
    ("TRUNCATE TABLE ONLY a, b RESTART IDENTITY", "TRUNCATE a b"),
    ("COPY t (a, b) FROM STDIN WITH (FORMAT csv)", "COPY t"),
    ("COPY (SELECT * FROM t) TO STDOUT", "COPY SELECT t"),
    ("LOAD DATA LOCAL INFILE 'x' INTO TABLE t FIELDS TERMINATED BY ','", "LOAD t"),
    # Definitions.
    ("CREATE TEMPORARY TABLE IF NOT EXISTS a.b (id int PRIMARY KEY, c int REFERENCES d ON DELETE CASCADE)", "CREATE TABLE a.b"),
    ("CREATE TABLE t AS SELECT * FROM u", "CREATE TABLE t SELECT u"),
    ("CREATE OR REPLACE VIEW v AS WITH a AS (SELECT 1) SELECT * FROM a, t", "CREATE VIEW v SELECT SELECT t"),
    ("CREATE MATERIALIZED VIEW v AS SELECT 1", "CREATE MATERIALIZED VIEW v SELECT"),
    ("CREATE UNIQUE INDEX CONCURRENTLY i ON t USING btree (c)", "CREATE INDEX i t"),
    ("CREATE INDEX ON t (c)", "CREATE INDEX t"),
    ("CREATE TRIGGER g BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()", "CREATE TRIGGER g t"),
    ("CREATE DEFINER=`root`@`%` PROCEDURE `p`(IN a INT) BEGIN SELECT * FROM t; END", "CREATE PROCEDURE `p`"),
    ("CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS $$ SELECT 1 $$", "CREATE FUNCTION f"),
    ("DROP TABLE IF EXISTS a, b CASCADE", "DROP TABLE a b"),
    ("ALTER TABLE IF EXISTS ONLY t ADD COLUMN a int, DROP COLUMN b", "ALTER TABLE t"),
    ("CREATE USER bob IDENTIFIED BY 'x'", "CREATE USER"),
    ("ALTER ROLE bob PASSWORD 'x'", "ALTER ROLE"),
    ("GRANT SELECT, UPDATE ON TABLE s.t TO bob", "GRANT s.t"),
    ("COMMENT ON COLUMN t.c IS 'x'", "COMMENT t.c"),
    # Others.
    ("CALL s.p(1)", "CALL s.p"),
    ("{ ? = call f(?) }", "call f"),
    ("BEGIN ISOLATION LEVEL SERIALIZABLE", "BEGIN"),
    ("START TRANSACTION READ ONLY", "START TRANSACTION"),
    ("COMMIT", "COMMIT"),
    ("ROLLBACK TO SAVEPOINT sa_savepoint_1", "ROLLBACK"),
    ("RELEASE SAVEPOINT sa_savepoint_1", "RELEASE SAVEPOINT"),
    ("SET SESSION autocommit = 1", "SET autocommit"),
    ("SET @a = 1", "SET"),
    ("SHOW FULL TABLES FROM x", "SHOW TABLES"),
    ("SHOW VARIABLES LIKE 'x'", "SHOW VARIABLES"),
    ("USE shop", "USE shop"),
    ("EXPLAIN (ANALYZE, BUFFERS) UPDATE t SET a = 1", "EXPLAIN UPDATE t"),
    ("EXPLAIN ANALYZE SELECT * FROM t", "EXPLAIN SELECT t"),
    ("EXPLAIN FORMAT=JSON DELETE FROM t", "EXPLAIN DELETE t"),
    ("DESCRIBE t", "DESCRIBE t"),
    ("VACUUM (VERBOSE, ANALYZE) a, b", "VACUUM a b"),
    ("VACUUM FULL ANALYZE a", "VACUUM a"),
    ("LOCK TABLES a READ, b AS c WRITE", "LOCK a b"),
    ("RENAME TABLE a TO b, c TO d", "RENAME a c"),
    ("REFRESH MATERIALIZED VIEW CONCURRENTLY v", "REFRESH v"),
    ("TABLE t", "TABLE t"),
    ("VALUES (1), (2)", "VALUES"),
    ("PREPARE p_17 AS SELECT * FROM t WHERE a = $1", "PREPARE SELECT t"),
    ("EXECUTE p_17 (1)", "EXECUTE"),
    ("DECLARE c_17 CURSOR FOR SELECT * FROM t", "DECLARE SELECT t"),
    ("FETCH 100 FROM c_17", "FETCH"),
    ("DO $$ BEGIN PERFORM 1; END $$", "DO"),
]


@pytest.mark.parametrize(("text", "summary"), SUMMARIES)
def test_summary_has_operations_and_targets(text: str, summary: str) -> None:
    assert read(text).summary == summary


def test_operation_is_the_verb_in_capitals() -> None:
    found = [
        read(text).operation for text in ("select 1", "with a as (select 1) delete from t", "create table t (a int)", "call p()")
    ]
    assert found == ["SELECT", "DELETE", "CREATE", "CALL"]


def test_procedure_is_what_is_called() -> None:
    assert [read(text, MYSQL).procedure for text in ("CALL `s`.p(1)", "{call q(?)}", "SELECT f(1)", "EXECUTE stmt")] == [
        "`s`.p",
        "q",
        "",
        "",
    ]


def test_summary_ends_with_a_whole_target() -> None:
    names = [f"table_{i:03d}" for i in range(100)]
    summary = read("SELECT * FROM " + ", ".join(names)).summary
    assert len(summary) <= SUMMARY_MAX < len(summary) + 10
    assert summary.split()[1:] == names[: len(summary.split()) - 1]
    assert read(f'SELECT * FROM "{"x" * 300}"').summary == "SELECT"
    assert read(f"SELECT * FROM {'é' * 200}").summary == "SELECT"


# --- what is not understood, and what does not end ---


@pytest.mark.parametrize(
    "text", ["", " \n", ";", " ; ;", "/* a */", "-- a", "hunter2 'x'", "'x'", "1 2 3", "\x00SELECT", "?", "(((", "\xff"]
)
@pytest.mark.parametrize("dialect", BOTH)
def test_what_is_no_statement_is_nothing(text: str, dialect: int) -> None:
    statement = read(text.encode("latin-1"), dialect)
    assert (statement.operation, statement.summary, statement.text, statement.procedure) == ("", "", "", "")


@pytest.mark.parametrize(
    ("dialect", "text", "told"),
    [
        (POSTGRESQL, b"SELECT a, 'hunter2", "SELECT a, ?"),
        (POSTGRESQL, b"SELECT a, E'\\' hunter2", "SELECT a, ?"),
        (POSTGRESQL, b"SELECT a, $x$ hunter2 $y$", "SELECT a, ?"),
        (POSTGRESQL, b'SELECT a, "hunter2', "SELECT a,"),
        (POSTGRESQL, b"SELECT a /* hunter2 /* */", "SELECT a"),
        (MYSQL, b'SELECT a, "hunter2', "SELECT a, ?"),
        (MYSQL, b"SELECT a, `hunter2", "SELECT a,"),
        (MYSQL, b"SELECT a, 'x\\", "SELECT a, ?"),
        # GBK and Shift-JIS have letters that end with a backslash.
        (MYSQL, b"SELECT '\xbf\\', 'hunter2', a", "SELECT ?"),
        (MYSQL, b"SELECT '\x83\\\\', hunter2, '", "SELECT ?"),
        (MYSQL, "SELECT 'é\\'s', a".encode(), "SELECT ?, a"),
        # No UTF-8, control characters.
        (POSTGRESQL, b"SELECT a, b\xffc, hunter2", "SELECT a,"),
        (POSTGRESQL, b"SELECT a\xed\xa0\x80, hunter2", "SELECT"),
        (POSTGRESQL, b"SELECT a, \x00 hunter2", "SELECT a,"),
        (POSTGRESQL, b'SELECT a, "\xffb", hunter2', "SELECT a,"),
        # A comment that MySQL runs, or does not: then its quote is none.
        (MYSQL, b"SELECT 1 /*!99999 don't */ , 'hunter2'", "SELECT ? don ?"),
        (MYSQL, b"SELECT 1 /*!99999 # */ 'a\n hunter2'", "SELECT ?"),
        (MYSQL, b"SELECT 1, /*!99999 $$ */ 'x $$ hunter2'", "SELECT ?, ?"),
        (MYSQL, b"SELECT 1, /*!99999 `x */ 'x` hunter2'", "SELECT ?,"),
        # Once PostgreSQL read this as 1 and E'', now it is an error.
        (POSTGRESQL, b"SELECT 1E'a\\' hunter2'", "SELECT ?"),
    ],
)
def test_what_does_not_end_hides_the_rest(dialect: int, text: bytes, told: str) -> None:
    assert read(text, dialect).text == told


def test_cut_text_ends_with_a_whole_token() -> None:
    text = "SELECT abc FROM orders_of_all WHERE x = 'y'"
    assert read(text[:25], cut=True).text == "SELECT abc FROM"
    assert read(text[:25], cut=True).summary == "SELECT"
    assert read(text[:25]).summary == "SELECT orders_of"
    assert read(text[:-2], cut=True).text == "SELECT abc FROM orders_of_all WHERE x = ?"
    assert read('SELECT "a"', cut=True).text == "SELECT"  # its quote may be the first of two


def test_long_text_is_cut_at_a_token() -> None:
    text = "SELECT " + ", ".join(f"column_{i:04d}" for i in range(1000)) + " FROM t"
    told = read(text).text
    assert TEXT_MAX - 13 < len(told) <= TEXT_MAX
    assert told.split(", ") == text.removesuffix(" FROM t").split(", ")[: told.count(",") + 1] or told.endswith(",")
    grown = read("SELECT a IN(" * 1000).text  # each gets a space more
    assert len(grown) <= TEXT_MAX


# --- secrets ---

SECRETS = [
    (MYSQL, "CREATE USER 'bob'@'%' IDENTIFIED BY 'hunter2' REQUIRE SSL"),
    (MYSQL, "CREATE USER bob IDENTIFIED WITH caching_sha2_password AS 0x68756E74657232"),
    (MYSQL, "ALTER USER USER() IDENTIFIED BY \"hunter2\" REPLACE 'hunter2'"),
    (MYSQL, "SET PASSWORD FOR 'bob' = 'hunter2'"),
    (MYSQL, "SET PASSWORD = PASSWORD('hunter2')"),
    (MYSQL, "GRANT ALL ON *.* TO bob IDENTIFIED BY PASSWORD '*hunter2'"),
    (MYSQL, "CHANGE MASTER TO MASTER_PASSWORD='hunter2', MASTER_USER='bob'"),
    (MYSQL, "SELECT AES_DECRYPT(a, 'hunter2'), SHA2('hunter2', 256) FROM t"),
    (MYSQL, "PREPARE s FROM 'SELECT hunter2'"),
    (POSTGRESQL, "CREATE ROLE bob LOGIN PASSWORD 'hunter2' VALID UNTIL '2030-01-01'"),
    (POSTGRESQL, "ALTER ROLE bob WITH ENCRYPTED PASSWORD $$hunter2$$"),
    (POSTGRESQL, "ALTER USER bob PASSWORD E'hunter2\\''"),
    (POSTGRESQL, "CREATE USER MAPPING FOR bob SERVER s OPTIONS (user 'bob', password 'hunter2')"),
    (POSTGRESQL, "CREATE SUBSCRIPTION s CONNECTION 'host=x password=hunter2' PUBLICATION p"),
    (POSTGRESQL, "ALTER SYSTEM SET ssl_passphrase_command = 'echo hunter2'"),
    (POSTGRESQL, "SELECT dblink_connect('password=hunter2'), pgp_sym_decrypt(a, U&'hunter2')"),
    (POSTGRESQL, "NOTIFY c, 'hunter2'"),
    (POSTGRESQL, "DO $body$ BEGIN EXECUTE 'hunter2'; END $body$"),
    (POSTGRESQL, "COPY t FROM PROGRAM 'curl -u bob:hunter2'"),
]


@pytest.mark.parametrize(("dialect", "text"), SECRETS)
def test_password_is_told_nowhere_wherever_the_text_is_cut(dialect: int, text: str) -> None:
    for end in range(len(text) + 1):
        for cut in (False, True):
            statement = read(text[:end], dialect, cut)
            told = f"{statement.operation} {statement.summary} {statement.text} {statement.procedure}"
            assert "hunt" not in told and "6875" not in told


# --- several statements ---


@pytest.mark.parametrize(
    ("dialect", "text", "texts"),
    [
        (POSTGRESQL, "BEGIN; INSERT INTO t VALUES (1);COMMIT", ["BEGIN", "INSERT INTO t VALUES (?)", "COMMIT"]),
        (POSTGRESQL, ";; SELECT 1 ;; /* ; */ ; SELECT 2; -- x", ["SELECT ?", "SELECT ?"]),
        (POSTGRESQL, "SELECT ';', \";\", $$;$$ /* ; */ -- ;\n; SELECT 2", ['SELECT ?, ";", ?', "SELECT ?"]),
        (MYSQL, "SELECT ';', \";\", `;` # ;\n; SELECT 2", ["SELECT ?, ?, `;`", "SELECT ?"]),
        (MYSQL, "hunter2; SELECT 2", ["SELECT ?"]),
        (
            POSTGRESQL,
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; SELECT 2; END; SELECT 3",
            ["CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN a THEN ? END; SELECT ?; END", "SELECT ?"],
        ),
        (
            POSTGRESQL,
            "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3",
            ["CREATE RULE r AS ON INSERT TO t DO (SELECT ?; SELECT ?)", "SELECT ?"],
        ),
        (
            MYSQL,
            "CREATE PROCEDURE p() BEGIN IF a THEN SELECT 1; END IF; WHILE a DO SET b = 2; END WHILE; CASE b WHEN 1 THEN DO 3;"
            " END CASE; END;SELECT 4",
            [
                "CREATE PROCEDURE p() BEGIN IF a THEN SELECT ?; END IF; WHILE a DO SET b = ?; END WHILE; CASE b WHEN ? THEN DO ?;"
                " END CASE; END",
                "SELECT ?",
            ],
        ),
        (MARIADB, "BEGIN NOT ATOMIC SELECT 1; SELECT 2; END; SELECT 3", ["BEGIN NOT ATOMIC SELECT ?; SELECT ?; END", "SELECT ?"]),
        (MYSQL, "CREATE TABLE event (begin int); SELECT 1", ["CREATE TABLE event (begin int)", "SELECT ?"]),
        (POSTGRESQL, "END; SELECT 1", ["END", "SELECT ?"]),
    ],
)
def test_statements_end_at_their_semicolon(dialect: int, text: str, texts: list[str]) -> None:
    assert each(text, dialect) == texts


def test_next_is_behind_the_semicolon_or_the_end() -> None:
    sql = Sql(POSTGRESQL)
    for text, place in (
        (b"SELECT 1; SELECT 2", 9),
        (b"SELECT 1; \n", 11),
        (b"SELECT 1", 8),
        (b"SELECT 'a; SELECT 2", 19),
        (b"SELECT 1; 'a", 9),
    ):
        sql.read(Cursor(text), 0, len(text), False, None)
        assert sql.next == place


def test_what_is_longer_than_is_looked_at_has_no_next_statement() -> None:
    text = b"SELECT " + b"a, " * 2000 + b"b; SELECT 2"
    sql = Sql(POSTGRESQL)
    sql.read(Cursor(text), 0, len(text), False, None)
    assert sql.next == len(text)


def test_nothing_is_read_outside_of_the_window() -> None:
    c = Cursor(b"SELECT 1; SELECT 2")
    c.set(b"SELECT 1; SELECT 2", 3, 10)
    sql = Sql(POSTGRESQL)
    for at, end in ((2, 10), (3, 11), (5, 4)):
        with pytest.raises(IndexError):
            sql.read(c, at, end, False, None)


# --- sqlcommenter ---

PARENT = "00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01"
IDS = (bytes.fromhex("5bd66ef5095369c7b0d1f8f4bd33716a"), bytes.fromhex("c532cb4098ac3dd2"))


def told(text: str, propagators: tuple[str, ...] = ("tracecontext",)) -> tuple[bytes | None, bytes | None, bytes | None, int]:
    wire, out = text.encode(), Message()
    sql = Sql(POSTGRESQL, None, TraceContext(propagators))
    assert sql.read(Cursor(wire), 0, len(wire), False, out).text == "SELECT * FROM foo"
    return out.trace_id, out.parent_id, out.tracestate, out.trace_flags


def test_context_of_the_specification_of_sqlcommenter() -> None:
    text = (
        "SELECT * FROM FOO /*action='%2Fparam*d',controller='index,'framework='spring',\n"
        f"traceparent='{PARENT}',\ntracestate='congo%3Dt61rcWkgMzE%2Crojo%3D00f067aa0ba902b7'*/"
    ).replace("FOO", "foo")
    assert told(text) == (*IDS, b"congo=t61rcWkgMzE,rojo=00f067aa0ba902b7", 1)


@pytest.mark.parametrize(
    "text",
    [
        f"SELECT * FROM foo /*traceparent='{PARENT}'*/",
        f"/*traceparent='{PARENT}'*/ SELECT * FROM foo",
        f"SELECT * FROM foo /* app='x' , traceparent='{PARENT}' */;",
        f"SELECT * FROM foo; /*traceparent='{PARENT}'*/",
        f"SELECT * FROM foo /* hello, it's */ /*traceparent='{PARENT.replace('-', '%2D')}'*/ -- bye",
        f"/* hello *//*db_driver='a\\'b',traceparent='{PARENT}'*/ /* you */ SELECT * FROM foo",
    ],
)
def test_context_in_front_and_behind(text: str) -> None:
    assert told(text)[:2] == IDS


@pytest.mark.parametrize(
    "text",
    [
        f"SELECT * /*traceparent='{PARENT}'*/ FROM foo",
        f"SELECT * FROM foo /*traceparent='{PARENT[:-1]}'*/",
        f"SELECT * FROM foo /*traceparent='{PARENT}",
        f"SELECT * FROM foo /*traceparent={PARENT}*/",
        f"SELECT * FROM foo /*traceparent='{PARENT}',traceparent='{PARENT}'*/",
        f"SELECT * FROM foo; /*traceparent='{PARENT}'*/ SELECT 2",
        f"SELECT * FROM foo --traceparent='{PARENT}'",
    ],
)
def test_context_that_is_none(text: str) -> None:
    assert told(text)[0] is None


def test_context_is_that_of_its_statement() -> None:
    text = f"SELECT 1; /*traceparent='{PARENT}'*/ SELECT 2".encode()
    sql, first, second = Sql(POSTGRESQL, None, TraceContext()), Message(), Message()
    sql.read(Cursor(text), 0, len(text), False, first)
    sql.read(Cursor(text), sql.next, len(text), False, second)
    assert (first.trace_id, second.trace_id) == (None, IDS[0])


def test_other_formats_count_where_they_are_read() -> None:
    text = f"SELECT * FROM foo /*b3='{IDS[0].hex()}-{IDS[1].hex()}-1'*/"
    assert told(text)[0] is None
    assert told(text, ("b3",))[:2] == IDS


def test_context_makes_no_other_statement() -> None:
    sql = Sql(POSTGRESQL, None, TraceContext())
    found = set()
    for i in range(100):
        text = f"SELECT * FROM foo WHERE a = {i} /*traceparent='00-{i + 1:032x}-c532cb4098ac3dd2-01'*/".encode()
        out = Message()
        found.add(id(sql.read(Cursor(text), 0, len(text), False, out)))
        assert out.trace_id == (i + 1).to_bytes(16, "big")
    assert len(found) == len(sql.known.by_name) == 1


# --- tables ---


def one(sql: Sql, text: str) -> Statement:
    wire = text.encode()
    return sql.read(Cursor(wire), 0, len(wire), False, None)


def test_statement_is_one_object_whatever_its_values() -> None:
    sql = Sql(POSTGRESQL)
    assert one(sql, "SELECT a FROM t WHERE b = 'x'") is one(sql, "/* y */ SELECT a  FROM t WHERE b = 17 -- z")
    assert one(sql, "SELECT a FROM t") is not one(sql, "SELECT b FROM t")


def test_summary_is_one_object_whatever_the_statement() -> None:
    sql = Sql(POSTGRESQL)
    summaries = [one(sql, f"SELECT c{i} FROM t").summary for i in range(10)]
    assert all(a is b for a, b in pairwise(summaries))


def test_no_text_is_kept_that_has_values() -> None:
    sql = Sql(MYSQL)
    one(sql, "SELECT a FROM t WHERE b = 'hunter2' -- hunter2")
    one(sql, "hunter2 'x'")
    kept = repr((sql.known.by_name, [vars(each) if not COMPILED else each.text for each in sql.known.by_name.values()]))
    assert "hunter2" not in kept and len(sql.known.by_name) == 1


def test_known_statements_are_bounded_and_begun_anew() -> None:
    limits: dict[str, int] = {}
    sql = Sql(POSTGRESQL, limits)
    first = one(sql, "SELECT c0 FROM t")
    for i in range(1024):
        one(sql, f"SELECT c{i} FROM t")
    assert limits["sql_statements"] == 0 and one(sql, "SELECT c0 FROM t") is first
    assert one(sql, "SELECT d FROM t").text == "SELECT d FROM t"
    assert limits["sql_statements"] == 1 and len(sql.known.by_name) == 1
    again = one(sql, "SELECT c0 FROM t")
    assert again is not first and again.summary is first.summary


def test_summary_beyond_the_cap_is_its_operation() -> None:
    limits: dict[str, int] = {}
    sql = Sql(POSTGRESQL, limits)
    for i in range(1024):
        assert one(sql, f"SELECT a FROM t{i}").summary == f"SELECT t{i}"
    assert limits["sql_summaries"] == 0
    assert one(sql, "SELECT a FROM u").summary == "SELECT"
    assert limits["sql_summaries"] == 1
    assert one(sql, "SELECT b FROM t5").summary == "SELECT t5"


def test_prepared_statements_are_bounded_by_connection() -> None:
    limits: dict[str, int] = {}
    prepared = Prepared(Room(limits))
    statement = Statement("SELECT")
    for i in range(1024):
        prepared.put(i, statement)
    assert limits == {"sql_prepared_statements": 0, "sql_all_prepared_statements": 0}
    prepared.put(1024, statement)
    assert limits["sql_prepared_statements"] == 1
    assert prepared.get(1024) is None and prepared.get(1023) is statement
    prepared.put(5, other := Statement("UPDATE"))  # in the place of another
    assert prepared.get(5) is other and limits["sql_prepared_statements"] == 1
    prepared.drop(7)
    prepared.drop(7)
    prepared.put(1024, statement)
    prepared.put(1025, statement)
    assert prepared.get(1024) is statement and limits["sql_prepared_statements"] == 2


def test_prepared_statements_are_bounded_in_all_and_room_is_given_back() -> None:
    limits: dict[str, int] = {}
    room = Room(limits)
    statement = Statement("SELECT")

    def full() -> list[Prepared]:
        connections = [Prepared(room) for _ in range(97)]
        for connection in connections:
            for i in range(1024):
                connection.put(i, statement)
        return connections

    connections = full()  # 97 x 1 024 of 100 000
    more = Prepared(room)
    for i in range(1000):
        more.put(i, statement)
    assert limits["sql_all_prepared_statements"] == 97 * 1024 + 1000 - 100_000
    connections[0].clear()
    before = limits["sql_all_prepared_statements"]
    more.put("x", statement)
    assert more.get("x") is statement and limits["sql_all_prepared_statements"] == before
    del connections, more  # nobody said that they ended
    gc.collect()
    again = full()
    assert limits["sql_all_prepared_statements"] == before and again[-1].get(1023) is statement


def test_statement_fills_a_message() -> None:
    out = Message()
    Statement("CALL", "CALL p", "CALL p(?)", "p").fill(out, True)
    assert out.summary == "CALL p"
    assert out.attributes == ["db.query.text", "CALL p(?)", "db.stored_procedure.name", "p"] or dict(
        zip(out.attributes[::2], out.attributes[1::2], strict=True)
    ) == {"db.query.text": "CALL p(?)", "db.stored_procedure.name": "p"}


# --- any bytes ---

ATTACKS = [
    b"/*" * 32768,
    b"SELECT " + b"/*" * 32768 + b"*/" * 32768,
    b"SELECT '" + b"a" * 65536,
    b"SELECT '" + b"\\" * 65535,
    b"SELECT '" + b"''" * 32768,
    b"SELECT " + b"(" * 65536,
    b"(" * 65536,
    b"SELECT * FROM " + b"(" * 2000 + b"a" + b")" * 2000,
    b"SELECT " + b"\x00" * 65536,
    b"SELECT " + b"\xff" * 65536,
    b"SELECT " + b"$" * 65536,
    b"SELECT $a$" + b"$a" * 32768,
    b"SELECT a IN (" + b"(1," * 16384,
    b"INSERT INTO t VALUES " + b"(1,'a'),(a,b)," * 4096,
    b"SELECT " + b"-" * 65536,
    b"SELECT " + b"- " * 32768 + b"1",
    b";" * 65536,
    b"SELECT " + b"IN(" * 2000,
    b"SELECT " + b"date''" * 2000,
    b"WITH " + b"a AS (SELECT " * 2000,
    b"/*!" * 20000,
    b"SELECT `" + b"``" * 32768,
    b"/*" + b"a='b'," * 10000 + b"*/ SELECT 1",
    b"/*traceparent='" + b"%" * 60000 + b"'*/ SELECT 1",
]


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize("attack", range(len(ATTACKS)))
def test_attack_is_bounded(attack: int, dialect: int) -> None:
    wire = ATTACKS[attack]
    sql = Sql(dialect, None, TraceContext())
    sql.read(Cursor(wire), 0, len(wire), False, Message())
    check(sql.read(Cursor(wire), 0, len(wire), True, Message()), dialect)


def check(statement: Statement, dialect: int) -> None:
    assert "'" not in outside_names(statement.text, '"' if dialect == POSTGRESQL else '"`')
    assert len(statement.text.encode()) <= TEXT_MAX
    assert len(statement.summary.encode()) <= SUMMARY_MAX
    assert all(letter >= " " for letter in statement.text)
    assert bool(statement.operation) == bool(statement.summary)


PIECES = st.sampled_from(
    [
        b"SELECT ",
        b"'",
        b'"',
        b"`",
        b"\\",
        b"/*",
        b"*/",
        b"--",
        b"#",
        b"\n",
        b"$$",
        b"$a$",
        b"(",
        b")",
        b",",
        b"IN",
        b" VALUES ",
        b"1",
        b"-",
        b" FROM ",
        b"t",
        b";",
        b"E",
        b"U&",
        b"\xc3\xa9",
        b"\xff",
        b"\x00",
        b"/*!",
        b" ",
        b".",
        b"SET ",
        b"=",
        b"CREATE FUNCTION ",
        b"BEGIN ",
        b"END ",
        b"IF ",
        b"NULL",
        b"ROW",
        b"ARRAY[",
        b"]",
        b"traceparent='",
        b"WITH a AS ",
        b"UPDATE ",
        b"?",
        b"@",
        b":",
    ]
)
ANY = st.binary(max_size=200) | st.lists(PIECES, max_size=60).map(b"".join)


@settings(max_examples=1500 if COMPILED else 300)
@given(ANY, st.sampled_from((MYSQL, MARIADB, POSTGRESQL)), st.booleans(), st.booleans(), st.booleans())
def test_any_bytes_are_read_to_their_end(wire: bytes, dialect: int, cut: bool, names: bool, escapes: bool) -> None:
    sql, c, at = Sql(dialect, None, TraceContext()), Cursor(wire), 0
    sql.ansi_quotes, sql.backslash = names, escapes
    while at < len(wire):
        check(sql.read(c, at, len(wire), cut, Message()), dialect)
        assert at < sql.next <= len(wire)
        at = sql.next


@settings(max_examples=500 if COMPILED else 100)
@given(
    st.lists(PIECES, max_size=30).map(b"".join),
    st.sampled_from(BOTH),
    st.integers(0, 400),
    st.sampled_from(("'{}'", "$q${}$q$", "{}")),
)
def test_value_leaves_no_trace_wherever_it_stands(around: bytes, dialect: int, place: int, form: str) -> None:
    """Behind any text that ends well: the value is told only if it is no value there."""
    before = b"SELECT " + around.replace(b"'", b"").replace(b'"', b"").replace(b"`", b"").replace(b"$", b"").replace(
        b"/*!", b"/* */"
    )
    if dialect == MYSQL:
        form = form.replace("$q$", '"')
    before = before.replace(b"/*", b" ").replace(b"--", b"- ").replace(b"#", b" ").replace(b"U&", b"").replace(b";", b",")
    number = form == "{}"
    wire = before + b" , " + form.format("8675309" if number else "hunter2").encode() + b" , " + around
    statement = read(wire[: len(before) + place], dialect, True)
    assert "hunter" not in statement.text and "8675309" not in statement.text


def test_module_runs_as_it_is_meant_to() -> None:
    assert str(module.__file__).endswith(".py") is not COMPILED
