"""What comes of a corpus, input by input: python -m tests.fuzz.replay FOLDER prints it for the plain source."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"

Results = dict[str, dict[str, str]]


def inputs(folder: Path, decoder: str) -> dict[str, bytes]:
    """The inputs of a decoder by the names of their files."""
    return {path.name: path.read_bytes() for path in sorted((folder / decoder).glob("*"))}


def results(folder: Path) -> Results:
    """A digest of what each input says, or the rule that it breaks, by decoder and input."""
    from tests.fuzz.targets import TARGETS

    found: Results = {}
    for decoder, target in TARGETS.items():
        found[decoder] = {}
        for name, text in inputs(folder, decoder).items():
            try:
                said = hashlib.sha256(target.check(text).encode()).hexdigest()
            except Exception as broken:  # any, so that one does not hide the others
                said = f"{type(broken).__name__}: {broken}"
            found[decoder][name] = said
    return found


if __name__ == "__main__":
    from tests.fuzz.plain import only_source

    only_source()
    print(json.dumps(results(Path(sys.argv[1]))))
