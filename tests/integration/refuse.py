"""An HTTP server that refuses bodies: `python refuse.py ADDRESS PORT`; prints a JSON object a request.

`Expect: 100-continue` is answered with the final status that the path ends in (`/417`), while the connection goes on, unless the
path begins with `/take`: then with 100. A request with `Authorization` is never refused. The body that does come is read.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Refusing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_expect_100(self) -> bool:
        if self.path.startswith("/take") or "Authorization" in self.headers:
            return super().handle_expect_100()
        self._answer(int(self.path.rpartition("/")[2]), None)
        return False

    def _answer(self, status: int, body: int | None) -> None:
        told = {"port": self.client_address[1], "method": self.command, "path": self.path, "status": status, "body": body}
        print(json.dumps(told), flush=True)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="uploads"')
        self.end_headers()

    def _read(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self._answer(200, len(self.rfile.read(length)) if length else None)

    do_GET = do_POST = do_PUT = _read

    def log_message(self, *_arguments: object) -> None:
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Refusing)
    print("ready", flush=True)
    server.serve_forever()
