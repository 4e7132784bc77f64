"""Compiles every module that has a `.pxd` beside it; the rest of the package stays plain Python."""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import setup

# Never switched off per module: a wrong index must raise, not read a neighbour's bytes.
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": True,
    "nonecheck": True,
    "wraparound": False,
    "cdivision": True,
    "infer_types": True,
}

# PCAP_RECEIVER_PLAIN installs without compiling: what a plain interpreter runs, or what is compiled in place already.
PLAIN = bool(os.environ.get("PCAP_RECEIVER_PLAIN"))

setup(
    ext_modules=cythonize(
        sorted(str(path.with_suffix(".py")) for path in Path("receiver").rglob("*.pxd") if not PLAIN),
        compiler_directives=DIRECTIVES,
        build_dir="build/cython",
        nthreads=os.cpu_count() or 1,
        annotate=bool(os.environ.get("PCAP_RECEIVER_ANNOTATE")),
    )
)
