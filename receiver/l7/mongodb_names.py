"""MongoDB's words: commands and what is known of them, and the tables that all connections share.

Room: l7. Sources: MongoDB Manual, "Database Commands", "MongoDB Wire Protocol"; mongodb/specifications, "OP_MSG", "Compression".
"""

from __future__ import annotations

import zlib
from typing import Any

import cython

from receiver.l7.inner import Inflater
from receiver.l7.packed import Snappy, zstd
from receiver.l7.shared import Shared
from receiver.l7.trace_context import TraceContext
from receiver.wire.interned import Interned

if not cython.compiled:
    # The compiled module has these as C enums, from the `.pxd`.
    # What is known of a command beyond its name.
    KIND_OTHER = 0  # what its first element says is not told: it may be a user's name, a value, or nothing
    KIND_COLLECTION = 1  # the first element's text is the collection
    KIND_GET_MORE = 2  # the collection has a field of its own
    KIND_HELLO = 3  # may wait at the server until the topology changes
    KIND_BULK = 4  # the rows of its answer are outcomes of operations, not documents
    KIND_LEGACY = 5  # an OP_QUERY or OP_GET_MORE that is no command: its answer has no `ok`

# The first element names the collection.
ON_COLLECTION = (
    "abortReshardCollection aggregate analyze checkMetadataConsistency cleanupOrphaned clearJumboFlag "
    "cloneCollectionAsCapped collMod collStats collstats compact compactStructuredEncryptionData convertToCapped count "
    "create createIndexes createSearchIndexes dataSize delete deleteIndexes distinct drop dropIndexes dropSearchIndex find "
    "findAndModify findandmodify geoNear geoSearch group insert killCursors listIndexes listSearchIndexes mapReduce "
    "mapreduce parallelCollectionScan planCacheClear planCacheClearFilters planCacheListFilters planCacheSetFilter reIndex "
    "update updateSearchIndex validate"
)
HELLO = "hello isMaster ismaster"
# What else servers and drivers know; a name that is not here is told as well, as long as there is room.
OTHERS = (
    "abortTransaction addShard authenticate autoCompact balancerCollectionStatus balancerStart balancerStatus balancerStop "
    "buildInfo buildinfo commitTransaction connPoolStats connectionStatus createRole createUser currentOp dbHash dbStats "
    "dbstats dropAllRolesFromDatabase dropAllUsersFromDatabase dropConnections dropDatabase dropRole dropUser "
    "enableSharding endSessions explain features filemd5 flushRouterConfig forceerror fsync fsyncUnlock getCmdLineOpts "
    "getDefaultRWConcern getLastError getLog getParameter getShardMap getShardVersion getnonce grantPrivilegesToRole "
    "grantRolesToRole grantRolesToUser hostInfo invalidateUserCache isdbgrid killAllSessions killAllSessionsByPattern "
    "killOp killSessions listCollections listCommands listDatabases listShards lockInfo logRotate logout mergeChunks "
    "moveChunk moveCollection movePrimary netstat ping profile refineCollectionShardKey refreshSessions removeShard "
    "renameCollection replSetAbortPrimaryCatchUp replSetFreeze replSetGetConfig replSetGetStatus replSetHeartbeat "
    "replSetInitiate replSetMaintenance replSetReconfig replSetResizeOplog replSetStepDown replSetSyncFrom "
    "replSetUpdatePosition reshardCollection resetError revokePrivilegesFromRole revokeRolesFromRole revokeRolesFromUser "
    "rolesInfo rotateCertificates saslContinue saslStart serverStatus setDefaultRWConcern setFeatureCompatibilityVersion "
    "setIndexCommitQuorum setParameter setUserWriteBlockMode shardCollection shardingState shutdown split splitVector "
    "startSession top transitionFromDedicatedConfigServer unshardCollection updateRole updateUser updateZoneKeyRange "
    "usersInfo voteCommitIndexBuild whatsmyuri"
)

# Names made up by peers: a command has letters, digits, `_` and `.`; a database 63 bytes; a collection 255.
COMMANDS_MAX = 256
COMMAND_NAME_MAX = 64
DATABASES_MAX = 1024
COLLECTIONS_MAX = 2048
CODES_MAX = 512
# So much is made of a compressed message.
INFLATE_MAX = 262144


@cython.final
@cython.cclass
class Command:
    """A command: its name, one object for all connections, and its kind."""

    def __init__(self, name: str, kind: cython.int) -> None:
        self.name = name
        self.kind = kind


class Commands(Interned):
    """Commands by their name on the wire."""

    def make(self, name: bytes) -> Any:
        if len(name) > COMMAND_NAME_MAX or not name.replace(b"_", b"").replace(b".", b"").isalnum():
            return None
        return Command(name.decode("ascii"), KIND_OTHER)


class Vocabulary:
    """What all connections share."""

    def __init__(self, shared: Shared | None = None) -> None:
        if shared is None:
            shared = Shared()
        limits = shared.limits
        propagators = shared.settings.traces.propagators
        self.limits = limits
        self.context: TraceContext | None = TraceContext(propagators) if propagators else None
        kinds = {
            **dict.fromkeys(OTHERS.split(), KIND_OTHER),
            **dict.fromkeys(ON_COLLECTION.split(), KIND_COLLECTION),
            **dict.fromkeys(HELLO.split(), KIND_HELLO),
            "getMore": KIND_GET_MORE,
            "bulkWrite": KIND_BULK,
        }
        known = {name.encode(): Command(name, kind) for name, kind in kinds.items()}
        self.commands = Commands("mongodb_commands", COMMANDS_MAX, limits, Command("_OTHER", KIND_OTHER), known)
        self.databases = Interned("mongodb_databases", DATABASES_MAX, limits, None)
        self.collections = Interned("mongodb_collections", COLLECTIONS_MAX, limits, None)
        self.codes = Interned("mongodb_codes", CODES_MAX, limits, "_OTHER")
        # Messages that are no commands have names of their own; who sends them is older than MongoDB 5.1.
        self.query = Command("find", KIND_LEGACY)
        self.get_more = Command("getMore", KIND_LEGACY)
        self.legacy = {2001: Command("update", KIND_LEGACY), 2002: Command("insert", KIND_LEGACY)}
        self.legacy[2006] = Command("delete", KIND_LEGACY)
        self.legacy[2007] = Command("killCursors", KIND_LEGACY)
        limits.setdefault("mongodb_elements", 0)
        # By the compressor's number: none, snappy, zlib, zstd.
        makes = (None, Snappy, zlib.decompressobj, zstd())
        self.inflaters: list[Inflater | None] = [
            None if make is None else Inflater("mongodb", "mongodb_inflate", INFLATE_MAX, limits, make) for make in makes
        ]

    def code(self, number: cython.longlong) -> str:
        """The number of an error as text, always the same object."""
        found: str | None = self.codes.by_name.get(number)
        if found is None:
            found = self.codes.add(number, str(number))
        return found
