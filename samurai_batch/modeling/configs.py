"""The model table: each model is a row of numbers for the same code."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from samurai_batch.errors import ConfigError

NUM_MASKMEM = 7  # rows of the memories' temporal encoding: six recent frames and the conditioning frames
PATCH_SIZE = 16  # pixels of SAM's patches, in both directions
MAX_OBJ_PTRS = 16  # object pointers: fifteen recent frames and the conditioning frames


@dataclass(frozen=True, kw_only=True)
class VideoModelConfig:
    """What the networks that track objects have in common: all but the image encoder.

    ``kf_score_weight`` is the default of SAMURAI's rules for this network. SAMURAI publishes values for the sizes of
    SAM 2 only; other networks have that of the small ones.
    """

    has_high_res: ClassVar[bool] = True
    """Whether the mask decoder adds features of strides 4 and 8."""

    name: str
    image_size: int = 1024
    hidden_dim: int = 256
    mem_dim: int = 64
    memory_layers: int = 4
    memory_mlp_dim: int = 2048
    decoder_mlp_dim: int = 2048
    decoder_heads: int = 8
    iou_head_dim: int = 256
    mask_in_chans: int = 16
    fuser_layer_scale: float = 1e-6  # initial value; trained weights replace it
    is_21: bool = True  # SAM 2.1: spatial embedding of absent objects, temporal encoding of pointers
    kf_score_weight: float = 0.25

    @property
    def image_size_step(self) -> int:
        """Image sizes are multiples of it: the coarsest map has stride 32."""
        return 2 * PATCH_SIZE

    @property
    def compresses_memories(self) -> bool:
        """Whether the network itself attends to fewer keys than a memory has cells."""
        return False

    def memory_shape(self, image_size: int) -> tuple[int, ...]:
        """The shape of one spatial memory: its channels, and its cells at this image size."""
        side = image_size // PATCH_SIZE
        return self.mem_dim, side, side

    def check_image_size(self, image_size: int | None) -> None:
        """Raise ConfigError unless the size is None or one that the network supports."""
        if image_size is not None and (image_size <= 0 or image_size % self.image_size_step):
            raise ConfigError(
                f"image_size {image_size} is not a positive multiple of {self.image_size_step}, which {self.name} needs"
            )


@dataclass(frozen=True, kw_only=True)
class Sam2Config(VideoModelConfig):
    """One SAM 2 network.

    The trunk is Hiera (https://arxiv.org/abs/2306.00989): ``trunk_dim`` channels and ``trunk_heads`` heads in
    the first stage, doubled in each of the next three.
    """

    trunk_dim: int
    trunk_heads: int
    stages: tuple[int, int, int, int]
    global_att_blocks: tuple[int, ...]
    window_spec: tuple[int, int, int, int] = (8, 4, 14, 7)
    position_grid: int = 7  # side of the background position embedding

    @property
    def trunk_dims(self) -> tuple[int, ...]:
        """Channels of the four stages."""
        return tuple(self.trunk_dim * 2**stage for stage in range(4))


@dataclass(frozen=True, kw_only=True)
class EfficientTamConfig(VideoModelConfig):
    """One EfficientTAM network (https://arxiv.org/abs/2411.18933): SAM 2 with a plain vision transformer as trunk.

    ``key_pooling``: cross-attention averages the rotated keys and the values over 2 x 2 cells of each memory, if there
    are several memories, and adds the logarithm of these four cells to the keys' scores ("scores") or to every
    element of the keys ("keys"). In the released names they are ``_1`` and ``_2``.
    """

    has_high_res: ClassVar[bool] = False

    trunk_dim: int
    trunk_heads: int
    depth: int = 12
    global_att_blocks: tuple[int, ...] = (2, 5, 8, 11)
    window_size: int = 14
    position_grid: int = 14  # side of the position embedding
    is_21: bool = False
    key_pooling: Literal["scores", "keys"] | None = None

    @property
    def compresses_memories(self) -> bool:
        """Whether cross-attention averages keys."""
        return self.key_pooling is not None


@dataclass(frozen=True, kw_only=True)
class EdgeTamConfig(VideoModelConfig):
    """One EdgeTAM network (https://arxiv.org/abs/2501.07256): SAM 2 with a convolutional trunk and a spatial perceiver.

    The trunk is RepViT (https://arxiv.org/abs/2307.09283): ``squeeze_dims`` are the hidden channels of its
    squeeze-and-excitation by stage. The perceiver compresses a memory to ``num_latents`` global tokens and one for each
    of ``window_grid`` x ``window_grid`` windows.
    """

    stem_dim: int = 24
    trunk_dims: tuple[int, int, int, int] = (48, 96, 192, 384)
    squeeze_dims: tuple[int, int, int, int] = (16, 24, 48, 96)
    stages: tuple[int, int, int, int] = (2, 2, 14, 2)
    memory_layers: int = 2
    is_21: bool = False
    num_latents: int = 256
    window_grid: int = 16
    perceiver_layers: int = 2

    @property
    def image_size_step(self) -> int:
        """Every window has the same number of whole cells."""
        return PATCH_SIZE * self.window_grid

    @property
    def num_memory_tokens(self) -> int:
        """Tokens of one memory, whatever the image size: first the global ones."""
        return self.num_latents + self.window_grid**2

    @property
    def compresses_memories(self) -> bool:
        """The perceiver does."""
        return True

    def memory_shape(self, image_size: int) -> tuple[int, ...]:
        """The shape of one spatial memory: its channels, and its tokens."""
        del image_size
        return self.mem_dim, self.num_memory_tokens


_TINY = Sam2Config(
    name="sam2.1_hiera_tiny",
    trunk_dim=96,
    trunk_heads=1,
    stages=(1, 2, 7, 2),
    global_att_blocks=(5, 7, 9),
)
_SMALL = replace(_TINY, name="sam2.1_hiera_small", stages=(1, 2, 11, 2), global_att_blocks=(7, 10, 13))
_BASE_PLUS = replace(
    _TINY,
    name="sam2.1_hiera_base_plus",
    trunk_dim=112,
    trunk_heads=2,
    stages=(2, 3, 16, 3),
    global_att_blocks=(12, 16, 20),
    position_grid=14,
)
_LARGE = replace(
    _TINY,
    name="sam2.1_hiera_large",
    trunk_dim=144,
    trunk_heads=2,
    stages=(2, 6, 36, 4),
    global_att_blocks=(23, 33, 43),
    window_spec=(8, 4, 16, 8),
    kf_score_weight=0.15,
)
_SAM21 = (_TINY, _SMALL, _BASE_PLUS, _LARGE)
_SAM2 = tuple(replace(row, name=row.name.replace("sam2.1", "sam2"), is_21=False) for row in _SAM21)

NANO = Sam2Config(
    name="nano",
    trunk_dim=48,
    trunk_heads=1,
    stages=(1, 2, 4, 1),
    global_att_blocks=(4, 5, 6, 7),
    window_spec=(8, 4, 12, 6),
    position_grid=7,
    image_size=256,
    hidden_dim=128,
    mem_dim=32,
    memory_layers=2,
    memory_mlp_dim=512,
    decoder_mlp_dim=512,
    iou_head_dim=128,
    fuser_layer_scale=0.1,
)

_TI = EfficientTamConfig(name="efficienttam_ti", trunk_dim=192, trunk_heads=3)
_S = EfficientTamConfig(name="efficienttam_s", trunk_dim=384, trunk_heads=6)
_EFFICIENT_TAM = tuple(
    variant
    for row in (_TI, _S)
    for variant in (
        row,
        replace(row, name=f"{row.name}_1", key_pooling="scores"),
        replace(row, name=f"{row.name}_2", key_pooling="keys"),
        replace(row, name=f"{row.name}_512x512", image_size=512),
    )
)
_EDGE_TAM = EdgeTamConfig(name="edgetam")

MODELS: dict[str, VideoModelConfig] = {row.name: row for row in (NANO, *_SAM21, *_SAM2, *_EFFICIENT_TAM, _EDGE_TAM)}


@dataclass(frozen=True, kw_only=True)
class SamConfig:
    """One SAM network: a vision transformer of ``depth`` blocks, most of them with windowed attention."""

    name: str
    embed_dim: int
    depth: int
    num_heads: int
    global_att_blocks: tuple[int, ...]
    window_size: int = 14
    image_size: int = 1024
    hidden_dim: int = 256
    decoder_mlp_dim: int = 2048
    decoder_heads: int = 8
    iou_head_dim: int = 256
    mask_in_chans: int = 16

    def check_image_size(self, image_size: int | None) -> None:
        """Raise ConfigError unless the size is None or the network's own."""
        if image_size not in (None, self.image_size):
            raise ConfigError(f"image_size {image_size}: {self.name} supports only {self.image_size}; leave it out")


_VIT_B = SamConfig(name="sam_vit_b", embed_dim=768, depth=12, num_heads=12, global_att_blocks=(2, 5, 8, 11))
_VIT_L = SamConfig(name="sam_vit_l", embed_dim=1024, depth=24, num_heads=16, global_att_blocks=(5, 11, 17, 23))
_VIT_H = SamConfig(name="sam_vit_h", embed_dim=1280, depth=32, num_heads=16, global_att_blocks=(7, 15, 23, 31))

SAM_MODELS: dict[str, SamConfig] = {row.name: row for row in (_VIT_B, _VIT_L, _VIT_H)}


def model_config(name: str) -> VideoModelConfig:
    """The row of a model that tracks objects; raises ConfigError for any other name."""
    if name in SAM_MODELS:
        raise ConfigError(
            f"model {name!r} segments single images and cannot track; choose one of {', '.join(MODELS)},"
            " or run `samurai-batch segment`"
        )
    if name not in MODELS:
        raise ConfigError(f"model {name!r} is not known; the models are {', '.join(MODELS)}")
    return MODELS[name]


def image_models() -> dict[str, VideoModelConfig | SamConfig]:
    """All models: those that track, and SAM's; all segment images."""
    return {**MODELS, **SAM_MODELS}


def image_model_config(name: str) -> VideoModelConfig | SamConfig:
    """The row of any model; raises ConfigError for an unknown name."""
    rows = image_models()
    if name not in rows:
        raise ConfigError(f"model {name!r} is not known; the models for images are {', '.join(rows)}")
    return rows[name]
