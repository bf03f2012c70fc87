"""What a tracker asks of the network on every frame, as functions that may be replaced by faster forms of them."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from samurai_batch.modeling.mask_decoder import Candidates
from samurai_batch.modeling.sam2 import SAM2, FrameFeatures

EncodeImage = Callable[[Tensor], FrameFeatures]


@dataclass(frozen=True)
class Operations:
    """The five operations of `SAM2`, with the arguments and results of its methods.

    ``encode_image`` may be compiled (`compiling`), and all may be replayed as CUDA graphs (`cuda_graphs`). Arguments
    are given by position.
    """

    encode_image: EncodeImage
    attend_to_memory: Callable[..., Tensor]
    decode: Callable[[Tensor, tuple[Tensor, ...]], Candidates]
    object_pointer: Callable[[Tensor, Tensor], Tensor]
    encode_memory: Callable[[Tensor, Tensor, Tensor], Tensor]

    @classmethod
    def of(cls, model: SAM2) -> "Operations":
        """The network's own methods."""
        return cls(model.encode_image, model.attend_to_memory, model.decode, model.object_pointer, model.encode_memory)
