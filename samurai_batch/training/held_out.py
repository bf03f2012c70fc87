"""Clips to choose weights by: of seeds that neither training nor a suite has, of pictures that training never sees."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from samurai_batch.synthetic.clip import Clip, generate_clip
from samurai_batch.synthetic.settings import MEASURED_SEED, SceneSettings
from samurai_batch.synthetic.suites import SUITE_FRAMES, SUITE_SIZE
from samurai_batch.training.bank import Bank
from samurai_batch.training.film import filmed
from samurai_batch.training.furnished import Furnishing

_FURNISHED = SceneSettings(
    objects=(1, 1), lookalikes=(0, 2), clutter=(0, 4), scale=(0.07, 0.4), crossing=0.7, leave=0.2, hiding=0.4
)
_PLAIN = SceneSettings(objects=(1, 1), lookalikes=(0, 2), crossing=0.7, leave=0.2, hiding=0.4)
_MIN_SHARE = 0.004


@dataclass(frozen=True)
class HeldOut:
    """``num_clips`` clips of one kind, the same on every call; without a bank they are generated alone."""

    bank: Bank | None
    scene: SceneSettings
    seed: int
    num_clips: int = 32

    def clips(self) -> Iterator[Clip]:
        """All clips whose object shows on the first frame, one after the other."""
        return (self.clip(index) for index in range(self.num_clips))

    def clip(self, index: int) -> Clip:
        """Clip ``index``, of as many frames as a suite's."""
        for attempt in range(100):
            seed = (MEASURED_SEED, 70 + self.seed, index, attempt)
            if self.bank is None:
                return generate_clip(seed, self.scene, SUITE_FRAMES, SUITE_SIZE)
            rng = np.random.default_rng(seed)
            furnishing = replace(Furnishing.of(rng, self.bank), grounds=1.0)
            clip = generate_clip(seed, self.scene, SUITE_FRAMES, SUITE_SIZE, furnishing.surfaces, supplies=furnishing)
            clip = filmed(rng, clip)
            if clip.masks[0, 0].mean() >= _MIN_SHARE and clip.masks[1:, 0].any():
                return clip
        raise AssertionError("no clip shows its object")


def held_out_suites(bank: Bank) -> dict[str, HeldOut]:
    """The two kinds: of held-out pictures, and generated alone."""
    return {"pictures": HeldOut(bank, _FURNISHED, 1), "generated": HeldOut(None, _PLAIN, 2)}
