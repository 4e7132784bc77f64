"""The fuzzers: one target for each decoder, guided by coverage of the plain source; `./dev fuzz` runs them.

`targets.py` says what must hold for any bytes, `script.py` how bytes become a connection, `plain.py` has the source imported and
not the compiled modules, `run.py` is one fuzzing process (atheris), `smallest.py` reduces what it found to what `corpus/` keeps,
and `tests/test_fuzz_corpus.py` replays that on the compiled modules and on the plain ones.
"""
