"""redis-py with an account of its own: which commands it sent on a connection, in order, and what each was answered.

Used by `record_redis.py` and by the tests; the account comes from redis-py's packing and parsing.
"""

from __future__ import annotations

from typing import Any

import redis
from redis.connection import Connection

Expected = list[dict[str, Any]]


class Account:
    """`sent`: the first word of each command; `answers`: for each reply that was read None, or the error's code."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.answers: list[str | None] = []

    def expected(self) -> Expected:
        """A roundtrip for each command; those at the end that nothing was read for were left unanswered."""
        left = len(self.sent) - len(self.answers)
        answers = [*self.answers, *([None] * left)]
        found: Expected = []
        for i, (name, code) in enumerate(zip(self.sent, answers, strict=True)):
            outcome = "closed" if i >= len(self.answers) else "ok" if code is None else "error"
            found.append({"operation": name.split()[0].upper(), "status": code, "outcome": outcome})
        return found


class Packer:
    """Notes what it packs."""

    def __init__(self, inner: Any, account: Account) -> None:
        self.inner = inner
        self.account = account

    def pack(self, *args: Any) -> Any:
        word = args[0]
        self.account.sent.append(word.decode() if isinstance(word, bytes) else str(word))
        return self.inner.pack(*args)


def client(port: int, account: Account, **settings: Any) -> redis.Redis:
    """A client of one connection, whose packing and reading are noted."""

    class Noted(Connection):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self._command_packer = Packer(self._command_packer, account)

        def read_response(self, *args: Any, **kwargs: Any) -> Any:
            try:
                answer = super().read_response(*args, **kwargs)
            except redis.ResponseError as error:
                account.answers.append(code_of(error))
                raise
            account.answers.append(None)
            return answer

    pool = redis.ConnectionPool(
        connection_class=Noted, host="127.0.0.1", port=port, max_connections=1, socket_timeout=10, **settings
    )
    return redis.Redis(connection_pool=pool)


def code_of(error: redis.ResponseError) -> str:
    """The first word of the error as it was sent; redis-py takes it off the text where it has a class for it."""
    code = getattr(error, "status_code", None)
    return code if isinstance(code, str) else str(error).split(" ")[0]
