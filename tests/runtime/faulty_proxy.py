"""A proxy in front of an S3 server with the faults of object stores: status 503, lost answers, late answers.

Faults are chosen by counting requests, so they are the same in every run. An answer may be lost before the request
reaches the server, or after it took effect there.
"""

import http.client
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, cycle
from typing import Any, TypeVar

FAULTS = ("busy before", "busy after", "cut before", "cut after", "slow")
EVERY = 6
SLOW_S = 0.1
BUSY = b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>'


class FaultyProxy(ThreadingHTTPServer):
    """Every sixth request gets the next fault of the list; ``num_faults`` counts them."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urllib.parse.urlsplit(target).netloc
        self.num_faults: Counter[str] = Counter()
        self._requests = count(1)
        self._faults = cycle(FAULTS)
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def next_fault(self) -> str | None:
        with self._lock:
            if next(self._requests) % EVERY:
                return None
            fault = next(self._faults)
            self.num_faults[fault] += 1
            return fault

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that closed the connection during a slow answer."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyProxy

    def _answer(self) -> None:
        fault = self.server.next_fault()
        body = self._read_body()
        if fault == "slow":
            time.sleep(SLOW_S)
        if fault in ("busy before", "cut before"):
            self._fail(fault)
            return
        status, headers, data = self._forward(body)
        if fault in ("busy after", "cut after"):
            self._fail(fault)
            return
        self._send(status, headers, data)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer  # noqa: N815

    def _read_body(self) -> bytes:
        if "100-continue" in self.headers.get("Expect", ""):
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self.headers.get("Transfer-Encoding") == "chunked":
            return b"".join(self._chunks())
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _chunks(self) -> Iterator[bytes]:
        """The body with its chunk framing, to be forwarded unchanged."""
        while True:
            line = self.rfile.readline()
            size = int(line.split(b";")[0], 16)
            yield line + self.rfile.read(size + 2)
            if size == 0:
                return

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.server.target, timeout=60)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() != "expect":
                connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        data = response.read()
        connection.close()
        return response.status, response.getheaders(), data

    def _fail(self, fault: str) -> None:
        if fault.startswith("cut"):
            self.close_connection = True
            self.connection.close()
        else:
            self._send(503, [("Content-Type", "application/xml")], b"" if self.command == "HEAD" else BUSY)

    def _send(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
        self.send_response_only(status)
        kept = [pair for pair in headers if pair[0].lower() not in ("transfer-encoding", "connection")]
        if not any(name.lower() == "content-length" for name, _ in kept) and status != 204:
            kept.append(("Content-Length", str(len(data))))
        for name, value in kept:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def faulty_proxy(target: str) -> Iterator[FaultyProxy]:
    with served(FaultyProxy(target)) as proxy:
        yield proxy


Proxy = TypeVar("Proxy", bound=FaultyProxy)


@contextmanager
def served(proxy: Proxy) -> Iterator[Proxy]:
    """The proxy, which answers in a thread of its own until the block ends."""
    with proxy:
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
