"""What the bytes of a connection say: decoders, and what they share.

Room: l7.
"""
