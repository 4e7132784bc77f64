"""Three thousand statements of both dialects, with a secret in each of their values.

They are made of templates, the same each time: queries as clients and mappers write them, nested into one another, with values of
every kind that a dialect has. `SECRET` and `NUMBER` are in each value, and nowhere else.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

SECRET = "hunter2"
NUMBER = "86753"
COUNT = 3000
SEED = 20261201


@dataclass(frozen=True)
class Made:
    """`lists`: values stand in lists, which are told shorter."""

    dialect: str
    text: str
    lists: bool


class Maker:
    def __init__(self, chance: random.Random, dialect: str) -> None:
        self.chance = chance
        self.dialect = dialect
        self.mysql = dialect == "mysql"
        self.lists = False
        self.ctes = 0

    # --- values ---

    def inner(self) -> str:
        """What stands in a string: words of SQL, quotes of the other kind, what looks like comments."""
        around = ("", "a ", "; DROP TABLE x -- ", "/* ", " */", "$$", "é", "`", "FROM t WHERE ", "{", "#", "?", "%s", "\t")
        return self.chance.choice(around) + SECRET + self.chance.choice(around)

    def number(self) -> str:
        digits = f"{NUMBER}{self.chance.randrange(1000)}"
        forms: tuple[str, ...] = (digits, f"{digits}.5", f"0.{digits}", f"{digits}e10", f"{digits}.25E-3", f"0x{NUMBER}AF")
        return self.chance.choice(forms)

    def value(self) -> str:
        inner = self.inner()
        if self.chance.random() < 0.3:
            return self.number()
        forms: list[Callable[[], str]] = [
            lambda: f"'{inner}'",
            lambda: f"'it''s {inner}'",
            lambda: f"'{inner}'''",
            lambda: f"N'{inner}'",
        ]
        if self.mysql:
            forms += [
                lambda: f'"{inner}"',
                lambda: f'"say ""{inner}"""',
                lambda: f"'it\\'s {inner}\\\\'",
                lambda: f'"{inner}\\""',
                lambda: f"_utf8mb4'{inner}'",
                lambda: f"x'{NUMBER}0'",
                lambda: f"DATE '{NUMBER}-01-01'",
            ]
        else:
            forms += [
                lambda: f"E'it\\'s {inner}\\\\'",
                lambda: f"$${SECRET} it's$$",
                lambda: f"$tag${inner} $tag $ $$ 'x$tag$",
                lambda: f"'{inner}'::text",
                lambda: f"interval '{NUMBER} days'",
                lambda: f"'{inner}\\'",
                lambda: f"CAST('{inner}' AS varchar)",
            ]
        return self.chance.choice(forms)()

    # --- names ---

    def table(self) -> str:
        name = self.chance.choice(("orders", "customers", "public.items", "shop.carts", "t1", "a_b", "straße", "order_lines"))
        if self.chance.random() < 0.2:
            return f"`{name}`" if self.mysql else f'"{name}"'
        if self.chance.random() < 0.05:
            return "`shop`.`big table`" if self.mysql else '"shop"."big table"'
        return name

    def column(self) -> str:
        return self.chance.choice(("id", "name", "o.total", "created_at", "o.status", "price", "value_1"))

    # --- conditions and expressions ---

    def expression(self, depth: int) -> str:
        forms: list[Callable[[], str]] = [
            self.column,
            self.value,
            lambda: f"coalesce({self.column()}, {self.value()})",
            lambda: f"count(DISTINCT {self.column()})",
            lambda: f"CASE WHEN {self.condition(0)} THEN {self.value()} ELSE {self.column()} END",
            lambda: f"EXTRACT(YEAR FROM {self.column()})",
            lambda: f"{self.column()} + {self.number()}",
        ]
        if depth:
            forms.append(lambda: f"({self.select(depth - 1)})")
        return self.chance.choice(forms)()

    def condition(self, depth: int) -> str:
        forms: list[Callable[[], str]] = [
            lambda: f"{self.column()} = {self.value()}",
            lambda: f"{self.column()} <> {self.value()}",
            lambda: f"{self.column()} LIKE '%{SECRET}%'",
            lambda: f"{self.column()} BETWEEN {self.number()} AND {self.number()}",
            lambda: f"{self.column()} IS NOT NULL",
            lambda: f"{self.column()}>={self.number()}",
            lambda: f"NOT ({self.column()} = {self.value()} OR {self.column()} = {self.number()})",
            self.membership,
        ]
        if depth:
            forms += [
                lambda: f"EXISTS ({self.select(depth - 1)})",
                lambda: f"{self.column()} IN ({self.select(depth - 1)})",
            ]
        return self.chance.choice(forms)()

    def membership(self) -> str:
        self.lists = True
        values = ", ".join(self.value() for _ in range(self.chance.randrange(1, 6)))
        return f"{self.column()} IN ({values})"

    def where(self, depth: int) -> str:
        if self.chance.random() < 0.2:
            return ""
        conditions = [self.condition(depth) for _ in range(self.chance.randrange(1, 4))]
        return " WHERE " + self.chance.choice((" AND ", " OR ")).join(conditions)

    # --- statements ---

    def source(self, depth: int) -> str:
        if depth and self.chance.random() < 0.15:
            return f"({self.select(depth - 1)}) AS s"
        return self.table() + self.chance.choice(("", " o", " AS o"))

    def select(self, depth: int = 2) -> str:
        columns = ", ".join(self.expression(depth) for _ in range(self.chance.randrange(1, 4)))
        text = f"SELECT {self.chance.choice(('', '', 'DISTINCT '))}{columns}"
        if self.chance.random() < 0.08:
            return text
        text += f" FROM {self.source(depth)}"
        for _ in range(self.chance.choice((0, 0, 0, 1, 2))):
            form = self.chance.choice((", {}", " JOIN {} ON a.id = b.id", " LEFT JOIN {} ON a.id = b.id AND b.x = " + self.value()))
            text += form.replace("{}", self.source(0))
        text += self.where(depth)
        if self.chance.random() < 0.3:
            text += f" GROUP BY {self.column()} HAVING count(*) > {self.number()}"
        if self.chance.random() < 0.3:
            text += f" ORDER BY {self.column()} DESC"
        if self.chance.random() < 0.3:
            text += f" LIMIT {NUMBER}"
        if depth == 2 and self.chance.random() < 0.1:
            text += " UNION ALL " + self.select(0)
        return text

    def with_query(self) -> str:
        self.ctes += 1
        name = f"cte{self.ctes}"
        return f"WITH {name} AS ({self.select(1)}) SELECT * FROM {name} JOIN {self.table()} ON a.id = b.id{self.where(0)}"

    def insert(self) -> str:
        self.lists = True
        rows = [
            f"({self.value()}, {self.value()}, {self.chance.choice(('NULL', 'DEFAULT', 'now()', self.number()))})"
            for _ in range(self.chance.randrange(1, 5))
        ]
        text = f"INSERT INTO {self.table()} (id, name, total) VALUES {', '.join(rows)}"
        if self.mysql and self.chance.random() < 0.3:
            return f"{text} ON DUPLICATE KEY UPDATE name = {self.value()}"
        if not self.mysql and self.chance.random() < 0.3:
            return f"{text} ON CONFLICT (id) DO UPDATE SET name = {self.value()} RETURNING id"
        return text

    def insert_select(self) -> str:
        return f"INSERT INTO {self.table()} (id, name) {self.select(1)}"

    def update(self) -> str:
        return f"UPDATE {self.table()} SET name = {self.value()}, total = {self.expression(1)}{self.where(1)}"

    def delete(self) -> str:
        return f"DELETE FROM {self.table()}{self.where(1)}"

    def create(self) -> str:
        return f"CREATE TABLE {self.table()} (id int, name varchar({NUMBER}) DEFAULT '{SECRET}')"

    def create_as(self) -> str:
        return f"CREATE TABLE {self.table()} AS {self.select(1)}"

    def view(self) -> str:
        return f"CREATE OR REPLACE VIEW {self.table()} AS {self.select(1)}"

    def drop(self) -> str:
        return f"DROP TABLE IF EXISTS {self.table()}"

    def truncate(self) -> str:
        return f"TRUNCATE TABLE {self.table()}"

    def statement(self) -> Made:
        forms = (
            (self.select, 40), (self.with_query, 10), (self.insert, 15), (self.insert_select, 8), (self.update, 12),
            (self.delete, 8), (self.create, 2), (self.create_as, 2), (self.view, 2), (self.drop, 1), (self.truncate, 1),
        )  # fmt: skip
        form = self.chance.choices([form for form, _ in forms], [weight for _, weight in forms])[0]
        self.lists = False
        return Made(self.dialect, form(), self.lists)


def made() -> list[Made]:
    chance = random.Random(SEED)
    makers = [Maker(chance, dialect) for dialect in ("mysql", "postgres")]
    return [makers[i % 2].statement() for i in range(COUNT)]


def outside_names(text: str, quotes: str) -> str:
    """A text without what stands in these quotes."""
    found, at = [], 0
    while at < len(text):
        if text[at] in quotes:
            at = text.index(text[at], at + 1)
        else:
            found.append(text[at])
        at += 1
    return "".join(found)


def written(one: Made, chance: random.Random) -> str:
    """The same between comments, with a secret in each."""
    comments = [f"/* {SECRET} it's */", f"-- {SECRET} 'x\n", f"/*+ {SECRET} */"]
    if one.dialect == "mysql":
        comments.append(f"# {SECRET}\n")
    else:
        comments.append(f"/* a /* {SECRET} */ b's */")
    return f"{chance.choice(comments)} {one.text} {chance.choice(comments)}"
