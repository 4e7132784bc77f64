"""AMQP's words: methods and what answers them, reply codes, and the tables that all connections share.

Room: l7. Sources: AMQP 0-9-1 specification and its XML; RabbitMQ, "AMQP 0-9-1 Extensions" (confirm, basic.nack, and others).
"""

from __future__ import annotations

import re
from typing import Any

import cython

from receiver.l7.shared import Shared
from receiver.l7.trace_context import TraceContext
from receiver.wire.interned import Interned

if not cython.compiled:
    # The compiled module has these as C enums, from the `.pxd`.
    SENDER_CLIENT = 1
    SENDER_SERVER = 2

    CONNECTION_SECURE = 0x000A_0014
    CONNECTION_CLOSE = 0x000A_0032
    CONNECTION_CLOSE_OK = 0x000A_0033
    CHANNEL_OPEN = 0x0014_000A
    CHANNEL_CLOSE = 0x0014_0028
    CHANNEL_CLOSE_OK = 0x0014_0029
    QUEUE_DECLARE = 0x0032_000A
    QUEUE_DECLARE_OK = 0x0032_000B
    QUEUE_DELETE_OK = 0x0032_0029
    BASIC_CONSUME = 0x003C_0014
    BASIC_CONSUME_OK = 0x003C_0015
    BASIC_PUBLISH = 0x003C_0028
    BASIC_RETURN = 0x003C_0032
    BASIC_DELIVER = 0x003C_003C
    BASIC_GET = 0x003C_0046
    BASIC_GET_OK = 0x003C_0047
    BASIC_GET_EMPTY = 0x003C_0048
    BASIC_ACK = 0x003C_0050
    BASIC_REJECT = 0x003C_005A
    BASIC_NACK = 0x003C_0078
    CONFIRM_SELECT = 0x0055_000A

# Names made up by peers. Of destinations each is a series; as they stand on the wire they are only looked up faster.
DESTINATIONS_MAX = 1000
SPELLINGS_MAX = 4096
CODES_MAX = 64

# What stands for one instance in a name: a UUID, a long hexadecimal word, a long number.
_INSTANCE = re.compile(
    rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    rb"|(?<![0-9A-Za-z])(?=[0-9a-fA-F]*[0-9])[0-9a-fA-F]{12,}(?![0-9A-Za-z])"
    rb"|(?<![0-9])[0-9]{5,}(?![0-9])"
)
# Names that RabbitMQ makes: of queues that were declared without one, of answers that come without a queue.
_GENERATED = re.compile(rb"amq\.gen-[A-Za-z0-9_-]+")
_REPLY_TO = re.compile(rb"amq\.rabbitmq\.reply-to\.[^:]+")

REPLIES = {
    311: "content-too-large",
    312: "no-route",
    313: "no-consumers",
    320: "connection-forced",
    402: "invalid-path",
    403: "access-refused",
    404: "not-found",
    405: "resource-locked",
    406: "precondition-failed",
    501: "frame-error",
    502: "syntax-error",
    503: "command-invalid",
    504: "channel-error",
    505: "unexpected-frame",
    506: "resource-error",
    530: "not-allowed",
    540: "not-implemented",
    541: "internal-error",
}
"""Reply codes by the names of the specification, as error.type has them."""

_NEVER = -1


@cython.final
@cython.cclass
class Method:
    """A method. `answer`: what answers it, 0 where nothing does. `strings` short strings stand before its bits, behind a reserved
    16-bit field where `ticket`; bit `no_wait` of those says that no answer is wanted (-1: one always is). `named`: the first of the
    strings is what it is about."""

    def __init__(
        self, name: str, senders: int, answer: int = 0, strings: int = 0, no_wait: int = _NEVER, ticket: bool = True
    ) -> None:
        self.name = name
        self.senders = senders
        self.answer = answer
        self.strings = strings
        self.no_wait = no_wait
        self.ticket = ticket
        self.named = strings > 0 and name.startswith(("queue.", "exchange.", "basic.consume", "get"))


def _methods() -> dict[int, Method]:
    client, server, both = 1, 2, 3
    of: dict[int, dict[int, Method]] = {
        10: {
            10: Method("connection.start", server),
            11: Method("connection.start", client, 30),
            20: Method("connection.secure", server),
            21: Method("connection.secure", client),
            30: Method("connection.tune", server),
            31: Method("connection.tune", client),
            40: Method("connection.open", client, 41),
            41: Method("connection.open", server),
            50: Method("connection.close", both, 51),
            51: Method("connection.close", both),
            60: Method("connection.blocked", server),
            61: Method("connection.unblocked", server),
            70: Method("connection.update-secret", client, 71),
            71: Method("connection.update-secret", server),
        },
        20: {
            10: Method("channel.open", client, 11),
            11: Method("channel.open", server),
            20: Method("channel.flow", both, 21),
            21: Method("channel.flow", both),
            40: Method("channel.close", both, 41),
            41: Method("channel.close", both),
        },
        40: {
            10: Method("exchange.declare", client, 11, 2, 4),
            11: Method("exchange.declare", server),
            20: Method("exchange.delete", client, 21, 1, 1),
            21: Method("exchange.delete", server),
            30: Method("exchange.bind", client, 31, 3, 0),
            31: Method("exchange.bind", server),
            40: Method("exchange.unbind", client, 51, 3, 0),
            51: Method("exchange.unbind", server),
        },
        50: {
            10: Method("queue.declare", client, 11, 1, 4),
            11: Method("queue.declare", server),
            20: Method("queue.bind", client, 21, 3, 0),
            21: Method("queue.bind", server),
            30: Method("queue.purge", client, 31, 1, 0),
            31: Method("queue.purge", server),
            40: Method("queue.delete", client, 41, 1, 2),
            41: Method("queue.delete", server),
            50: Method("queue.unbind", client, 51, 3),
            51: Method("queue.unbind", server),
        },
        60: {
            10: Method("basic.qos", client, 11),
            11: Method("basic.qos", server),
            20: Method("basic.consume", client, 21, 2, 3),
            21: Method("basic.consume", server),
            30: Method("basic.cancel", both, 31, 1, 0, ticket=False),
            31: Method("basic.cancel", both),
            40: Method("publish", client, 0, 2),
            50: Method("return", server),
            60: Method("consume", server),
            70: Method("get", client, 71, 1),
            71: Method("get", server),
            72: Method("get", server),
            80: Method("ack", both),
            90: Method("reject", client),
            100: Method("basic.recover-async", client),
            110: Method("basic.recover", client, 111),
            111: Method("basic.recover", server),
            120: Method("nack", both),
        },
        85: {10: Method("confirm.select", client, 11, 0, 0, ticket=False), 11: Method("confirm.select", server)},
        90: {
            10: Method("tx.select", client, 11),
            11: Method("tx.select", server),
            20: Method("tx.commit", client, 21),
            21: Method("tx.commit", server),
            30: Method("tx.rollback", client, 31),
            31: Method("tx.rollback", server),
        },
    }
    found: dict[int, Method] = {}
    for number, methods in of.items():
        for place, method in methods.items():
            if method.answer:
                method.answer |= number << 16
            found[number << 16 | place] = method
    return found


class Destinations(Interned):
    """What messages are sent to and come from, by how it stands on the wire: exchange and routing key, each behind its length, and
    a queue's name where there is one."""

    def __init__(self, limits: dict[str, int]) -> None:
        self.texts = Interned("amqp_destinations", DESTINATIONS_MAX, limits, "_OTHER")
        Interned.__init__(self, "amqp_spellings", SPELLINGS_MAX, limits, forgets=True)

    def make(self, name: bytes) -> Any:
        at = 1 + name[0]
        exchange = name[1:at]
        key = name[at + 1 : at + 1 + name[at]]
        queue = name[at + 1 + name[at] :]
        parts = [part for part in (exchange, key, b"" if queue == key else queue) if part]
        return self.text(b":".join(parts) if parts else b"amq.default")

    def text(self, name: bytes) -> str:
        """A name as it is told: what stands in it for one instance is a `*`."""
        name = _REPLY_TO.sub(b"amq.rabbitmq.reply-to", _GENERATED.sub(b"amq.gen-*", name))
        told: str = self.texts.named(_INSTANCE.sub(b"*", name))
        return told


class Vocabulary:
    """What all connections share."""

    def __init__(self, shared: Shared | None = None) -> None:
        if shared is None:
            shared = Shared()
        propagators = shared.settings.traces.propagators
        self.limits = shared.limits
        self.levels = shared.levels
        self.server_side = shared.settings.messaging.server_side
        self.context: TraceContext | None = TraceContext(propagators) if propagators else None
        self.destinations = Destinations(shared.limits)
        self.codes = Interned("amqp_reply_codes", CODES_MAX, shared.limits, "_OTHER", REPLIES)
        self.methods = _methods()
        for name in ("amqp_channels", "amqp_consumers"):
            self.limits.setdefault(name, 0)

    def reply(self, code: cython.int) -> str:
        """The name of a reply code, always the same object."""
        found: str | None = self.codes.by_name.get(code)
        if found is None:
            found = self.codes.add(code, str(code))
        return found
