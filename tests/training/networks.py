"""A very small network, very small clips and a schedule of minutes for tests of the training."""

from dataclasses import replace

from samurai_batch.modeling.configs import NANO
from samurai_batch.modeling.sam2 import SAM2
from samurai_batch.synthetic import SceneSettings
from samurai_batch.training.batches import BatchSettings
from samurai_batch.training.initialization import initial_weights
from samurai_batch.training.schedule import Stage

TINY = replace(NANO, trunk_dim=8, hidden_dim=32, mem_dim=16, memory_mlp_dim=32, decoder_mlp_dim=32, iou_head_dim=32)
SCENE = SceneSettings(clutter=(0, 1), others=(0, 0))
BATCHES = BatchSettings(scene=SCENE, size=64, clips=1, frames=3)
STAGES = (
    Stage(name="a", minutes=1, batches=BATCHES),
    Stage(name="b", minutes=3, batches=BATCHES, teacher_forcing=(1.0, 0.5)),
)


def tiny_network() -> SAM2:
    """The network ``TINY`` for pictures of 64 × 64 pixels as it is before training, float32."""
    model = SAM2(TINY, 64).float()
    model.load_state_dict(initial_weights(TINY, 0))
    return model
