"""Compiles every module that has a `.pxd` beside it; the rest of the package stays plain Python."""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

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


def compiler_options() -> list[str]:
    """What CFLAGS does not say otherwise: no debugging information, which is four fifths of a module's size and half of the time.

    With CFLAGS set, setuptools leaves out all that the interpreter was built with, and the compiler would neither optimise nor give
    signed integers a defined overflow.
    """
    given = os.environ.get("CFLAGS")
    options = {"-g": "-g0"} if given is None else {"-g": "-g0", "-O": "-O2", "-fwrapv": "-fwrapv"}
    said = (given or "").replace("-fno-wrapv", "-fwrapv").split()
    return [option for kind, option in options.items() if not any(word.startswith(kind) for word in said)]


def extension(source: Path) -> Extension:
    # Compiled anew when this file changes: the options are in it.
    name = ".".join(source.with_suffix("").parts)
    return Extension(name, [str(source)], extra_compile_args=compiler_options(), depends=["setup.py"])


setup(
    ext_modules=cythonize(
        [extension(path.with_suffix(".py")) for path in sorted(Path("receiver").rglob("*.pxd")) if not PLAIN],
        compiler_directives=DIRECTIVES,
        build_dir="build/cython",
        nthreads=os.cpu_count() or 1,
        annotate=bool(os.environ.get("PCAP_RECEIVER_ANNOTATE")),
    )
)
