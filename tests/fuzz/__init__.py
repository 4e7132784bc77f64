"""The fuzzers: one target for each decoder, guided by coverage of the plain source; `./dev fuzz` runs them.

`targets.py` says what must hold for any bytes, `script.py` how bytes become a connection, `plain.py` has the source imported instead
of the compiled modules, `run.py` is one fuzzing process (atheris), `smallest.py` reduces what it found to what is kept in `corpus/`,
which `tests/test_fuzz_corpus.py` replays on the compiled modules and on the plain ones.
"""
