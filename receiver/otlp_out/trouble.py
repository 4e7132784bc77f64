"""gRPC's words for a connection that cannot be made, in the words of the configuration.

Room: otlp_out. The patterns are what gRPC's C core 1.8x says; words that it changes are shown as they come.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class _Hint(NamedTuple):
    pattern: str
    secure: bool | None  # for a channel with TLS or without; None for either
    says: str


_HINTS = (
    _Hint("WRONG_VERSION_NUMBER|HTTP_REQUEST|UNEXPECTED_MESSAGE", True,
          "does not speak TLS: set tls.insecure: true, or an endpoint of http://"),
    _Hint("Hostname Verification Check failed", True,
          "its certificate is for another name: set tls.server_name_override to a name that it has"),
    _Hint("certificate has expired|CERTIFICATE_EXPIRED", True, "its certificate, or ours, has expired"),
    _Hint("CERTIFICATE_VERIFY_FAILED", True, "its certificate is of no known authority: set tls.ca_file"),
    _Hint("TSI_DATA_CORRUPTED|CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNKNOWN_CA", True,
          "refuses us after the handshake: it may want a certificate, tls.cert_file and tls.key_file"),
    _Hint("Handshake read failed|[Hh]andshake failed|[Hh]andshaker shutdown", True,
          "does not answer as TLS does: where it speaks plain text set tls.insecure: true"),
    _Hint("Expected SETTINGS frame|Failed parsing HTTP/2", None,
          "answers, but does not speak gRPC: is that its port for OTLP over gRPC?"),
    _Hint("Socket closed|Connection reset by peer|Broken pipe", False,
          "closes the connection at once: where it speaks TLS set tls.insecure: false, or an endpoint of https://"),
    _Hint("Connection refused", None, "refuses the connection: nobody listens there"),
    _Hint("[Nn]ame not found|DNS resolution failed|errors resolving", None, "its name cannot be resolved"),
    _Hint("No such file or directory", None, "there is no such socket"),
    _Hint("[Pp]ermission denied", None, "may not be opened by this user"),
    _Hint("[Nn]o route to host|[Nn]etwork is unreachable", None, "cannot be reached"),
    _Hint("timed out before receiving SETTINGS|connection attempt timed out|Connection timed out", None,
          "does not answer: a firewall, or what listens there does not speak gRPC"),
)  # fmt: skip

def explain(details: str, endpoint: str, *, secure: bool) -> str:
    """What is the matter with `endpoint` in one clause; "" when gRPC's own words say nothing that is known here."""
    for hint in _HINTS:
        if hint.secure in (None, secure) and re.search(hint.pattern, details):
            return f"{endpoint} {hint.says}"
    return ""
