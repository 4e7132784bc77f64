"""Three thousand statements, as sqlglot and sqlparse read them: no value is left in what is told, nothing else is lost, and the
summary has the tables that sqlglot finds."""

from __future__ import annotations

import random
from collections import Counter
from functools import cache

import pytest
import sqlglot
import sqlparse
from sqlglot import exp
from sqlglot.tokens import TokenType

from receiver.l7.sql import Sql, Statement
from receiver.wire.cursor import Cursor
from tests.l7.harness import COMPILED
from tests.l7.sql_statements import COUNT, NUMBER, SECRET, Made, made, written

DIALECTS = {"mysql": 0, "postgres": 2}
OPERATIONS = {"SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "TRUNCATE", "TABLE", "VIEW"}
# Plain source takes fifty times as long for a statement, and what is compared is the same.
STEP = 1 if COMPILED else 5

VALUES = {
    TokenType.STRING,
    TokenType.NUMBER,
    TokenType.HEX_STRING,
    TokenType.BIT_STRING,
    TokenType.BYTE_STRING,
    TokenType.NATIONAL_STRING,
    TokenType.RAW_STRING,
    TokenType.HEREDOC_STRING,
    TokenType.UNICODE_STRING,
}


def read(text: str, dialect: str) -> Statement:
    wire = text.encode()
    sql = Sql(DIALECTS[dialect])
    statement = sql.read(Cursor(wire), 0, len(wire), False, None)
    assert sql.next == len(wire)
    return statement


@cache
def statements() -> tuple[tuple[Made, Statement], ...]:
    return tuple((one, read(one.text, one.dialect)) for one in made()[::STEP])


def targets(summary: str) -> list[str]:
    """The names in a summary, without quotes."""
    names, at = [], 0
    while at < len(summary):
        end = at
        while end < len(summary) and summary[end] != " ":
            end = summary.index(summary[end], end + 1) + 1 if summary[end] in '"`' else end + 1
        word = summary[at:end]
        if word not in OPERATIONS:
            names.append(word.replace('"', "").replace("`", ""))
        at = end + 1
    return names


def test_there_are_as_many_as_promised_and_they_are_understood() -> None:
    assert len(made()) == COUNT
    assert [one.text for one, statement in statements() if not (statement.operation and statement.summary and statement.text)] == []


def test_no_secret_is_told() -> None:
    for one, statement in statements():
        assert SECRET in one.text or NUMBER in one.text or "'" not in one.text
        for told in (statement.text, statement.summary, statement.procedure, statement.operation):
            assert SECRET not in told and NUMBER not in told, one


def test_no_comment_is_told_and_it_makes_no_other_statement() -> None:
    chance = random.Random(7)
    for one, statement in statements():
        other = read(written(one, chance), one.dialect)
        assert (other.text, other.summary) == (statement.text, statement.summary)


def test_sqlparse_finds_no_value() -> None:
    kinds = sqlparse.tokens.Literal
    for one, statement in statements():
        (parsed,) = sqlparse.parse(statement.text)
        left = [token.value for token in parsed.flatten() if token.ttype in kinds and token.ttype is not kinds.String.Symbol]
        assert left == [], one


def test_sqlglot_finds_no_value_and_all_other_tokens() -> None:
    for one, statement in statements():
        # A name in place of the question marks: PostgreSQL has operators with one.
        told = [(token.token_type, token.text) for token in sqlglot.tokenize(statement.text.replace("?", "q_"), read=one.dialect)]
        assert not [text for kind, text in told if kind in VALUES], one
        if not one.lists:
            assert [text for _, text in told] == expected_tokens(one), one


def expected_tokens(one: Made) -> list[str]:
    """sqlglot's tokens of the original, with a question mark for each value, and for what introduces it."""
    found: list[str] = []
    for token in sqlglot.tokenize(one.text, read=one.dialect):
        value = token.token_type in VALUES
        if value and found and (found[-1].startswith("_utf8") or (found[-1] == "." and NUMBER in token.text)):
            found.pop()  # sqlglot reads `.5` as two
        found.append("q_" if value else token.text)
    return found


def test_sqlglot_finds_the_same_tables_and_operations() -> None:
    for one, statement in statements():
        tree = sqlglot.parse_one(one.text, read=one.dialect)
        ours = targets(statement.summary)
        if len(statement.summary) > 200:
            continue  # it may have been cut
        hidden = {cte.alias for cte in tree.find_all(exp.CTE)}
        theirs = [
            ".".join(part.name for part in table.parts)
            for table in tree.find_all(exp.Table)
            if table.name and table.name not in hidden
        ]
        assert Counter(ours) == Counter(theirs), (one, statement.summary)
        assert Counter(statement.summary.split())["SELECT"] == len(list(tree.find_all(exp.Select))), (one, statement.summary)
        assert statement.operation in (tree.key.upper(), "SELECT", "TRUNCATE"), one


@pytest.mark.parametrize("dialect", DIALECTS)
def test_statement_cut_anywhere_tells_no_secret(dialect: str) -> None:
    sql = Sql(DIALECTS[dialect])
    for one, statement in statements()[:: 10 if COMPILED else 100]:
        if one.dialect != dialect:
            continue
        wire = one.text.encode()
        for end in range(len(wire)):
            cut = sql.read(Cursor(wire[:end]), 0, end, True, None)
            assert SECRET not in cut.text + cut.summary and NUMBER not in cut.text + cut.summary
            whole = sql.read(Cursor(wire[:end]), 0, end, False, None)
            assert SECRET not in whole.text + whole.summary and NUMBER not in whole.text + whole.summary
            # Whole tokens: what is told of the beginning is the beginning of what is told, up to a list that is told shorter.
            if not one.lists:
                assert statement.text.startswith(cut.text)
