"""Tiny untrained networks of both families for tests of logic, in float64 by default."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from samurai_batch.images.networks import ImageNetwork, Sam2Network, SamNetwork
from samurai_batch.modeling.checkpoints import parameter_shapes
from samurai_batch.modeling.configs import SamConfig
from samurai_batch.modeling.sam import SAM
from samurai_batch.modeling.untrained import seeded_weights
from tests.deterministic import deterministic_frames, seeded_model, small_model
from tests.modeling.small_networks import SMALL_NETWORKS

SMALL_SAM = SamConfig(
    name="test_sam",
    embed_dim=32,
    depth=2,
    num_heads=2,
    global_att_blocks=(1,),
    window_size=3,
    image_size=64,
    hidden_dim=32,
    decoder_mlp_dim=64,
    decoder_heads=4,
    iou_head_dim=32,
)


def seeded_sam(config: SamConfig, seed: int = 0) -> SAM:
    """A float64 SAM with random weights of a fixed seed."""
    model = SAM(config)
    model.load_state_dict(seeded_weights(parameter_shapes(config), seed), strict=True)
    return model.double().eval().requires_grad_(False)


@cache
def small_network(family: str) -> ImageNetwork:
    """One tiny network of "sam", "sam2", or another family of models for videos."""
    if family in ("efficienttam", "edgetam"):
        return Sam2Network(seeded_model(SMALL_NETWORKS[family], 64))
    return SamNetwork(seeded_sam(SMALL_SAM)) if family == "sam" else Sam2Network(small_model())


def picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Discs over a texture: (height, width, 3) uint8."""
    side = max(height, width)
    return np.ascontiguousarray(deterministic_frames(1, side, seed)[0, :height, :width])
