"""pcap-receiver: packets in; OTLP spans, metrics and Prometheus remote write out."""

__version__ = "0.1.0"
