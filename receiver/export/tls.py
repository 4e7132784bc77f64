"""The files that `tls` names, looked at before anything is sent.

Room: export.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from receiver.config import Fault, Tls


def check_files(path: str, tls: Tls) -> Iterator[Fault]:
    """The files that cannot be read or are not what they should be; `path` is the key of `tls`."""
    unread = False
    for key, file in (("ca_file", tls.ca_file), ("cert_file", tls.cert_file), ("key_file", tls.key_file)):
        if file:
            try:
                Path(file).read_bytes()
            except OSError as error:
                unread = True
                yield Fault(f"{path}.{key}", f"{file}: {error.strerror}")
    if unread or not (tls.ca_file or tls.cert_file):
        return
    import ssl  # a megabyte that an exporter without files does without

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if tls.ca_file:
        try:
            context.load_verify_locations(tls.ca_file)
        except ssl.SSLError:
            yield Fault(f"{path}.ca_file", f"{tls.ca_file}: no certificate in PEM form")
    if tls.cert_file:
        try:
            # An encrypted key would ask for its password on the terminal; the empty one is an error instead.
            context.load_cert_chain(tls.cert_file, tls.key_file, password="")
        except ssl.SSLError:
            yield Fault(f"{path}.cert_file", f"{tls.cert_file}: not in PEM form, or not for key_file")
