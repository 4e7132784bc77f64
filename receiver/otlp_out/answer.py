"""What a Collector answers: partial success in the response, RetryInfo in the trailers.

Room: otlp_out. An answer is foreign bytes: what cannot be read says nothing, and never fails an export that went well.
"""

from __future__ import annotations

from receiver.wire.protobuf import fields, signed

RETRY_INFO = b"type.googleapis.com/google.rpc.RetryInfo"


def read_partial_success(response: bytes) -> tuple[int, str]:
    """Rejected items and the message, from ExportTraceServiceResponse or ExportMetricsServiceResponse; both are alike:
    partial_success = 1 {rejected_spans | rejected_data_points = 1, error_message = 2}."""
    rejected = 0
    words = ""
    try:
        for number, partial in fields(response):
            if number != 1 or not isinstance(partial, bytes):
                continue
            for inner, value in fields(partial):
                if inner == 1 and isinstance(value, int):
                    rejected = signed(value)
                elif inner == 2 and isinstance(value, bytes):
                    words = value.decode("utf-8", "replace")
    except ValueError:
        pass
    return rejected, words


def read_retry_delay(status: bytes) -> float | None:
    """Seconds from the RetryInfo in a `grpc-status-details-bin`; None without one.

    google.rpc.Status.details = 3: Any {type_url = 1, value = 2}; RetryInfo.retry_delay = 1: Duration {seconds = 1,
    nanos = 2}. A RetryInfo without delay, or with a negative one, means 0: retry as you would.
    """
    try:
        for number, any_value in fields(status):
            if number != 3 or not isinstance(any_value, bytes):
                continue
            parts = dict(fields(any_value))
            if parts.get(1) != RETRY_INFO:
                continue
            delay = 0.0
            retry_info = parts.get(2, b"")
            if isinstance(retry_info, bytes):
                for inner, duration in fields(retry_info):
                    if inner == 1 and isinstance(duration, bytes):
                        time = dict(fields(duration))
                        seconds, nanos = time.get(1, 0), time.get(2, 0)
                        if isinstance(seconds, int) and isinstance(nanos, int):
                            delay = signed(seconds) + signed(nanos) / 1e9
            return max(0.0, delay)
    except ValueError:
        pass
    return None
