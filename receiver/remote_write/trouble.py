"""Why a store cannot be reached, in the words of the configuration.

Room: remote_write. What requests and urllib3 raise holds the URL, which may hold a secret: only kinds of errors are read, and what
OpenSSL says.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator

from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError, ProxyError

_TLS = (
    ("(?i)wrong.version.number|http.request|record.layer.failure|unknown.protocol",
     "does not speak TLS: set an endpoint of http://"),
    ("[Hh]ostname mismatch|IP address mismatch|doesn't match", "its certificate is for another name than the endpoint's"),
    ("certificate has expired", "its certificate has expired"),
    ("CERTIFICATE_VERIFY_FAILED|certificate verify failed", "its certificate is of no known authority: set tls.ca_file"),
    ("(?i)certificate.required|bad.certificate|unknown.ca",
     "wants a certificate of ours: set tls.cert_file and tls.key_file"),
    ("UNEXPECTED_EOF|EOF occurred",
     "ends the connection instead of a TLS handshake: where it speaks plain text set an endpoint of http://"),
)  # fmt: skip


def explain(error: BaseException, where: str, proxy: str) -> str:
    """What is the matter with the store at `where`, or with the `proxy` before it; "" when that is not known."""
    causes = list(_causes(error))
    behind_proxy = any(isinstance(cause, ProxyError) for cause in causes)
    not_connected = behind_proxy or any(isinstance(cause, NewConnectionError | ConnectTimeoutError) for cause in causes)
    peer = f"the proxy {proxy}" if proxy and not_connected else where
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            for pattern, says in _TLS:
                if re.search(pattern, str(cause)):
                    return f"{where} {says}"
            return f"{where}: {cause.reason or 'TLS failed'}"
        if isinstance(cause, NameResolutionError | socket.gaierror):
            return f"{peer}: its name cannot be resolved"
        if isinstance(cause, ConnectionRefusedError):
            return f"{peer} refuses the connection: nobody listens there"
        if isinstance(cause, ConnectionResetError | BrokenPipeError):
            return f"{peer} closed the connection before it answered"
        if isinstance(cause, TimeoutError):
            return f"{peer} does not answer"
        if behind_proxy and type(cause) is OSError and (status := re.search(r"Tunnel connection failed: (\d{3})", str(cause))):
            return f"the proxy {proxy} answers CONNECT with {status[1]}"
        if isinstance(cause, OSError) and cause.errno and cause.strerror and not cause.filename:
            return f"{peer}: {cause.strerror}"
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and those behind it, innermost first: requests and urllib3 wrap one in the other, by argument or by cause."""
    chain: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting and len(chain) < 16:
        one = waiting.pop()
        if one is None or any(one is known for known in chain):
            continue
        chain.append(one)
        waiting += [getattr(one, "reason", None) if isinstance(getattr(one, "reason", None), BaseException) else None]
        waiting += [one.__cause__, one.__context__, *(part for part in one.args if isinstance(part, BaseException))]
        original = getattr(one, "original_error", None)
        waiting.append(original if isinstance(original, BaseException) else None)
    return reversed(chain)
