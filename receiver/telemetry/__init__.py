"""What is told of roundtrips and connections: metrics and spans.

Room: telemetry.
"""
