"""Prompts of a video that name no place: words, or everything. They are looked up on their frame.

Each object found becomes a track of its own, ``<object_id>#0``, ``#1``, … in order of score: a box for words, and
the mask itself for everything.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from samurai_batch.errors import ConfigError
from samurai_batch.images.everything import EverythingSettings, segment_everything
from samurai_batch.images.predictor import ImagePredictor
from samurai_batch.images.text import Detector
from samurai_batch.tasks import AskedPrompt, BoxPrompt, EverythingPrompt, MaskPrompt, Prompt, TextPrompt, Track


@dataclass(frozen=True)
class Finder:
    """What looks things up: a predictor for everything mode, a detector for words. Either may be left out."""

    predictor: ImagePredictor | None = None
    detector: Detector | None = None
    settings: EverythingSettings | None = None

    def find(self, prompt: AskedPrompt, pixels: NDArray[np.uint8]) -> list[Prompt]:
        """The prompts that stand for this one on its frame (H, W, 3), best first; none if nothing is found.

        Raises ConfigError where what is needed was left out.
        """
        match prompt:
            case TextPrompt():
                if self.detector is None:
                    raise ConfigError("prompts of kind text need a detector; name one in the field detector")
                found = self.detector.detect(pixels, prompt.text)
                return [BoxPrompt(prompt.frame_index, one.box_xyxy) for one in found]
            case EverythingPrompt():
                if self.predictor is None:
                    raise ConfigError("prompts of kind everything need an image predictor")
                masks = segment_everything(self.predictor, pixels, self.settings)
                return [MaskPrompt(prompt.frame_index, one.mask) for one in masks]


def asked_prompt(track: Track) -> AskedPrompt | None:
    """The prompt that has to be looked up before this track can be followed; None if there is none."""
    first = next(iter(track.prompts), None)
    return first if isinstance(first, AskedPrompt) else None


def look_up(track: Track, finder: Finder, pixels: NDArray[np.uint8]) -> list[Track]:
    """The tracks that stand for one whose prompt names no place; the track itself if its prompts name one."""
    prompt = asked_prompt(track)
    return [track] if prompt is None else numbered(track, finder.find(prompt, pixels))


def numbered(track: Track, prompts: Sequence[Prompt]) -> list[Track]:
    """One track for each prompt, otherwise like ``track``."""
    return [
        replace(track, object_id=f"{track.object_id}#{index}", prompts=(prompt,))
        for index, prompt in enumerate(prompts)
    ]
