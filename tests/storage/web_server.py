"""An HTTP server on loopback that throttles, forbids and truncates as tests configure it."""

import ssl
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(kw_only=True)
class Answer:
    """A faulty answer: a status instead of the file, or the file truncated or without its length."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    is_cut: bool = False  # half the body, then the connection ends
    has_length: bool = True


class WebServer(ThreadingHTTPServer):
    """Serves ``files`` by path, after the ``answers`` of the path, each once, and the ``always`` of the method."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.answers: dict[str, list[Answer]] = defaultdict(list)
        self.always: dict[str, Answer] = {}
        self.requests: Counter[str] = Counter()
        self.num_dropped = 0  # of the next requests: the connection ends without an answer

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that closed the connection."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WebServer

    def _answer(self) -> None:
        if self.server.num_dropped > 0:
            self.server.num_dropped -= 1
            self.close_connection = True
            self.connection.close()
            return
        path = self.path.partition("?")[0]
        self.server.requests[self.command] += 1
        planned = self.server.answers[path]
        answer = planned.pop(0) if planned else self.server.always.get(self.command, Answer())
        data = self.server.files.get(path)
        if answer.status == 200 and data is None:
            answer = Answer(status=404)
        self._send(answer, data if answer.status == 200 and data is not None else answer.body or b"")

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

    def _send(self, answer: Answer, data: bytes) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(answer.status)
        headers = {"Content-Type": "video/mp4", "ETag": '"1"', **answer.headers}
        if answer.has_length:
            headers["Content-Length"] = str(len(data))
        else:
            headers["Connection"] = "close"
            self.close_connection = True
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if answer.is_cut:
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
            self.connection.close()
        else:
            self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def web_server(certificate: tuple[str, str] | None = None) -> Iterator[WebServer]:
    """A running server; with TLS if ``certificate`` (certificate and key) is given."""
    with WebServer() as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
