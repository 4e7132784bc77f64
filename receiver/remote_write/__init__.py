"""The exporter that speaks Prometheus remote write.

Room: remote_write.
"""
