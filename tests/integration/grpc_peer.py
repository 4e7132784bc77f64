"""What tests/upstreams/grpc-lab is in Go, with grpcio: a server, or a client that makes calls as its input says.

python grpc_peer.py server PORT
python grpc_peer.py client PORT     reads lines `CALLS EVERY VARIED`, and answers each with a line of JSON: calls by status
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc


def echo(request: bytes, context: Any) -> bytes:
    ids = [value for key, value in context.invocation_metadata() if key == "x-call"]
    if ids:
        context.set_trailing_metadata((("x-call", ids[0]),))
    if request.startswith(b"fail"):
        context.abort(grpc.StatusCode.INTERNAL, "as asked" + request[4:].decode())
    return request


def serve(port: int) -> None:
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    methods = {"Echo": grpc.unary_unary_rpc_method_handler(echo)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("lab.Lab", methods),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


def call(port: int) -> None:
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_retries", 0)])
    echo_of = channel.unary_unary("/lab.Lab/Echo")
    number = 0
    for line in sys.stdin:
        calls, every, varied = (int(word) for word in line.split())
        counts: Counter[str] = Counter()
        for _ in range(calls):
            number += 1
            payload = b"fail" if every and number % every == 0 else b"hello"
            metadata = ()
            if varied:
                metadata = (("x-call", f"call-{number}"),)
                payload += b" call-%d" % number
            try:
                echo_of(payload, metadata=metadata)
                counts["OK"] += 1
            except grpc.RpcError as error:
                counts[error.code().name] += 1
            time.sleep(0.001)
        print(json.dumps(counts), flush=True)
    channel.close()


if __name__ == "__main__":
    (serve if sys.argv[1] == "server" else call)(int(sys.argv[2]))
