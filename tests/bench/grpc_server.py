"""A grpcio server that gives every message back: run by `servers`, not by hand.     grpc_server.py ADDRESS PORT"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc


class Echo(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio has no types
    def service(self, call: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(lambda request, context: request)


def main() -> None:
    server = grpc.server(ThreadPoolExecutor(2), (Echo(),))
    if not server.add_insecure_port(f"{sys.argv[1]}:{sys.argv[2]}"):
        sys.exit(f"port {sys.argv[2]} is taken")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
