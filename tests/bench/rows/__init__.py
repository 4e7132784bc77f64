"""One module for each group of rows.

A module has a first line that says what it measures, `ORDER` (its place in the table) and `run(bench)`, which adds
figures. A row for another protocol is another file here; nothing else changes.
"""
