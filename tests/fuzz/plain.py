"""Imports `receiver` from its source, also where compiled modules lie beside it: atheris and sys.settrace see only bytecode."""

from __future__ import annotations

import sys
from importlib.machinery import FileFinder, SourceFileLoader
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def only_source() -> None:
    """From now on; raises RuntimeError when a module of `receiver` was imported before."""
    if any(name.partition(".")[0] == "receiver" for name in sys.modules):
        raise RuntimeError("receiver is imported already")
    package = str(ROOT / "receiver")
    finder = FileFinder.path_hook((SourceFileLoader, [".py"]))

    def hook(path: str) -> object:
        if not path.startswith(package):
            raise ImportError(path)
        return finder(path)

    sys.path_hooks.insert(0, hook)
    sys.path_importer_cache.clear()
    sys.path.insert(0, str(ROOT))
