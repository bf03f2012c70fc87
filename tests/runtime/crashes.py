"""A process that dies at any change of storage, as tests choose it."""

from collections.abc import Callable

from samurai_batch import storage


class Crash(BaseException):
    """The simulated process dies; nothing catches this."""


class CrashingStore:
    """Storage that kills its process at the n-th change, before or after it takes effect."""

    def __init__(self, crash_at: int, *, after: bool) -> None:
        self._left = crash_at
        self._after = after

    def read_bytes(self, uri: str) -> bytes:
        self._check_alive()
        return storage.read_bytes(uri)

    def list_names(self, uri: str) -> list[str]:
        self._check_alive()
        return storage.list_names(uri)

    def identity(self, uri: str) -> storage.Identity:
        return storage.identity(uri)

    def write_bytes(self, uri: str, data: bytes) -> None:
        self._change(lambda: storage.write_bytes(uri, data))

    def create_bytes(self, uri: str, data: bytes) -> bool:
        self._change(lambda: storage.create_bytes(uri, data))
        return storage.read_bytes(uri) == data

    def delete(self, uri: str) -> None:
        self._change(lambda: storage.delete(uri))

    @property
    def has_crashed(self) -> bool:
        return self._left <= 0

    def _check_alive(self) -> None:
        if self.has_crashed:
            raise Crash

    def _change(self, change: Callable[[], object]) -> None:
        self._check_alive()
        self._left -= 1
        if self.has_crashed and not self._after:
            raise Crash
        change()
        self._check_alive()
