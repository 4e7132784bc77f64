"""pcap-receiver: packets in; OTLP spans, metrics and Prometheus remote write out.

Room: root. The version, and nothing that needs another module of ours.
"""

import sys
from importlib.machinery import ModuleSpec

__version__ = "0.1.0"


class _Uncompiled:
    """The last of Python's finders, asked when nobody else has the module: source that was not compiled imports `cython` for its
    names alone, and runs without the compiler. Compiled modules do not import it."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != "cython":
            return None
        from importlib.util import spec_from_file_location

        return spec_from_file_location(name, f"{__path__[0]}/uncompiled.py")


sys.meta_path.append(_Uncompiled)
