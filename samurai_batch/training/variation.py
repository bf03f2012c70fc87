"""Many clips out of one: turned, mirrored, in other colours."""

from dataclasses import replace

import numpy as np

from samurai_batch.synthetic.clip import Clip


def varied(rng: np.random.Generator, clip: Clip, wild: float = 1.0) -> Clip:
    """The same things in a square clip, seen another way; masks stay exact.

    ``wild`` is the chance that it may be turned by a right angle and its colours change places, as nothing real does.
    """
    frames, masks = clip.frames, clip.masks
    is_wild = wild >= 1.0 or rng.random() < wild
    if is_wild and rng.random() < 0.5:
        frames, masks = frames.swapaxes(1, 2), masks.swapaxes(2, 3)
    step = int(rng.choice([-1, 1]))
    turned = (frames[:, ::step], masks[:, :, ::step]) if is_wild else (frames[:, :, ::step], masks[..., ::step])
    frames, masks = turned
    levels = (np.linspace(0, 1, 256) ** np.exp(rng.normal(0, 0.15)) * rng.uniform(0.8, 1.0) * 255).astype(np.uint8)
    colours = levels[frames[..., rng.permutation(3)] if is_wild else frames]
    return replace(clip, frames=np.ascontiguousarray(colours), masks=np.ascontiguousarray(masks))
