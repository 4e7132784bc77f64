"""A way to a server that goes silent: what was connected before is taken and never carried on, what connects later is."""

import socket
import threading
from contextlib import contextmanager, suppress


class DeafWay:
    def __init__(self, port):
        self.port = port
        self.connections = 0
        self._silenced = 0

    def silence(self):
        """From now on nothing of the connections so far arrives anywhere; nobody is told."""
        self._silenced = self.connections

    @contextmanager
    def serve(self):
        listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _accept(self, listener):
        with suppress(OSError):
            while True:
                inner, _ = listener.accept()
                self.connections += 1
                outer = socket.create_connection(("127.0.0.1", self.port))
                for pair in ((inner, outer), (outer, inner)):
                    threading.Thread(target=self._pump, args=(*pair, self.connections), daemon=True).start()

    def _pump(self, source, target, number):
        with suppress(OSError):
            while piece := source.recv(65536):
                if number > self._silenced:
                    target.sendall(piece)
            if number > self._silenced:
                target.close()
