"""Packets: where they come from (room capture), and what they are (room packets).

Room: packets.
"""
