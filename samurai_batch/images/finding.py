"""Prompts that name no place, words or everything, looked up on their frame: boxes for words, masks for everything."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from samurai_batch.errors import ConfigError
from samurai_batch.images.everything import segment_everything
from samurai_batch.images.predictor import ImagePredictor
from samurai_batch.images.settings import EverythingSettings
from samurai_batch.images.text import Detector, make_detector
from samurai_batch.tasks import AutoPrompt, BoxPrompt, EverythingPrompt, MaskPrompt, Prompt, TextPrompt


@dataclass(frozen=True)
class Finder:
    """What looks things up. ``detector_name``, as `make_detector` takes it, may be left out where nobody uses words."""

    predictor: ImagePredictor
    detector_name: str | None = None
    threshold: float = 0.25
    settings: EverythingSettings | None = None

    @cached_property
    def detector(self) -> Detector:
        """Loaded when it is first asked for. Raises ConfigError where none is named, and what `make_detector` does."""
        if self.detector_name is None:
            raise ConfigError("prompts of kind text need a detector; name one in the field detector")
        return make_detector(self.detector_name, self.predictor, self.threshold, self.settings)

    def find(self, prompt: AutoPrompt, pixels: NDArray[np.uint8]) -> list[Prompt]:
        """The prompts that stand for this one on its frame (H, W, 3), best first; none if nothing is found."""
        match prompt:
            case TextPrompt():
                found = self.detector.detect(pixels, prompt.text)
                return [BoxPrompt(prompt.frame_index, one.box_xyxy) for one in found]
            case EverythingPrompt():
                masks = segment_everything(self.predictor, pixels, self.settings)
                return [MaskPrompt(prompt.frame_index, one.mask) for one in masks]
