"""Writes files of weights, and reads the sentence with which they are refused."""

import io
from pathlib import Path

import pytest
import torch

from samurai_batch.errors import CheckpointError
from samurai_batch.modeling.checkpoints import load_weights


def torch_bytes(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def written(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def refuse(model: str, weights: str | None) -> str:
    """The one sentence with which these weights are refused."""
    with pytest.raises(CheckpointError) as refusal:
        load_weights(model, weights)
    assert "\n" not in str(refusal.value)
    if weights is not None:
        assert weights in str(refusal.value)
    return str(refusal.value)
