"""Files of weights and their digests. Does not import torch, which takes a second."""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from samurai_batch import storage
from samurai_batch.errors import CheckpointError

UNTRAINED = "untrained:"
OTHER_FILES = {
    b"\x80": "a pickle, such as PyTorch wrote before 1.6; save them again with a newer torch.save",
    b"version https://git-lfs": "a pointer of Git LFS, not the file; run git lfs pull",
    b"<": "a web page or an error of a store, not the file; check that the address needs no login",
    b"{": "JSON, such as an error of a server; check that the address needs no login",
    b"\x1f\x8b": "packed by gzip; unpack them",
}
"""What a file that holds no weights is, by its first bytes (capitals made small), and the remedy."""
SHIPPED = Path(__file__).parent / "weights"


def weights_digest(model: str, weights: str | None) -> str:
    """The SHA-256 of a model's weights file, or, for untrained weights, of model and seed. Does not parse the file.

    Raises CheckpointError if it is missing or cannot be read.
    """
    if weights is not None and weights.startswith(UNTRAINED):
        return hashlib.sha256(f"{model} {weights}".encode()).hexdigest()
    try:
        with weights_file(model, weights) as path, path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        source = "shipped with the package" if weights is None else storage.redact_uri(weights)
        raise CheckpointError(f"weights {source} cannot be read: {error.strerror or error}") from error


@contextmanager
def weights_file(model: str, weights: str | None) -> Iterator[Path]:
    """The weights' file; a remote one as a local copy, whose storage is freed with the last tensor mapped from it."""
    if weights is None:
        yield _shipped(model)
    elif not storage.is_remote(weights):
        path = storage.local_path(weights)
        if not path.is_file():
            raise CheckpointError(f"weights {weights} do not exist or are not a file")
        yield path
    else:
        with tempfile.TemporaryDirectory(prefix="samurai_batch-") as folder:
            path = Path(folder) / "weights"
            try:
                storage.copy_to_local(weights, path)
            except FileNotFoundError as error:
                raise CheckpointError(f"weights {storage.redact_uri(weights)} do not exist") from error
            yield path


def _shipped(model: str) -> Path:
    path = SHIPPED / f"{model}.safetensors"
    if not path.exists():
        raise CheckpointError(
            f"the weights of {model} do not ship with this package; download them and name the file"
            f" (weights: /path/to/{model}.pt, or an https://, s3:// or hf:// address)"
        )
    return path
