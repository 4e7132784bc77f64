"""DNS over UDP and TCP (RFC 1035, 7766, 6891).

Room: l7; its frames are messages (`prefixed.py`). A datagram is one; on TCP two bytes of length stand before each.
Messages pair by id and question: the key holds both, the question as a hash of its folded name, type and class, so that a client
which spells a name in random case (0x20) finds its answer, and an answer to another question finds nothing.

    [u16 id][u16 flags][u16 questions][u16 answers][u16 authorities][u16 additionals]                     RFC 1035, 4.1.1
     flags: QR 8000  opcode 7800  AA 0400  TC 0200  RD 0100  RA 0080  Z 0040  AD 0020  CD 0010  rcode 000F
    question: [name][u16 type][u16 class]     record: [name][u16 type][u16 class][u32 ttl][u16 length][data]  4.1.2, 4.1.3
    name: labels [u8 1..63][bytes] up to a 0, or up to a pointer [u16 C000 + place in the message]             4.1.4

A pointer must point backwards, each further than the one before, so following them ends; where no text is wanted none is
followed. Only in the question, which is hashed, there is none: nothing but the header stands before it.

Not paired: multicast DNS and LLMNR, whose answers come from elsewhere, or from nobody.
"""

from __future__ import annotations

from functools import partial

import cython

from receiver.l7.prefixed import Prefixed
from receiver.l7.shared import Shared
from receiver.wire.cursor import Cursor
from receiver.wire.interned import Interned
from receiver.wire.names import Names, is_host_name
from receiver.wire.records import Endpoints, Malformed, Message, Protocol

if not cython.compiled:
    from receiver.l7.decoder import MESSAGE, MORE, NO, NOT_OURS, NOTHING, PERHAPS, YES
    from receiver.l7.dns_text import (
        ANSWERS_MAX,
        BROKEN,
        CUT,
        HEADER,
        NAME_MAX,
        TYPE_A,
        TYPE_AAAA,
        TYPE_AXFR,
        TYPE_IXFR,
        TYPE_NIMLOC,
        TYPE_OPT,
        TYPE_SOA,
        TYPE_SRV,
        read_name,
        record_text,
        skip_name,
    )
    from receiver.wire.records import ENDS, ERROR_BOTH, ERROR_NONE, TO_CLIENT

PROTOCOL = "dns"

# Of a message on TCP so much is read, the rest is passed over: only zone transfers and a few TXT answers are longer.
WINDOW = 16384
# Zone transfers under way on one connection; BIND runs 10 with one primary.
TRANSFERS_MAX = 64
# Questions whose text is kept, so that a name is the same object again and again: 4 096 x 3 objects of about 90 B, 1 MB. One more,
# and they are learnt anew.
QUESTIONS_MAX = 4096
# Types, and response codes, that nobody has given a name, kept by number; more of them is somebody playing: `_OTHER`.
NUMBERS_MAX = 128

# Multiplies into the digest of a question (2^64 over the golden ratio; Knuth, volume 3, 6.4). It need not resist an attacker: a
# collision mixes up two questions of one id on one connection, which is between those who made it.
FACTOR = 0x9E3779B97F4A7C15
LOW_64 = (1 << 64) - 1
LOW_47 = (1 << 47) - 1

FLAG_RESPONSE = 0x8000
FLAG_AUTHORITATIVE = 0x0400
FLAG_TRUNCATED = 0x0200
FLAG_AVAILABLE = 0x0080
FLAG_ZERO = 0x0040
OPCODE_BITS = 0x7800

OPCODE_QUERY = 0
OPCODE_NOTIFY = 4
OPCODE_UPDATE = 5
OPCODE_DSO = 6
_OPCODES = ("QUERY", "IQUERY", "STATUS", "OPCODE3", "NOTIFY", "UPDATE", "DSO", *(f"OPCODE{i}" for i in range(7, 16)))

# IANA "Domain Name System (DNS) Parameters", resource record types; others are TYPEnnn (RFC 3597, 5).
_TYPES: dict[int, str] = {
    1: "A", 2: "NS", 3: "MD", 4: "MF", 5: "CNAME", 6: "SOA", 7: "MB", 8: "MG", 9: "MR", 10: "NULL", 11: "WKS", 12: "PTR",
    13: "HINFO", 14: "MINFO", 15: "MX", 16: "TXT", 17: "RP", 18: "AFSDB", 19: "X25", 20: "ISDN", 21: "RT", 22: "NSAP",
    23: "NSAP-PTR", 24: "SIG", 25: "KEY", 26: "PX", 27: "GPOS", 28: "AAAA", 29: "LOC", 30: "NXT", 33: "SRV", 35: "NAPTR",
    36: "KX", 37: "CERT", 38: "A6", 39: "DNAME", 41: "OPT", 42: "APL", 43: "DS", 44: "SSHFP", 45: "IPSECKEY", 46: "RRSIG",
    47: "NSEC", 48: "DNSKEY", 49: "DHCID", 50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA", 53: "SMIMEA", 55: "HIP", 59: "CDS",
    60: "CDNSKEY", 61: "OPENPGPKEY", 62: "CSYNC", 63: "ZONEMD", 64: "SVCB", 65: "HTTPS", 99: "SPF", 104: "NID", 105: "L32",
    106: "L64", 107: "LP", 108: "EUI48", 109: "EUI64", 249: "TKEY", 250: "TSIG", 251: "IXFR", 252: "AXFR", 253: "MAILB",
    254: "MAILA", 255: "ANY", 256: "URI", 257: "CAA", 258: "AVC",
}

# The same registry, RCODEs: 4 bits of the header and 8 of the OPT record above them (RFC 6891, 6.1.3).
RCODE_NOERROR = 0
RCODE_NXDOMAIN = 3
_RCODES: dict[int, str] = {
    0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN", 7: "YXRRSET",
    8: "NXRRSET", 9: "NOTAUTH", 10: "NOTZONE", 11: "DSOTYPENI", 16: "BADVERS", 17: "BADKEY", 18: "BADTIME", 19: "BADMODE",
    20: "BADNAME", 21: "BADALG", 22: "BADTRUNC", 23: "BADCOOKIE",
}

CLASS_IN = 1
_CLASSES = {1: "IN", 3: "CH", 4: "HS", 254: "NONE", 255: "ANY"}

SECTION_QUERY = 0
SECTION_ANSWER = 1
SECTION_OTHER = 2

# Some servers send a message's length in a segment of its own. `announced_` keeps the last length that came alone, or this where it
# is known of a side that it does so.
APART = -1


@cython.no_gc
@cython.cclass
class Question:
    """A name that was asked for, as text; `host`: it can be a host's name."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.host = is_host_name(text)


class Questions(Interned):
    """Names that were asked for, as they stand on the wire, without pointers."""

    def fold(self, wire: bytes) -> bytes:
        # Label lengths are below 64 and no letters: the whole name can be folded at once.
        return wire.lower()

    def make(self, name: bytes) -> Question:
        return Question(read_name(Cursor(name), 0, 0) or ".")


class DnsSettings:
    """What all DNS decoders share; bound to the decoder's factory with functools.partial.

    `names` learns the addresses in answers. `questions`: the question's name goes into the message's `target`, because a metric
    is split by it; otherwise it is an attribute, where there are attributes.
    """

    def __init__(
        self, names: Names | None = None, questions: cython.bint = False, limits: dict[str, int] | None = None
    ) -> None:
        self.names = names
        self.questions = questions
        self.known = Questions("dns_questions", QUESTIONS_MAX, limits, forgets=True)
        self.types = Interned("dns_types", NUMBERS_MAX, limits, "_OTHER", _TYPES)
        self.rcodes = Interned("dns_response_codes", NUMBERS_MAX, limits, "_OTHER", _RCODES)

    def type_name(self, kind: cython.int) -> str:
        if kind == TYPE_A:  # most questions need no look-up
            return "A"
        if kind == TYPE_AAAA:
            return "AAAA"
        name: str | None = self.types.by_name.get(kind)
        return name if name is not None else self.types.add(kind, f"TYPE{kind}")

    def rcode_name(self, rcode: cython.int) -> str:
        if rcode == RCODE_NOERROR:  # as most answers say
            return "NOERROR"
        name: str | None = self.rcodes.by_name.get(rcode)
        return name if name is not None else self.rcodes.add(rcode, f"RCODE{rcode}")


_DEFAULT = DnsSettings()


@cython.no_gc
@cython.cclass
class Transfer:
    """A zone transfer under way: many messages answer one question, until the first SOA record comes again.

    AXFR (RFC 5936, 2.2): SOA, the zone, the same SOA. IXFR (RFC 1995, 4): a single SOA when there is nothing new, the zone as
    for AXFR,
    or new SOA, then pieces that begin with an old SOA and one of the new, the last piece with the newest; then the newest
    once more.
    """

    def __init__(self, key: cython.longlong, kind: cython.int) -> None:
        self.key = key
        self.kind = kind
        self.serial = -1
        self.records = 0
        self.boundaries = 0
        self.incremental = False
        self.over = False


@cython.no_gc
@cython.cclass
class DnsDecoder(Prefixed):
    def __init__(self, settings: DnsSettings | None = None) -> None:
        self.settings = settings if settings is not None else _DEFAULT
        Prefixed.__init__(self, 0)

    def reset(self) -> cython.int:
        Prefixed.reset(self)
        self.multicast = False
        # Keys of the last queries, for answers that do not repeat their question (some FORMERR and NOTIMP do not).
        self.recent_0 = -1
        self.recent_1 = -1
        self.recent_2 = -1
        self.recent_3 = -1
        self.transfers: dict[int, Transfer] | None = None
        self.announced_query = 0
        self.announced_answer = 0
        self.digest = 0
        self.name_end = 0
        self.kind = 0
        self.klass = 0
        self.extended = 0
        self.edns_size = 0
        self.texts: list[str] | None = None
        return 0

    def begin(self, endpoints: Endpoints) -> cython.int:
        # Port 5353 on one side alone is no sign: cluster DNS servers listen there. On 5355 there is LLMNR and nothing else
        # (RFC 4795, 2): its answers come from the hosts themselves.
        self.multicast = endpoints.transport == "udp" and (
            (endpoints.server_port == 5353 and endpoints.client_port == 5353)
            or endpoints.server_port == 5355
            or endpoints.group
        )
        return 0

    def size(self, direction: cython.int, c: Cursor, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        n: cython.Py_ssize_t = c.end - at
        if self.datagrams:
            return n if n >= HEADER else NOT_OURS
        if n < 2:
            return MORE
        n = c.u16(at)
        return n + 2 if n >= HEADER else NOT_OURS

    def wanted(self, direction: cython.int, c: Cursor, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
        return size if size <= WINDOW + 2 or self.datagrams else WINDOW + 2

    def read(
        self, direction: cython.int, c: Cursor, size: cython.Py_ssize_t, ts_ns: cython.longlong, out: Message
    ) -> cython.int:
        base: cython.Py_ssize_t = c.pos if self.datagrams else c.pos + 2
        whole: cython.bint = c.end - c.pos == size and self.cut_off == 0
        if self.multicast:
            return NOTHING
        flags: cython.int = c.u16(base + 2)
        response: cython.bint = flags & FLAG_RESPONSE != 0
        if response != (direction == TO_CLIENT):
            raise Malformed(PROTOCOL, "query from the server" if direction == TO_CLIENT else "answer from the client", 2)
        opcode: cython.int = flags >> 11 & 15
        at: cython.Py_ssize_t = self._question(c, base, opcode)
        identity: cython.longlong = c.u16(base)
        key: cython.longlong = self.digest & LOW_47
        key |= identity << 47
        self.extended = 0
        self.edns_size = -1
        self.texts = None
        out.key = key
        if response:
            return self._response(c, base, at, flags, whole, ts_ns, out)
        count: cython.int = c.u16(base + 6) + c.u16(base + 8) + c.u16(base + 10)
        at = self._records(c, base, at, count, SECTION_QUERY, None, None, ts_ns)
        if at == BROKEN or (at == CUT and whole):
            raise Malformed(PROTOCOL, "record cut short" if at == CUT else "name broken", c.end - base)
        self.recent_3 = self.recent_2
        self.recent_2 = self.recent_1
        self.recent_1 = self.recent_0
        self.recent_0 = key
        if opcode != OPCODE_QUERY:
            out.operation = _OPCODES[opcode]
            # RFC 8490, 5.4: a DSO message with the id 0 wants no answer.
            out.expects_reply = opcode != OPCODE_DSO or identity != 0
        elif self.kind >= 0:
            out.operation = self.settings.type_name(self.kind)
        if self.kind >= 0 and (self.settings.questions or self.detail):
            asked: Question = self.settings.known.find_hashed(c, base + HEADER, self.name_end, self.digest)
            if self.settings.questions:
                out.target = asked.text
            if self.detail:
                self._describe(out, asked, flags)
        if self.kind >= TYPE_IXFR and self.kind <= TYPE_AXFR and opcode == OPCODE_QUERY and not self.datagrams:
            if self.transfers is None:
                self.transfers = {}
            if len(self.transfers) < TRANSFERS_MAX:
                self.transfers[identity] = Transfer(key, self.kind)
            else:
                self.limits["dns_transfers"] = self.limits.get("dns_transfers", 0) + 1
        return MESSAGE

    def _response(
        self,
        c: Cursor,
        base: cython.Py_ssize_t,
        at: cython.Py_ssize_t,
        flags: cython.int,
        whole: cython.bint,
        ts_ns: cython.longlong,
        out: Message,
    ) -> cython.int:
        settings: DnsSettings = self.settings
        identity: cython.int = c.u16(base)
        asked: Question | None = None
        transfer: Transfer | None = None
        if self.transfers is not None:
            transfer = self.transfers.get(identity)
            if transfer is not None and transfer.key != out.key and self.kind >= 0:
                transfer = None
        if self.kind < 0:
            out.key = transfer.key if transfer is not None else self._recall(identity, out.key)
        elif (
            settings.names is not None
            and (self.kind == TYPE_A or self.kind == TYPE_AAAA)
            and flags & 0x780F == 0
            and self.klass == CLASS_IN
        ):
            asked = settings.known.find_hashed(c, base + HEADER, self.name_end, self.digest)
            if not asked.host:
                asked = None
        first: cython.bint = transfer is None or transfer.records == 0
        at = self._records(c, base, at, c.u16(base + 6), SECTION_ANSWER, asked, transfer, ts_ns)
        if at >= 0:
            at = self._records(c, base, at, c.u16(base + 8) + c.u16(base + 10), SECTION_OTHER, None, None, ts_ns)
        if at == BROKEN or (at == CUT and whole and flags & FLAG_TRUNCATED == 0):
            raise Malformed(PROTOCOL, "record cut short" if at == CUT else "name broken", c.end - base)
        rcode: cython.int = flags & 15 | self.extended << 4
        if transfer is not None:
            if not first:
                out.piece = 0
            if transfer.over or rcode != RCODE_NOERROR or (first and transfer.records == 0):
                out.piece |= ENDS
                self._ended(identity)
            else:
                out.piece &= ~ENDS
            if not first and rcode == RCODE_NOERROR:
                return MESSAGE
        name: str = settings.rcode_name(rcode)
        # Eight bits of the code stand in OPT (RFC 6891, 6.1.3). Where that was cut off, an answer without records may be BADVERS.
        if at != CUT or rcode != RCODE_NOERROR or self.edns_size >= 0 or c.u16(base + 6) > 0 or c.u16(base + 10) == 0:
            out.status = name
            out.error_side = ERROR_NONE
        # That there is no such name is an answer (RFC 2308, 2.1): a search path gets it all day. An update is refused by it
        # (RFC 2136, 2.2).
        if rcode != RCODE_NOERROR and (rcode != RCODE_NXDOMAIN or flags & OPCODE_BITS != 0):
            out.error_type = name
            out.error_side = ERROR_BOTH
        if self.detail:
            if self.texts is not None and self.cut_off == 0:
                out.add("dns.answers", tuple(self.texts))
            if flags & FLAG_TRUNCATED:
                out.add("pcap_receiver.dns.truncated", True)
        return MESSAGE

    def _ended(self, identity: cython.int) -> cython.int:
        if self.transfers is not None:
            del self.transfers[identity]
        return 0

    def _describe(self, out: Message, asked: Question, flags: cython.int) -> cython.int:
        if not self.settings.questions:
            out.add("dns.question.name", asked.text)
        if self.klass != CLASS_IN:
            out.add("pcap_receiver.dns.question.class", _CLASSES.get(self.klass) or f"CLASS{self.klass}")
        if self.edns_size >= 0:
            out.add("pcap_receiver.dns.edns.udp_size", self.edns_size)
        return 0

    def _recall(self, identity: cython.int, otherwise: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """The key of the last query with this id."""
        if self.recent_0 >> 47 == identity:
            return self.recent_0
        if self.recent_1 >> 47 == identity:
            return self.recent_1
        if self.recent_2 >> 47 == identity:
            return self.recent_2
        if self.recent_3 >> 47 == identity:
            return self.recent_3
        return otherwise

    def _question(self, c: Cursor, base: cython.Py_ssize_t, opcode: cython.int) -> cython.Py_ssize_t:
        """Read the first question into `digest`, `name_end`, `kind` (-1: there is none) and `klass`; returns where records begin.

        More than one question is not in use (RFC 9619); those after the first are passed over.
        """
        buf: bytes = c.buf
        end: cython.Py_ssize_t = c.end
        at: cython.Py_ssize_t = base + HEADER
        count: cython.int = c.u16(base + 4)
        self.kind = -1
        self.klass = 0
        self.digest = opcode
        if count == 0:
            return at
        byte: cython.int
        while True:
            if at >= end:
                raise Malformed(PROTOCOL, "question cut short", at - base)
            byte = buf[at]
            at += 1
            if byte == 0:
                break
            if byte > 63:
                raise Malformed(PROTOCOL, "no label in the question", at - base)
            at += byte
            if at >= end:
                raise Malformed(PROTOCOL, "question cut short", end - base)
            if at - base - HEADER >= NAME_MAX:
                raise Malformed(PROTOCOL, "name too long", at - base)
        if at + 4 > end:
            raise Malformed(PROTOCOL, "question cut short", at - base)
        self.name_end = at
        self.kind = c.u16(at)
        self.klass = c.u16(at + 2)
        # Four bytes at a time, and folded by a bit that small letters have: it makes no two names in use the same.
        place: cython.Py_ssize_t = base + HEADER
        digest: cython.ulonglong = c.u32(at)
        digest = (digest ^ opcode) * FACTOR & LOW_64
        while place + 4 <= at:
            word: cython.ulonglong = c.u32le(place) | 0x20202020
            digest ^= digest >> 32
            digest = (digest ^ word) * FACTOR & LOW_64
            place += 4
        while place < at:  # which has four bytes behind it, by the check above
            byte = buf[place] | 0x20
            digest ^= digest >> 32
            digest = (digest ^ byte) * FACTOR & LOW_64
            place += 1
        self.digest = digest ^ digest >> 32
        at += 4
        while count > 1:
            at = skip_name(c, base, at)
            if at < 0 or at + 4 > end:
                raise Malformed(PROTOCOL, "question cut short", end - base)
            at += 4
            count -= 1
        return at

    def _records(
        self,
        c: Cursor,
        base: cython.Py_ssize_t,
        at: cython.Py_ssize_t,
        count: cython.int,
        section: cython.int,
        asked: Question | None,
        transfer: Transfer | None,
        ts_ns: cython.longlong,
    ) -> cython.Py_ssize_t:
        """Walk `count` records; returns where they end, CUT when the window ends first, or BROKEN.

        Takes what OPT says, gives the addresses of an answer to `names` (`asked` is not None), and their text to `texts`.
        """
        end: cython.Py_ssize_t = c.end
        names: Names | None = self.settings.names
        kind: cython.int
        data: cython.Py_ssize_t
        ttl: cython.Py_ssize_t
        while count > 0:
            count -= 1
            at = skip_name(c, base, at)
            if at < 0:
                return at
            if at + 10 > end:
                return CUT
            kind = c.u16(at)
            data = at + 10
            ttl = c.u32(at + 4)
            at = data + c.u16(at + 8)
            if at > end:
                return CUT
            if section != SECTION_ANSWER:
                if kind == TYPE_OPT:
                    self.extended = ttl >> 24
                    self.edns_size = c.u16(data - 8)
                continue
            if transfer is not None and kind == TYPE_SOA:
                self._soa(c, base, data, at, transfer)
            if transfer is not None:
                transfer.records += 1
                if transfer.records == 2 and kind == TYPE_SOA and transfer.kind == TYPE_IXFR:
                    transfer.incremental = not transfer.over
                continue
            if asked is not None and names is not None:
                if kind == TYPE_A:
                    if at - data == 4:
                        names.learn(c.take(data, at), asked.text, ttl, ts_ns)
                elif kind == TYPE_AAAA:
                    if at - data == 16:
                        names.learn(c.take(data, at), asked.text, ttl, ts_ns)
            if self.detail:
                if self.texts is None:
                    self.texts = []
                if len(self.texts) < ANSWERS_MAX:
                    self.texts.append(record_text(c, base, kind, data, at))
        if transfer is not None and transfer.records == 1 and transfer.kind == TYPE_IXFR and section == SECTION_ANSWER:
            transfer.over = True
        return at

    def _soa(
        self, c: Cursor, base: cython.Py_ssize_t, data: cython.Py_ssize_t, end: cython.Py_ssize_t, transfer: Transfer
    ) -> cython.int:
        """Take note of a SOA record of a transfer: [name][name][u32 serial][u32 refresh][u32 retry][u32 expire][u32 minimum]"""
        if end - data < 22:
            return 0
        serial: cython.Py_ssize_t = c.u32(end - 20)
        if transfer.records == 0:
            transfer.serial = serial
        elif serial == transfer.serial:
            transfer.boundaries += 1
            # The newest SOA stands once more before the last additions of an incremental transfer.
            if transfer.boundaries == (2 if transfer.incremental else 1):
                transfer.over = True
        return 0

    def lost(self, direction: cython.int, missing: cython.Py_ssize_t) -> cython.int:
        if direction == TO_CLIENT:
            self.transfers = None
        return 0

    def resync(self, direction: cython.int, c: Cursor) -> cython.bint:
        if self.datagrams:
            return True
        # Servers exist that send the length by itself. Two bytes may as well be the rest of what a hole took, so they are believed
        # only when it has been seen that the message of that length follows.
        n: cython.Py_ssize_t = c.end - c.pos
        announced: cython.Py_ssize_t = self.announced_answer if direction == TO_CLIENT else self.announced_query
        if n == 2:
            if announced == APART:
                return c.u16(c.pos) >= HEADER
            announced = c.u16(c.pos)
        elif announced != APART:
            apart: cython.bint = n == announced and n >= HEADER and self._fits(direction, c, c.pos, n) == YES
            announced = APART if apart else 0
        if direction == TO_CLIENT:
            self.announced_answer = announced
        else:
            self.announced_query = announced
        return n != 2 and Prefixed.resync(self, direction, c)

    def agree(self, asked: bytes, told: bytes) -> cython.bint:
        """An answer has its query's id (RFC 1035, 4.1.1); on TCP any of those that came so far."""
        if self.datagrams:
            return asked[:2] == told[:2]
        at = 0
        while at + 4 <= len(asked):
            if asked[at + 2 : at + 4] == told[2:4]:
                return True
            at += 2 + int.from_bytes(asked[at : at + 2], "big")
        return False

    def proves(
        self, direction: cython.int, c: Cursor, at: cython.Py_ssize_t, size: cython.Py_ssize_t, number: cython.Py_ssize_t
    ) -> cython.int:
        """The first message of a window speaks for all."""
        base: cython.Py_ssize_t = at + 2
        end: cython.Py_ssize_t = c.end
        n: cython.Py_ssize_t = size - 2
        if self.datagrams:
            return self._fits(direction, c, at, size + self.cut_off)
        if number > 0:
            return PERHAPS
        if end - base < HEADER:
            return PERHAPS if end - base < 4 or self._opens(direction, c.u16(base + 2), False) else NO
        answer: cython.int
        if n > end - base:
            # Of a message that goes on almost any bytes can be the beginning: as one, only what is DNS anywhere is believed.
            at_home: cython.bint = self.at_home
            self.at_home = False
            answer = self._fits(direction, c, base, n)
            self.at_home = at_home
            if answer == NO and at_home and self._fits(direction, c, base, n) != NO:
                return PERHAPS
            return answer
        c.clamp(base + n)
        answer = self._fits(direction, c, base, n)
        c.clamp(end)
        return answer

    def _opens(self, direction: cython.int, flags: cython.int, multicast: cython.bint) -> cython.bint:
        """Whether the flags are such as `direction` has them."""
        response: cython.bint = flags & FLAG_RESPONSE != 0
        opcode: cython.int = flags >> 11 & 15
        if self.at_home:
            return response == (direction == TO_CLIENT)
        if response != (direction == TO_CLIENT) or flags & FLAG_ZERO:
            return False
        if opcode != OPCODE_QUERY and opcode != OPCODE_NOTIFY and opcode != OPCODE_UPDATE:
            return False
        if response or multicast:
            return True
        return not (flags & (0x000F | FLAG_AVAILABLE | FLAG_TRUNCATED) or (opcode == OPCODE_QUERY and flags & FLAG_AUTHORITATIVE))

    def _fits(
        self, direction: cython.int, c: Cursor, base: cython.Py_ssize_t, size: cython.Py_ssize_t
    ) -> cython.int:
        """Whether the bytes from `base` are a message of `size` bytes, or its beginning, such as real programs send: no flag that
        contradicts another, one question of printable labels, records that fill the size to the last byte."""
        if self.at_home:
            return self._reads(direction, c, base, size)
        if size < HEADER + 5:
            return NO
        buf: bytes = c.buf
        end: cython.Py_ssize_t = c.end
        whole: cython.bint = end - base >= size
        flags: cython.int = c.u16(base + 2)
        response: cython.bint = flags & FLAG_RESPONSE != 0
        opcode: cython.int = flags >> 11 & 15
        # RFC 6762, 18.1: multicast DNS has the id 0; one in 65 536 of the others has it as well.
        multicast: cython.bint = self.datagrams and c.u16(base) == 0
        if not self._opens(direction, flags, multicast):
            return NO
        questions: cython.int = c.u16(base + 4)
        answers: cython.int = c.u16(base + 6)
        records: cython.int = answers + c.u16(base + 8) + c.u16(base + 10)
        if not response and not multicast:
            if c.u16(base + 10) > 2 or (opcode == OPCODE_QUERY and (answers or c.u16(base + 8) > 1)):
                return NO
        if questions != 1 and not multicast:
            return NO
        if questions > 255 or (questions == 0 and not (response and answers)):
            return NO
        if questions * 5 + records * 11 > size - HEADER:
            return NO
        at: cython.Py_ssize_t = base + HEADER
        stop: cython.Py_ssize_t
        length: cython.int
        encoded: cython.bint
        asked: cython.int
        for asked in range(questions):
            start: cython.Py_ssize_t = at
            encoded = False
            while True:
                if at >= end:
                    return NO if whole else PERHAPS
                length = buf[at]
                at += 1
                if length == 0:
                    break
                if length > 63:
                    if asked == 0 or length < 0xC0:
                        return NO
                    at += 1
                    break
                stop = at + length
                if stop - start >= NAME_MAX:
                    return NO
                encoded = length == 32 and start == at - 1
                while at < stop:
                    if at >= end:
                        return NO if whole else PERHAPS
                    length = buf[at]
                    if length < 0x21 or length > 0x7E:  # it may occur, but not in what is to be recognised as DNS
                        return NO
                    if length < 0x41 or length > 0x50:
                        encoded = False
                    at += 1
            if at + 4 > end:
                return NO if whole else PERHAPS
            kind: cython.int = c.u16(at)
            klass: cython.int = c.u16(at + 2)
            # NetBIOS has this very format, names of 32 letters A to P (RFC 1002, 4.2.1) and types that mean something else.
            if (kind == TYPE_NIMLOC or kind == TYPE_SRV) and encoded:
                return NO
            if kind == 0 or (kind > 264 and kind < 32768) or kind == TYPE_OPT:
                return NO
            if multicast:
                klass &= 0x7FFF
            if (klass != CLASS_IN and klass != 3 and klass != 4 and klass < 254) or klass > 255:
                return NO
            at += 4
        if not whole:
            return YES
        at = self._records(c, base, at, records, SECTION_OTHER, None, None, 0)
        return YES if at == end else NO


    def _reads(
        self, direction: cython.int, c: Cursor, base: cython.Py_ssize_t, size: cython.Py_ssize_t
    ) -> cython.int:
        """Whether the bytes from `base`, on a port of DNS's own, can be read as a message of `size` bytes, or its beginning.

        Any flag, operation, type and class, names of any bytes (RFC 2181, 11; RFC 6763, 4.1.1), no question or several, and
        whatever stands behind what the counts announce. That all of it is there is proof enough: four counts of 16 bits fit a
        datagram that is none once in 10^11. A header that announces nothing is only a perhaps, until it has its answer.
        """
        end: cython.Py_ssize_t = c.end
        whole: cython.bint = end - base >= size
        flags: cython.int = c.u16(base + 2)
        if not self._opens(direction, flags, False):
            return NO
        questions: cython.Py_ssize_t = c.u16(base + 4)
        records: cython.int = c.u16(base + 6) + c.u16(base + 8) + c.u16(base + 10)
        if questions + records == 0:
            return PERHAPS if size == HEADER else NO
        if questions * 5 + records * 11 > size - HEADER and flags & FLAG_TRUNCATED == 0:
            return NO
        at: cython.Py_ssize_t = base + HEADER
        asked: cython.Py_ssize_t
        for asked in range(questions):
            at = skip_name(c, base, at)
            if at == BROKEN:
                return NO
            if at < 0 or at + 4 > end:
                return NO if whole else PERHAPS
            if asked == 0 and c.u8(at - 1) != 0:
                return NO  # a pointer: only the header stands before it
            at += 4
        if not whole:
            return YES
        at = self._records(c, base, at, records, SECTION_OTHER, None, None, 0)
        if at == CUT and flags & FLAG_TRUNCATED and direction == TO_CLIENT and questions == 1:
            return YES
        return YES if at >= 0 else NO


def rows(shared: Shared) -> tuple[Protocol, ...]:
    settings = DnsSettings(shared.names, shared.settings.dns.lookup_duration, shared.limits)
    return (Protocol("dns", "dns", partial(DnsDecoder, settings), ports=(53,), over_udp=True, repeats=True),)
