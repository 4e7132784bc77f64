"""The files that `tls` names, looked at before anything is sent.

Room: export.
"""

from __future__ import annotations

from pathlib import Path

from receiver.config import Tls


def check_files(tls: Tls) -> None:
    """Raises ValueError, beginning with the key's path, for a file that cannot be read or is not what it should be."""
    if bool(tls.cert_file) != bool(tls.key_file):
        raise ValueError("tls: cert_file and key_file need each other")
    for key, path in (("ca_file", tls.ca_file), ("cert_file", tls.cert_file), ("key_file", tls.key_file)):
        if path:
            try:
                Path(path).read_bytes()
            except OSError as error:
                raise ValueError(f"tls.{key}: {path}: {error.strerror}") from None
    if not (tls.ca_file or tls.cert_file):
        return
    import ssl  # a megabyte that an exporter without files does without

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if tls.ca_file:
        try:
            context.load_verify_locations(tls.ca_file)
        except ssl.SSLError:
            raise ValueError(f"tls.ca_file: {tls.ca_file}: no certificate in PEM form") from None
    if tls.cert_file:
        try:
            # An encrypted key would ask for its password on the terminal; the empty one is an error instead.
            context.load_cert_chain(tls.cert_file, tls.key_file, password="")
        except ssl.SSLError:
            raise ValueError(f"tls.cert_file: {tls.cert_file}: not in PEM form, or not for key_file") from None
