"""Whether a Matroska or WebM file is all there: its one segment says how long it is (RFC 8794, RFC 9559)."""

from pathlib import Path

_SEGMENT = b"\x18\x53\x80\x67"


def missing_bytes(path: Path) -> int:
    """How many bytes the file is shorter than its segment says; 0 if it is whole, or does not say."""
    with path.open("rb") as file:
        head = file.read(4096)
    start = head.find(_SEGMENT)
    if not 0 <= start < len(head) - len(_SEGMENT) - 8:
        return 0
    size_at = start + len(_SEGMENT)
    num_bytes = 9 - head[size_at].bit_length()
    size = int.from_bytes(head[size_at : size_at + num_bytes], "big") & (1 << 7 * num_bytes) - 1
    if size == (1 << 7 * num_bytes) - 1:  # "unknown", as live recordings leave it
        return 0
    return max(0, size_at + num_bytes + size - path.stat().st_size)
