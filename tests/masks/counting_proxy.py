"""A proxy in front of an S3 server that counts requests and the bytes of their answers."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.runtime.faulty_proxy import FaultyProxy, _Handler, served


class CountingProxy(FaultyProxy):
    """``answers`` holds method, path and number of bytes of each answer."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.RequestHandlerClass = _CountingHandler
        self.answers: list[tuple[str, str, int]] = []

    @property
    def num_bytes(self) -> int:
        return sum(size for _, _, size in self.answers)

    def next_fault(self) -> str | None:
        return None


class _CountingHandler(_Handler):
    server: CountingProxy

    def _send(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
        self.server.answers.append((self.command, self.path, len(data)))
        super()._send(status, headers, data)


@contextmanager
def counting_proxy(target: str) -> Iterator[CountingProxy]:
    with served(CountingProxy(target)) as proxy:
        yield proxy
