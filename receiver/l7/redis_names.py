"""The words of Redis: names of commands and codes of errors, each one object for all connections.

Room: l7, beside `redis.py`. Metrics are split by these words and find their series by identity, so there is one
object for each, and no more of them than a limit allows: what a client or a script makes up must not grow without end.
"""

from __future__ import annotations

import cython

from receiver.wire.interned import Interned

if not cython.compiled:
    # What a command does to its connection; compiled, a C enum.
    KIND_PLAIN = 0
    KIND_CONTAINER = 1  # its first argument belongs to its name: CONFIG GET
    KIND_SECRET = 2  # nothing of its arguments is told, not even how many
    KIND_SELECT = 3
    KIND_REPLY = 4  # CLIENT REPLY
    KIND_MULTI = 5
    KIND_EXEC = 6
    KIND_DISCARD = 7
    KIND_RESET = 8
    KIND_SUBSCRIBE = 9
    KIND_UNSUBSCRIBE = 10
    KIND_HELLO = 11
    KIND_PSYNC = 12
    KIND_SYNC = 13
    KIND_REPLCONF = 14
    KIND_BLOCKING = 15
    KIND_SCRIPT = 16  # its first argument names a stored procedure
    KIND_IMMEDIATE = 17  # not queued by MULTI, nothing else

# A name is shown if it has at most so many bytes, of these; else the operation is `_OTHER`.
NAME_MAX = 64
NAME_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
# An error's code ends at its first space: "ERR", "WRONGTYPE", "NOREPLICAS".
CODE_MAX = 32
CODE_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
# What is not in the lists below, over all connections: names of commands, 512 x about 200 bytes, and codes of errors.
NAMES_MAX = 512
CODES_MAX = 128
# Question marks in db.query.text; more arguments are three dots.
SHOWN_MAX = 16

BUILT_IN = (
    "APPEND ASKING BGREWRITEAOF BGSAVE BITCOUNT BITFIELD BITFIELD_RO BITOP BITPOS COPY DBSIZE DECR DECRBY DEL DUMP "
    "ECHO EVAL EVAL_RO EXISTS EXPIRE EXPIREAT EXPIRETIME FAILOVER FLUSHALL FLUSHDB GEOADD GEODIST GEOHASH GEOPOS "
    "GEORADIUS GEORADIUS_RO GEORADIUSBYMEMBER GEORADIUSBYMEMBER_RO GEOSEARCH GEOSEARCHSTORE GET GETBIT GETDEL GETEX "
    "GETRANGE GETSET HDEL HEXISTS HEXPIRE HEXPIREAT HEXPIRETIME HGET HGETALL HGETDEL HGETEX HINCRBY HINCRBYFLOAT "
    "HKEYS HLEN HMGET HMSET HPERSIST HPEXPIRE HPEXPIREAT HPEXPIRETIME HPTTL HRANDFIELD HSCAN HSET HSETEX HSETNX "
    "HSTRLEN HTTL HVALS INCR INCRBY INCRBYFLOAT INFO KEYS LASTSAVE LCS LINDEX LINSERT LLEN LMOVE LMPOP LOLWUT LPOP "
    "LPOS LPUSH LPUSHX LRANGE LREM LSET LTRIM MGET MIGRATE MONITOR MOVE MSET MSETNX PERSIST PEXPIRE PEXPIREAT "
    "PEXPIRETIME PFADD PFCOUNT PFDEBUG PFMERGE PFSELFTEST PING PSETEX PTTL PUBLISH RANDOMKEY READONLY READWRITE "
    "RENAME RENAMENX REPLICAOF RESTORE RESTORE-ASKING ROLE RPOP RPOPLPUSH RPUSH RPUSHX SADD SAVE SCAN SCARD SDIFF "
    "SDIFFSTORE SET SETBIT SETEX SETNX SETRANGE SHUTDOWN SINTER SINTERCARD SINTERSTORE SISMEMBER SLAVEOF SMEMBERS "
    "SMISMEMBER SMOVE SORT SORT_RO SPOP SPUBLISH SRANDMEMBER SREM SSCAN STRLEN SUBSTR SUNION SUNIONSTORE SWAPDB "
    "TIME TOUCH TTL TYPE UNLINK UNWATCH VADD VCARD VDIM VEMB VGETATTR VINFO VLINKS VRANDMEMBER VREM VSETATTR VSIM "
    "XACK XACKDEL XADD XAUTOCLAIM XCLAIM XDEL XDELEX XLEN XPENDING XRANGE XREVRANGE XSETID XTRIM ZADD ZCARD ZCOUNT "
    "ZDIFF ZDIFFSTORE ZINCRBY ZINTER ZINTERCARD ZINTERSTORE ZLEXCOUNT ZMPOP ZMSCORE ZPOPMAX ZPOPMIN ZRANDMEMBER "
    "ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANGESTORE ZRANK ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE "
    "ZREVRANGE ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE ZUNION ZUNIONSTORE"
)
# What acts on the connection, or can be told better, by kind.
PARTICULAR = (
    (KIND_SECRET, "AUTH"),
    (KIND_HELLO, "HELLO"),
    (KIND_SELECT, "SELECT"),
    (KIND_MULTI, "MULTI"),
    (KIND_EXEC, "EXEC"),
    (KIND_DISCARD, "DISCARD"),
    (KIND_RESET, "RESET"),
    (KIND_IMMEDIATE, "QUIT WATCH"),
    (KIND_SUBSCRIBE, "SUBSCRIBE PSUBSCRIBE SSUBSCRIBE"),
    (KIND_UNSUBSCRIBE, "UNSUBSCRIBE PUNSUBSCRIBE SUNSUBSCRIBE"),
    (KIND_PSYNC, "PSYNC"),
    (KIND_SYNC, "SYNC"),
    (KIND_REPLCONF, "REPLCONF"),
    # XREAD only waits with BLOCK; without it, an answer that never comes is told when the connection ends.
    (KIND_BLOCKING, "BLMOVE BLMPOP BLPOP BRPOP BRPOPLPUSH BZMPOP BZPOPMAX BZPOPMIN WAIT WAITAOF XREAD XREADGROUP"),
    (KIND_SCRIPT, "EVALSHA EVALSHA_RO FCALL FCALL_RO"),
)
# Containers and their subcommands (COMMAND DOCS of Redis 7 and 8); another first argument is a value like any other.
SUBCOMMANDS = {
    "ACL": "CAT DELUSER DRYRUN GENPASS GETUSER HELP LIST LOAD LOG SAVE SETUSER USERS WHOAMI",
    "CLIENT": (
        "CACHING GETNAME GETREDIR HELP ID INFO KILL LIST MAINT_NOTIFICATIONS NO-EVICT NO-TOUCH PAUSE REPLY SETINFO "
        "SETNAME TRACKING TRACKINGINFO UNBLOCK UNPAUSE"
    ),
    "CLUSTER": (
        "ADDSLOTS ADDSLOTSRANGE BUMPEPOCH COUNT-FAILURE-REPORTS COUNTKEYSINSLOT DELSLOTS DELSLOTSRANGE FAILOVER "
        "FLUSHSLOTS FORGET GETKEYSINSLOT HELP INFO KEYSLOT LINKS MEET MYID MYSHARDID NODES REPLICAS REPLICATE RESET "
        "SAVECONFIG SET-CONFIG-EPOCH SETSLOT SHARDS SLAVES SLOT-STATS SLOTS"
    ),
    "COMMAND": "COUNT DOCS GETKEYS GETKEYSANDFLAGS HELP INFO LIST",
    "CONFIG": "GET HELP RESETSTAT REWRITE SET",
    "DEBUG": "HELP JMAP OBJECT PROTOCOL SLEEP",
    "FUNCTION": "DELETE DUMP FLUSH HELP KILL LIST LOAD RESTORE STATS",
    "LATENCY": "DOCTOR GRAPH HELP HISTOGRAM HISTORY LATEST RESET",
    "MEMORY": "DOCTOR HELP MALLOC-STATS PURGE STATS USAGE",
    "MODULE": "HELP LIST LOAD LOADEX UNLOAD",
    "OBJECT": "ENCODING FREQ HELP IDLETIME REFCOUNT",
    "PUBSUB": "CHANNELS HELP NUMPAT NUMSUB SHARDCHANNELS SHARDNUMSUB",
    "SCRIPT": "DEBUG EXISTS FLUSH HELP KILL LOAD",
    "SENTINEL": (
        "CKQUORUM CONFIG FAILOVER FLUSHCONFIG GET-MASTER-ADDR-BY-NAME HELP INFO-CACHE IS-MASTER-DOWN-BY-ADDR MASTER "
        "MASTERS MONITOR MYID PENDING-SCRIPTS REMOVE REPLICAS RESET SENTINELS SET SLAVES"
    ),
    "SLOWLOG": "GET HELP LEN RESET",
    "XGROUP": "CREATE CREATECONSUMER DELCONSUMER DESTROY HELP SETID",
    "XINFO": "CONSUMERS GROUPS HELP STREAM",
}
# First words of errors that a client can meet as the very first answer, and that nobody else begins a line with.
CODES = (
    "ASK BUSY BUSYGROUP BUSYKEY CLUSTERDOWN CROSSSLOT DENIED EXECABORT IOERR LOADING MASTERDOWN MISCONF MOVED "
    "NOAUTH NOGOODSLAVE NOGROUP NOMASTERLINK NOPERM NOPROTO NOREPLICAS NOSCRIPT NOTBUSY OOM READONLY TRYAGAIN "
    "UNBLOCKED UNKILLABLE WRONGPASS WRONGTYPE"
)


class Command:
    """What there is to know of a command by its name. `shown` is the name with its subcommand; `looks`: how many
    arguments must be seen together with it."""

    def __init__(self, operation: str, shown: str, kind: cython.int, looks: cython.int) -> None:
        self.operation = operation
        self.shown = shown
        self.kind = kind
        self.looks = looks
        self.texts: list[str | None] = [None] * (SHOWN_MAX + 2)
        self.inner: dict[bytes, Command] = {}

    def text(self, arguments: cython.Py_ssize_t) -> str:
        """The command with a question mark for each argument; the same object each time."""
        if self.kind == KIND_SECRET or self.kind == KIND_HELLO or arguments < 0:
            arguments = 0
        if arguments > SHOWN_MAX:
            arguments = SHOWN_MAX + 1
        text: str | None = self.texts[arguments]
        if text is None:
            text = self.shown + " ?" * min(arguments, SHOWN_MAX)
            if arguments > SHOWN_MAX:
                text += " ..."
            self.texts[arguments] = text
        return text


class Vocabulary(Interned):
    """Commands by their names, in any case; `codes`: the codes of errors. More than there is room for are `other`, and counted.

    `built_in` are the names known beforehand; `telling` the codes that only Redis uses.
    """

    def __init__(self, limits: dict[str, int] | None = None) -> None:
        known: dict[bytes, Command] = {}
        for name in BUILT_IN.split():
            known[name.encode()] = Command(name, name, KIND_PLAIN, 0)
        for kind, names in PARTICULAR:
            looks = 1 if kind in (KIND_SELECT, KIND_REPLCONF, KIND_SCRIPT) else 0
            for name in names.split():
                known[name.encode()] = Command(name, name, kind, looks)
        for name, inner in SUBCOMMANDS.items():
            container = Command(name, name, KIND_CONTAINER, 2 if name == "CLIENT" else 1)
            for sub in inner.split():
                special = name == "CLIENT" and sub == "REPLY"
                container.inner[sub.encode()] = Command(name, f"{name} {sub}", KIND_REPLY if special else KIND_PLAIN, 0)
            known[name.encode()] = container
        Interned.__init__(self, "redis_commands", NAMES_MAX, limits, Command("_OTHER", "_OTHER", KIND_PLAIN, 0), known)
        self.codes = Codes("redis_codes", CODES_MAX, limits, None, {name.encode(): name for name in f"ERR {CODES}".split()})
        self.built_in = frozenset(known)
        self.telling = frozenset(name.encode() for name in CODES.split())

    def fold(self, wire: bytes) -> bytes:
        return wire.upper()

    def make(self, name: bytes) -> Command | None:
        if not Vocabulary.is_name(name):
            return None
        text = name.decode("ascii")
        return Command(text, text, KIND_PLAIN, 0)

    @staticmethod
    def is_name(name: bytes) -> cython.bint:
        """Whether it may be shown as the name of a command."""
        return 0 < len(name) <= NAME_MAX and len(name.strip(NAME_BYTES)) == 0


class Codes(Interned):
    """Codes of errors; None for what is none: a script may answer any text."""

    def make(self, name: bytes) -> str | None:
        return name.decode("ascii") if Codes.is_code(name) else None

    @staticmethod
    def is_code(word: bytes) -> cython.bint:
        """Whether it may be shown as the code of an error; by custom they are capital letters."""
        return 0 < len(word) <= CODE_MAX and word[:1].isalpha() and len(word.strip(CODE_BYTES)) == 0
