"""EfficientTAM's attention to averages of keys. Source: https://arxiv.org/abs/2411.18933, section 3.3.

Rotated keys and values are averaged over 2 x 2 cells of each memory. As one key then stands for four, the released
networks add ln 4: ``_1`` to its scores, which counts it four times; ``_2`` to each element of the key. Pointers stay as
they are, and so does a single memory.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from samurai_batch.modeling.configs import EfficientTamConfig, VideoModelConfig

POOLING = 2  # a pooled key replaces POOLING x POOLING cells
LOG_CELLS = math.log(POOLING**2)


@dataclass(frozen=True)
class KeyPooling:
    """How keys of ``num_memories`` memories of ``side`` x ``side`` cells are averaged.

    ``weighs_scores``: the scores of averages get `LOG_CELLS`, otherwise each element of their keys.
    """

    num_memories: int
    side: int
    weighs_scores: bool

    def averaged(self, x: Tensor) -> Tensor:
        """(N, cells + pointers, c) -> (N, cells / 4 + pointers, c)."""
        return self._joined(x, 0.0)

    def keys(self, rotated: Tensor) -> Tensor:
        """As `averaged`, for rotated keys: whether their channels are in another order does not matter."""
        return self._joined(rotated, 0.0 if self.weighs_scores else LOG_CELLS)

    def _joined(self, x: Tensor, added: float) -> Tensor:
        num_cells = self.num_memories * self.side**2
        cells, pointers = x[:, :num_cells], x[:, num_cells:]
        maps = cells.unflatten(1, (self.num_memories, self.side, self.side)).flatten(0, 1).permute(0, 3, 1, 2)
        means = F.avg_pool2d(maps, POOLING).permute(0, 2, 3, 1).reshape(len(x), -1, x.shape[2])
        return torch.cat((means + added if added else means, pointers), dim=1)


def key_pooling(config: VideoModelConfig, num_memories: int, side: int) -> KeyPooling | None:
    """How this network averages keys of so many memories; None if it does not."""
    if not isinstance(config, EfficientTamConfig) or config.key_pooling is None or num_memories <= 1:
        return None
    return KeyPooling(num_memories, side, weighs_scores=config.key_pooling == "scores")
