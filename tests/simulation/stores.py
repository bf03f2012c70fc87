"""Simulated storage: one dictionary, which each process accesses by a view that may fail or kill the process."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from samurai_batch.errors import StorageError
from samurai_batch.storage import Identity

T = TypeVar("T")


class Killed(BaseException):
    """The simulated process dies; nothing catches this."""


class MemoryStore:
    """Objects by URI. ``on_write`` is called before every write."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.on_write: Callable[[str, bytes], None] = lambda uri, data: None

    def read_bytes(self, uri: str) -> bytes:
        if uri not in self.objects:
            raise FileNotFoundError(uri)
        return self.objects[uri]

    def write_bytes(self, uri: str, data: bytes) -> None:
        self.on_write(uri, data)
        self.objects[uri] = data

    def create_bytes(self, uri: str, data: bytes) -> bool:
        if uri in self.objects:
            return self.objects[uri] == data
        self.write_bytes(uri, data)
        return True

    def list_names(self, uri: str) -> list[str]:
        folder = f"{uri}/"
        return sorted({name[len(folder) :].split("/")[0] for name in self.objects if name.startswith(folder)})

    def delete(self, uri: str) -> None:
        for name in [name for name in self.objects if name == uri or name.startswith(f"{uri}/")]:
            del self.objects[name]

    def identity(self, uri: str) -> Identity:
        return Identity(len(self.read_bytes(uri)), "v1")


class Weather(Protocol):
    """Decides whether storage calls fail; both methods may raise StorageError or Killed."""

    def before(self, is_change: bool) -> None: ...

    def after(self, is_change: bool) -> None: ...


def no_answer() -> StorageError:
    return StorageError("storage kept answering with errors")


class StoreView:
    """Storage as seen by one process. Changes may be postponed and carried out later."""

    def __init__(self, store: MemoryStore, weather: Weather) -> None:
        self._store = store
        self._weather = weather
        self._postponed: list[Callable[[], None]] | None = None

    def postpone(self) -> None:
        """From now on changes are only recorded, as if this process were slow to reach storage."""
        self._postponed = []

    def take_postponed(self) -> Sequence[Callable[[], None]]:
        postponed, self._postponed = self._postponed or [], None
        return postponed

    def read_bytes(self, uri: str) -> bytes:
        return self._call(lambda: self._store.read_bytes(uri), is_change=False)

    def list_names(self, uri: str) -> list[str]:
        return self._call(lambda: self._store.list_names(uri), is_change=False)

    def identity(self, uri: str) -> Identity:
        return self._call(lambda: self._store.identity(uri), is_change=False)

    def write_bytes(self, uri: str, data: bytes) -> None:
        self._change(lambda: self._store.write_bytes(uri, data))

    def create_bytes(self, uri: str, data: bytes) -> bool:
        return self._call(lambda: self._store.create_bytes(uri, data), is_change=True)

    def delete(self, uri: str) -> None:
        self._change(lambda: self._store.delete(uri))

    def _change(self, change: Callable[[], None]) -> None:
        if self._postponed is not None:
            self._postponed.append(change)
        else:
            self._call(change, is_change=True)

    def _call(self, call: Callable[[], T], *, is_change: bool) -> T:
        self._weather.before(is_change)
        result = call()
        self._weather.after(is_change)
        return result
