"""Benchmarks: what watching costs, beside the bars it is held to. `python -m tests.bench`.

`rows/` has one file for each group of rows; a new file there is a new group. The rest is the harness that rows share:
`machine` (is it quiet?), `process` (processor time and memory), `lab` (namespaces), `load` (clients that count),
`observers` (who watches), `sinks` (who is exported to), `measure` (one run, void or not), `report` (table and JSON).
"""
