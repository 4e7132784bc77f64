"""What all exporters share.

Room: export.
"""
