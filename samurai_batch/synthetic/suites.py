"""Fixed clips: three suites for measuring. Training never draws from their seeds."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from samurai_batch.synthetic.clip import Clip, generate_clip
from samurai_batch.synthetic.settings import MEASURED_SEED, SceneSettings

SUITE_FRAMES, SUITE_SIZE = 24, 256

_MIX = SceneSettings(objects=(1, 1), leave=0.2, hiding=0.25)


@dataclass(frozen=True)
class Suite:
    """``num_clips`` clips of one difficulty; the object to follow is the first of each clip."""

    name: str
    scene: SceneSettings
    seed: int
    num_clips: int = 24

    def clip(self, index: int) -> Clip:
        """Clip ``index`` of 24 frames of 256 × 256, the same on every call."""
        return generate_clip((MEASURED_SEED, self.seed, index), self.scene, SUITE_FRAMES, SUITE_SIZE)

    def clips(self) -> Iterator[Clip]:
        """All clips, one after the other."""
        return (self.clip(index) for index in range(self.num_clips))


SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        Suite("mix", _MIX, seed=1),
        Suite("distractors", replace(_MIX, lookalikes=(1, 3), crossing=1.0, leave=0.0, hiding=0.0), seed=2),
        Suite("occlusion", replace(_MIX, lookalikes=(0, 0), leave=0.0, hiding=1.0, occluders=(1, 2)), seed=3),
    )
}
