"""Damages captures, and holds that nothing is read from them that was not there.

`packets.py` takes a capture apart into packets that can be changed and put together again, or makes one of a decoder's vector;
`generate.py` damages it, by a seed; `compare.py` reads both with the whole engine and says what must hold. `python -m tests.damage`
(`./dev damage`) does that for many seeds, and prints how to repeat what failed.
"""
