"""Tiny networks of each kind in the table of models, for tests of logic rather than of numbers."""

from dataclasses import replace

from samurai_batch.modeling.configs import EdgeTamConfig, EfficientTamConfig, VideoModelConfig
from tests.deterministic import SMALL

EFFICIENT_TAM = EfficientTamConfig(
    name="small_efficienttam",
    trunk_dim=16,
    trunk_heads=2,
    depth=3,
    global_att_blocks=(1,),
    window_size=3,
    position_grid=3,
    image_size=64,
    hidden_dim=32,
    mem_dim=8,
    memory_layers=2,
    memory_mlp_dim=64,
    decoder_mlp_dim=64,
    decoder_heads=4,
    iou_head_dim=32,
)
EDGE_TAM = EdgeTamConfig(
    name="small_edgetam",
    stem_dim=4,
    trunk_dims=(8, 12, 16, 24),
    squeeze_dims=(4, 4, 8, 8),
    stages=(2, 1, 3, 1),
    num_latents=6,
    window_grid=2,
    image_size=64,
    hidden_dim=32,
    mem_dim=8,
    memory_mlp_dim=64,
    decoder_mlp_dim=64,
    decoder_heads=4,
    iou_head_dim=32,
)
SMALL_NETWORKS: dict[str, VideoModelConfig] = {
    "sam2.1": SMALL,
    "efficienttam": EFFICIENT_TAM,
    "efficienttam_1": replace(EFFICIENT_TAM, name="small_efficienttam_1", key_pooling="scores"),
    "efficienttam_2": replace(EFFICIENT_TAM, name="small_efficienttam_2", key_pooling="keys"),
    "edgetam": EDGE_TAM,
}
