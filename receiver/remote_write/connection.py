"""requests over sockets that are known to be ours.

Room: remote_write. urllib3 makes a connection's socket in one method; here it asks `OwnSockets` for one, to a store and to a proxy
before it alike.
"""

from __future__ import annotations

import socket
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from receiver.export.own import OwnSockets

MAX_CONNECT_S = 60.0  # where nobody named a time


class OwnAdapter(HTTPAdapter):
    """What a session mounts for `http://` and `https://`."""

    def __init__(self, own: OwnSockets) -> None:
        self._pools = _pools(own)
        super().__init__()

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        super().init_poolmanager(*args, **more)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: Any, **more: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **more)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _pools(own: OwnSockets) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _connect(self, own)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _connect(self, own)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _connect(connection: HTTPConnection, own: OwnSockets) -> socket.socket:
    """As urllib3's own method: the exceptions are those that it raises."""
    timeout_s = connection.timeout
    try:
        sock = own.connect(connection.host, connection.port or 0, MAX_CONNECT_S if timeout_s is None else timeout_s)
    except socket.gaierror as error:
        raise NameResolutionError(connection.host, connection, error) from error
    except TimeoutError as error:
        raise ConnectTimeoutError(connection, f"no connection to {connection.host} within {timeout_s} s") from error
    except OSError as error:
        raise NewConnectionError(connection, f"no connection to {connection.host}: {error}") from error
    sock.settimeout(timeout_s)
    return sock
