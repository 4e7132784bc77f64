"""What all rooms share: words, checked reads, names, the writer of protobuf.

Room: wire.
"""
