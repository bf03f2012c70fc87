"""Text prompts: a detector finds boxes for a phrase, and the boxes become prompts.

Two detectors implement the protocol `Detector`:

    OpenVocabularyDetector    a zero-shot detector of `transformers` (Grounding DINO, OWLv2, …)
    ClipRanker                masks of everything mode, ranked by CLIP's similarity of their crops and the phrase

`make_detector` creates one by its name: ``<model>`` for the first, ``clip:<model>`` for the second, where the model is
an id or a local folder. Both need the extra ``samurai-batch[text]``; without it they raise ConfigError.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from samurai_batch.errors import ConfigError
from samurai_batch.geometry import clip_box
from samurai_batch.images.everything import AutoMask, segment_everything
from samurai_batch.images.predictor import ImagePredictor
from samurai_batch.images.prompts import check_image
from samurai_batch.images.settings import EverythingSettings
from samurai_batch.images.text_models import CLIP, import_transformers, load_model
from samurai_batch.prompts import Box


@dataclass(frozen=True)
class Detection:
    """A box that matches the phrase: ``box_xyxy`` in pixels, within the image; score in [0, 1]."""

    box_xyxy: Box
    score: float


class Detector(Protocol):
    """Detects the objects that a phrase describes."""

    def detect(self, image: NDArray[np.uint8], phrase: str) -> list[Detection]:
        """Detections in an image (H, W, 3) uint8 RGB with scores above the detector's threshold, best first."""
        ...


class OpenVocabularyDetector:
    """A zero-shot detector of `transformers`, by model id or local folder.

    Raises ConfigError without the extra, and CheckpointError if there is no such model.
    """

    def __init__(self, model: str, *, threshold: float = 0.25, device: torch.device | str = "cpu") -> None:
        library = import_transformers()
        self._processor = load_model(library.AutoProcessor, model)
        self._model = load_model(library.AutoModelForZeroShotObjectDetection, model).to(device).eval()
        self._threshold = threshold
        self._device = device

    @torch.inference_mode()
    def detect(self, image: NDArray[np.uint8], phrase: str) -> list[Detection]:
        """See `Detector`."""
        check_image(image)
        height, width = image.shape[:2]
        inputs = self._processor(images=image, text=[[_checked(phrase)]], return_tensors="pt").to(self._device)
        found = self._processor.post_process_grounded_object_detection(
            self._model(**inputs), threshold=self._threshold, target_sizes=[(height, width)]
        )[0]
        boxes, scores = (found[name].double().cpu().tolist() for name in ("boxes", "scores"))
        inside = [clip_box(tuple(box), height, width) for box in boxes]
        pairs = [(box, score) for box, score in zip(inside, scores, strict=True) if box[0] < box[2] and box[1] < box[3]]
        return [Detection(box, score) for box, score in sorted(pairs, key=lambda pair: -pair[1])]


class ClipRanker:
    """The method of SAM's paper: CLIP compares crops around the masks of everything mode with the phrase.

    The score is the probability of the phrase among itself and ``others``, phrases for everything else.
    """

    def __init__(
        self,
        clip: str,
        predictor: ImagePredictor,
        *,
        threshold: float = 0.5,
        settings: EverythingSettings | None = None,
        others: Sequence[str] = ("something else",),
        crops_per_batch: int = 16,
    ) -> None:
        library = import_transformers()
        self._processor = load_model(library.AutoProcessor, clip)
        self._model = load_model(library.CLIPModel, clip).to(predictor.network.device).eval()
        self._predictor = predictor
        self._threshold = threshold
        self._settings = settings
        self._others = tuple(others)
        self._crops_per_batch = crops_per_batch
        if not self._others:
            raise ConfigError("others: a probability needs at least one phrase to compare with")

    def detect(self, image: NDArray[np.uint8], phrase: str) -> list[Detection]:
        """See `Detector`."""
        return [Detection(mask.box_xyxy, score) for mask, score in self.rank(image, phrase) if score > self._threshold]

    @torch.inference_mode()
    def rank(self, image: NDArray[np.uint8], phrase: str) -> list[tuple[AutoMask, float]]:
        """Every automatic mask of the image with its score, best first."""
        words = [_checked(phrase), *self._others]
        masks = segment_everything(self._predictor, image, self._settings)
        scores: list[float] = []
        for start in range(0, len(masks), self._crops_per_batch):
            crops = [_crop(image, mask.box_xyxy) for mask in masks[start : start + self._crops_per_batch]]
            inputs = self._processor(images=crops, text=words, return_tensors="pt", padding=True)
            logits = self._model(**inputs.to(self._predictor.network.device)).logits_per_image
            scores += logits.double().softmax(dim=1)[:, 0].cpu().tolist()
        return sorted(zip(masks, scores, strict=True), key=lambda pair: -pair[1])


def make_detector(
    name: str, predictor: ImagePredictor, threshold: float, settings: EverythingSettings | None = None
) -> Detector:
    """The detector with this name, on the predictor's device; it returns detections with scores above the threshold.

    Only ``clip:`` uses the predictor and the settings of everything mode. Raises as `check_detector` does.
    """
    if name.startswith(CLIP):
        return ClipRanker(name.removeprefix(CLIP), predictor, threshold=threshold, settings=settings)
    return OpenVocabularyDetector(name, threshold=threshold, device=predictor.network.device)


def _checked(phrase: str) -> str:
    if not phrase.strip():
        raise ConfigError("a text prompt is empty; name the objects to detect")
    return phrase.strip().lower()  # Grounding DINO needs lower case; OWLv2 and CLIP ignore case


def _crop(image: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    x1, y1, x2, y2 = (int(value) for value in box)
    return image[y1:y2, x1:x2]
