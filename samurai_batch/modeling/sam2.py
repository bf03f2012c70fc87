"""SAM 2 and its relatives: the network, which holds no state of a video. Source: https://arxiv.org/abs/2408.00714.

A tracker calls its five operations on every frame, and keeps the memories between frames itself
(:mod:`samurai_batch.tracking`).

    encode_image          image                       -> frame features    once per frame, for all tracks
    attend_to_memory      features, memories          -> conditioned features
    decode                features, prompt            -> candidate masks, their scores, the object score
    object_pointer        chosen mask's token         -> object pointer
    encode_memory         features, chosen mask       -> spatial memory

EfficientTAM (https://arxiv.org/abs/2411.18933) and EdgeTAM (https://arxiv.org/abs/2501.07256) are this network with
another image encoder, and with memories of fewer keys: `configs` has what differs.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samurai_batch.modeling.configs import NUM_MASKMEM, EdgeTamConfig, VideoModelConfig
from samurai_batch.modeling.constants import Constants
from samurai_batch.modeling.image_encoder import ImageEncoder
from samurai_batch.modeling.layers import Conv2d, Linear, Mlp
from samurai_batch.modeling.mask_decoder import Candidates, MaskDecoder
from samurai_batch.modeling.memory_attention import MemoryAttention
from samurai_batch.modeling.memory_encoder import MemoryEncoder
from samurai_batch.modeling.perceiver import SpatialPerceiver, memory_positions
from samurai_batch.modeling.pooled_keys import POOLING
from samurai_batch.modeling.positions import sine_frequencies, sine_grid, sine_line
from samurai_batch.modeling.prompt_encoder import PADDING, PromptEncoder
from samurai_batch.modeling.repvit import precise_modules

MEMORY_SCALE, MEMORY_BIAS = 20.0, -10.0  # of mask probabilities before the memory encoder


@dataclass(frozen=True)
class FrameFeatures:
    """The image encoder's output for B frames; shared by all tracks of the video.

    ``image`` (B, C, S / 16, S / 16); ``high_res``: (B, C / 8, S / 4, S / 4) and (B, C / 4, S / 8, S / 8), or none for
    a network without them.
    """

    image: Tensor
    high_res: tuple[Tensor, ...]

    def frame(self, index: int) -> "FrameFeatures":
        """The features of one frame of the batch, as a batch of one."""
        return self.frames(slice(index, index + 1))

    def frames(self, keep: slice) -> "FrameFeatures":
        """The features of some frames of the batch."""
        return FrameFeatures(self.image[keep], tuple(level[keep] for level in self.high_res))


class SAM2(nn.Module):
    """The network of a configuration; parameter names and shapes are those of the public checkpoints.

    ``image_size`` S is any multiple of 32 (EdgeTAM: of 256); the default is the configuration's.
    """

    image_pe: Tensor
    memory_pe: Tensor

    def __init__(self, config: VideoModelConfig, image_size: int | None = None) -> None:
        super().__init__()
        config.check_image_size(image_size)
        self.config = config
        self.image_size = image_size or config.image_size
        self.constants = Constants()
        dim = config.hidden_dim
        self.image_encoder = ImageEncoder(config)
        self.mask_downsample = Conv2d(1, 1, kernel_size=4, stride=4)
        self.memory_attention = MemoryAttention(config, self.image_size)
        self.memory_encoder = MemoryEncoder(config)
        self.sam_prompt_encoder = PromptEncoder(dim, self.image_size, mask_in_chans=config.mask_in_chans)
        self.sam_mask_decoder = MaskDecoder(
            dim, config.decoder_heads, config.decoder_mlp_dim, config.iou_head_dim, has_high_res=config.has_high_res
        )
        self.obj_ptr_proj = Mlp(dim, dim, dim, 3)
        self.maskmem_tpos_enc = nn.Parameter(torch.zeros(NUM_MASKMEM, 1, 1, config.mem_dim))
        self.no_mem_embed = nn.Parameter(torch.zeros(1, 1, dim))
        self.no_mem_pos_enc = nn.Parameter(torch.zeros(1, 1, dim))  # in the checkpoints, but unused
        self.no_obj_ptr = nn.Parameter(torch.zeros(1, dim))
        if config.is_21:
            self.no_obj_embed_spatial = nn.Parameter(torch.zeros(1, config.mem_dim))
            self.obj_ptr_tpos_proj = Linear(dim, config.mem_dim)
        self.spatial_perceiver = (
            SpatialPerceiver(config, self.image_size) if isinstance(config, EdgeTamConfig) else None
        )
        side = self.image_size // 16
        self.register_buffer("image_pe", sine_grid(dim, side, side), persistent=False)
        self.register_buffer("memory_pe", memory_positions(config, side), persistent=False)

    def in_dtype(self, dtype: torch.dtype) -> "SAM2":
        """Convert to ``dtype`` in place, and return itself; the mask decoder computes in float32 at least.

        The decoder takes a small share of the time, and its rounding affects masks and scores most.
        """
        decoder = self.sam_mask_decoder
        precise = {*decoder.modules(), *self.sam_prompt_encoder.modules(), *precise_modules(self)}
        if decoder.has_high_res:
            precise -= {decoder.conv_s0, decoder.conv_s1}  # these belong to the features
        for module in self.modules():
            own_dtype = torch.promote_types(dtype, torch.float32) if module in precise else dtype
            for own in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                if own.is_floating_point():
                    own.data = own.data.to(own_dtype)
        return self

    def encode_image(self, pixels: Tensor) -> FrameFeatures:
        """pixels (B, 3, S, S), normalised by ImageNet mean and deviation -> features of B frames."""
        *finer, stride16 = self.image_encoder(pixels)
        return FrameFeatures(stride16, self.sam_mask_decoder.project_high_res(finer))

    def without_memory(self, features: FrameFeatures) -> Tensor:
        """Features of conditioning frames, which do not attend to memory: (B, C, h, w)."""
        return features.image + self.no_mem_embed[0, 0, :, None, None]

    def attend_to_memory(
        self,
        image: Tensor,
        memories: Tensor,
        ranks: Tensor,
        pointers: Tensor,
        pointer_times: Tensor,
        pool_memories: bool = False,
        weights: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Condition features on the memories of each of N objects: (N, C, h, w).

        image (1 or N, C, h, w); memories (N, M, mem_dim, h, w), or (N, M, mem_dim, tokens) from a perceiver; ranks
        (N, M), each memory's row of ``maskmem_tpos_enc`` (0: the newest, 6: a conditioning frame); pointers (N, P, C);
        pointer_times (N, P), signed distance in frames over the longest distance; pool_memories: 2 x 2 cells are
        averaged to one key, in a network that does not compress memories itself; weights (N, M) and (N, P): factors of
        the memories' and the pointers' keys.
        """
        memory_pe = self.memory_pe
        if pool_memories:
            assert not self.config.compresses_memories
            memories = F.avg_pool2d(memories.flatten(0, 1), POOLING).unflatten(0, memories.shape[:2])
            memory_pe = F.avg_pool2d(memory_pe, POOLING)
        spatial = memories.flatten(3).transpose(2, 3)  # (N, M, L, mem_dim)
        spatial_pe = memory_pe.flatten(1).T + self.maskmem_tpos_enc[ranks][:, :, 0]
        tokens, tokens_pe = self._pointer_tokens(pointers, pointer_times)
        attended = self.memory_attention(
            x=image.flatten(2).transpose(1, 2),
            x_pe=self.image_pe.flatten(1).T,
            memory=torch.cat((spatial.flatten(1, 2), tokens), dim=1),
            memory_pe=torch.cat((spatial_pe.flatten(1, 2), tokens_pe), dim=1),
            num_pointer_tokens=tokens.shape[1],
            are_pooled=pool_memories,
            key_weights=None if weights is None else _by_token(weights, spatial, tokens),
        )
        return attended.transpose(1, 2).unflatten(2, image.shape[-2:])

    def _pointer_tokens(self, pointers: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """Split pointers (N, P, C) into tokens of ``mem_dim`` channels, with their temporal encodings."""
        mem_dim = self.config.mem_dim
        tokens = pointers.unflatten(2, (-1, mem_dim)).flatten(1, 2)
        if not self.config.is_21:
            return tokens, torch.zeros_like(tokens)
        device, dtype, channels = times.device, times.dtype, self.config.hidden_dim
        frequencies = self.constants.get(
            "frequencies",
            lambda: sine_frequencies(channels // 2, device).to(dtype),
            variant=(device, dtype),
        )
        encoded: Tensor = self.obj_ptr_tpos_proj(sine_line(times, frequencies).to(tokens.dtype))
        return tokens, encoded.repeat_interleave(tokens.shape[1] // pointers.shape[1], dim=1)

    def decode(
        self,
        image: Tensor,
        high_res: tuple[Tensor, ...],
        points: Tensor | None = None,
        labels: Tensor | None = None,
        mask_logits: Tensor | None = None,
    ) -> Candidates:
        """Four masks for each of N prompts (see :class:`MaskDecoder`), logits at S / 4.

        image (N, C, h, w), conditioned; points (N, P, 2) in pixels of the S x S image, labels (N, P), box
        corners first; None for an empty prompt; mask_logits (N, 1, S / 4, S / 4).
        """
        prompt_encoder = self.sam_prompt_encoder
        if points is None or labels is None:
            sparse = prompt_encoder.no_points().expand(len(image), -1, -1)
        else:  # as SAM does for points without a separate box: one padding point after them
            points, labels = F.pad(points, (0, 0, 0, 1)), F.pad(labels, (0, 1), value=PADDING)
            sparse = prompt_encoder.embed_points(points, labels)
        return self.decode_embedded(image, high_res, sparse, mask_logits)

    def decode_embedded(
        self, image: Tensor, high_res: tuple[Tensor, ...], sparse: Tensor, mask_logits: Tensor | None
    ) -> Candidates:
        """As `decode`, of embedded points (N, P, C), P may be 0, in the dtype that the mask decoder computes in."""
        prompt_encoder, dtype = self.sam_prompt_encoder, self.sam_mask_decoder.iou_token.weight.dtype
        dense = prompt_encoder.embed_mask(None if mask_logits is None else mask_logits.to(dtype))
        high_res = tuple(level.to(dtype) for level in high_res)
        return self.sam_mask_decoder(image.to(dtype), prompt_encoder.image_positions(), sparse, dense, high_res)

    def object_pointer(self, token: Tensor, is_present: Tensor) -> Tensor:
        """Object pointers (N, C) from output tokens (N, C); where is_present (N,) is false, ``no_obj_ptr``."""
        pointer = self.obj_ptr_proj(token.to(self.no_obj_ptr.dtype))
        return torch.where(is_present[:, None], pointer, self.no_obj_ptr)

    def encode_memory(self, image: Tensor, mask: Tensor, is_absent: Tensor) -> Tensor:
        """Spatial memories (N, *`memory_shape`) of masks (N, 1, S, S), probabilities in [0, 1].

        image (1 or N, C, h, w): the frame's features, not the conditioned ones; is_absent (N,) bool: the object is
        taken to be not visible.
        """
        memory: Tensor = self.memory_encoder(image, mask * MEMORY_SCALE + MEMORY_BIAS)
        if self.spatial_perceiver is not None:
            memory = self.spatial_perceiver(memory)
        if not self.config.is_21:
            return memory
        absent = is_absent[:, None, None, None].to(memory.dtype)
        return memory + absent * self.no_obj_embed_spatial[..., None, None]


def _by_token(weights: tuple[Tensor, Tensor], spatial: Tensor, tokens: Tensor) -> Tensor:
    """Weights (N, M) and (N, P) as those of all keys (N, Lm): spatial (N, M, L, mem_dim), then tokens (N, P · T, …)."""
    of_memories, of_pointers = (weight.to(spatial.dtype) for weight in weights)
    per_pointer = tokens.shape[1] // of_pointers.shape[1]
    both = of_memories.repeat_interleave(spatial.shape[2], 1), of_pointers.repeat_interleave(per_pointer, 1)
    return torch.cat(both, dim=1)
