"""What the driver needs of the world: time and storage, as arguments, so that a simulation can replace them."""

import platform
import time
from importlib.metadata import version
from typing import Protocol

from samurai_batch.storage import Identity


class Clock(Protocol):
    """Two readings of time, in seconds."""

    def now_s(self) -> float:
        """Seconds since 1970 (UTC), comparable between machines as far as their clocks agree."""
        ...

    def elapsed_s(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...


class SystemClock:
    """The time of the machine we are on."""

    def now_s(self) -> float:
        """Seconds since 1970 (UTC)."""
        return time.time()

    def elapsed_s(self) -> float:
        """Seconds since this machine started."""
        return time.monotonic()


class Store(Protocol):
    """What runtime uses of `samurai_batch.storage`; the module itself is one."""

    def read_bytes(self, uri: str) -> bytes:
        """The whole file. Raises FileNotFoundError."""
        ...

    def write_bytes(self, uri: str, data: bytes) -> None:
        """Put the whole file in place at once."""
        ...

    def create_bytes(self, uri: str, data: bytes) -> bool:
        """Put the whole file in place if there is none; False if another one stands there."""
        ...

    def list_names(self, uri: str) -> list[str]:
        """The children of a folder; none if it is missing."""
        ...

    def delete(self, uri: str) -> None:
        """Remove a file or a folder; missing is fine."""
        ...

    def identity(self, uri: str) -> Identity:
        """Size and version of a file or folder. Raises FileNotFoundError."""
        ...


def versions() -> dict[str, str]:
    """What a run's record says of the software it ran on."""
    packages = ("samurai-batch", "torch", "ray", "pyarrow", "numpy", "av")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
