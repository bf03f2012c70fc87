"""The model table: each model is a row of numbers for the same code."""

from dataclasses import dataclass, replace

from samurai_batch.errors import ConfigError

NUM_MASKMEM = 7  # rows of the memories' temporal encoding: six recent frames and the conditioning frames
PATCH_SIZE = 16  # pixels of SAM's patches, in both directions
MAX_OBJ_PTRS = 16  # object pointers: fifteen recent frames and the conditioning frames


@dataclass(frozen=True, kw_only=True)
class Sam2Config:
    """One SAM 2 network.

    The trunk is Hiera (https://arxiv.org/abs/2306.00989): ``trunk_dim`` channels and ``trunk_heads`` heads in
    the first stage, doubled in each of the next three. ``kf_score_weight`` is the tracker's default for this size, from
    SAMURAI's public configurations.
    """

    name: str
    trunk_dim: int
    trunk_heads: int
    stages: tuple[int, int, int, int]
    global_att_blocks: tuple[int, ...]
    window_spec: tuple[int, int, int, int] = (8, 4, 14, 7)
    position_grid: int = 7  # side of the background position embedding
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
    def trunk_dims(self) -> tuple[int, ...]:
        """Channels of the four stages."""
        return tuple(self.trunk_dim * 2**stage for stage in range(4))


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

MODELS: dict[str, Sam2Config] = {row.name: row for row in (NANO, *_SAM21, *_SAM2)}


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


def model_config(name: str) -> Sam2Config:
    """The row of a model that tracks objects; raises ConfigError for any other name."""
    if name in SAM_MODELS:
        raise ConfigError(
            f"model {name!r} segments single images and cannot track; choose one of {', '.join(MODELS)},"
            " or run `samurai-batch segment`"
        )
    if name not in MODELS:
        raise ConfigError(f"model {name!r} is not known; the models are {', '.join(MODELS)}")
    return MODELS[name]


def image_models() -> dict[str, Sam2Config | SamConfig]:
    """All models: SAM 2's and SAM's, which all segment images."""
    return {**MODELS, **SAM_MODELS}


def image_model_config(name: str) -> Sam2Config | SamConfig:
    """The row of any model; raises ConfigError for an unknown name."""
    rows = image_models()
    if name not in rows:
        raise ConfigError(f"model {name!r} is not known; the models for images are {', '.join(rows)}")
    return rows[name]
