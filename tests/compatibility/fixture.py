"""An output written by version 0.1.0, loaded into ``memory://``.

Fingerprints contain the URI and version of a video. In ``memory://`` both are the same on every machine if the
modification time of files is set.
"""

import io
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec

from samurai_batch import storage
from samurai_batch.job import JobConfig, make_job

ROOT = "memory://compatibility"
OUTPUT = f"{ROOT}/out"
ARCHIVE = Path(__file__).parent / "output-0.1.0.tar.xz"
WRITTEN_AT = datetime(2026, 11, 29, tzinfo=UTC)  # every file

NUM_FRAMES, CHUNK_FRAMES = 40, 8


def job() -> JobConfig:
    """The job of the output."""
    fields = {"model": "nano", "weights": "untrained:0", "image_size": 64, "chunk_frames": CHUNK_FRAMES}
    tracker = {"stable_frames_threshold": 3, "stable_ious_threshold": 0.05}
    return make_job(
        {"prompts": f"{ROOT}/prompts.jsonl", "output": OUTPUT, "pool": "local", "tracker": tracker, **fields}
    )


def put(name: str, data: bytes) -> None:
    """Write one file of the fixture, with its fixed modification time."""
    storage.write_bytes(f"{ROOT}/{name}", data)
    memory_files()[f"/compatibility/{name}"].created = WRITTEN_AT


def put_all() -> None:
    """Write all files of the fixture."""
    remove_all()
    with tarfile.open(ARCHIVE) as archive:
        for member in archive.getmembers():
            content = archive.extractfile(member)
            assert content is not None
            put(member.name, content.read())


def remove_all() -> None:
    """Delete all files of the fixture."""
    storage.delete(f"{ROOT}/")


def read_all() -> dict[str, bytes]:
    """Every file of the fixture, by name."""
    own = [name for name in memory_files() if name.startswith("/compatibility/")]
    return {name.removeprefix("/compatibility/"): memory_files()[name].getvalue() for name in sorted(own)}


def pack(files: dict[str, bytes]) -> bytes:
    """The archive of these files; the same files give the same archive."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:xz", preset=9) as archive:
        for name, data in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), int(WRITTEN_AT.timestamp())
            archive.addfile(info, io.BytesIO(data))
    return sink.getvalue()


def memory_files() -> dict[str, Any]:
    """fsspec's memory files by path."""
    store: dict[str, Any] = fsspec.filesystem("memory").store
    return store
