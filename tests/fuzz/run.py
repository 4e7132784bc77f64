"""One fuzzing process: python -m tests.fuzz.run DECODER CORPUS [LIBFUZZER OPTIONS]. It ends as libFuzzer does: 0, or 77 with a
finding, whose bytes it leaves in a file."""

from __future__ import annotations

import logging
import sys

import atheris

from tests.fuzz.plain import only_source


def main() -> None:
    only_source()
    with atheris.instrument_imports(include=["receiver.l7", "receiver.wire"]):
        from tests.fuzz import targets
    from receiver.l7.conversation import Conversation

    def stop(self: Conversation, bug: Exception) -> None:
        raise bug

    # A decoder's bug would be counted and the connection set aside; here it is the finding, with its traceback.
    Conversation._report = stop  # type: ignore[method-assign]  # the plain class can be changed
    logging.disable()
    target = targets.TARGETS[sys.argv[1]]

    def one(text: bytes) -> None:
        target.check(text)

    atheris.Setup([sys.argv[0], *sys.argv[2:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
