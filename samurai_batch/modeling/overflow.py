"""A network whose numbers are none."""

import math
from collections.abc import Iterable

import torch

from samurai_batch.errors import ConfigError


def check_not_nan(scores: Iterable[float], model: str, dtype: torch.dtype) -> None:
    """Raise ConfigError if a network has computed NaN for a score, which its mask then is as well.

    NaN is not above 0, so such a mask looks like an object that is absent. In float16 numbers above 65,504 become
    infinite, and differences of them NaN.
    """
    if not any(map(math.isnan, scores)):
        return
    remedy = "its numbers are too large for float16; set dtype: float32, or bfloat16 where the GPU computes in it"
    if dtype is not torch.float16:
        remedy = "its weights may be damaged; download them again"
    raise ConfigError(f"{model} computes NaN in {str(dtype).removeprefix('torch.')}: {remedy}")
