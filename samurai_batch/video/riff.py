"""Whether an AVI file is all there: its first chunk says how long it is."""

from pathlib import Path


def missing_bytes(path: Path) -> int:
    """How many bytes the file is shorter than its first chunk says; 0 if it is whole, or does not say."""
    with path.open("rb") as file:
        head = file.read(8)
    size = int.from_bytes(head[4:], "little")
    if head[:4] != b"RIFF" or size in (0, 2**32 - 1):  # as recordings that were never ended leave it
        return 0
    return max(0, 8 + size - path.stat().st_size)
