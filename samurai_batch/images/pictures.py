"""The objects that prompts mean on one picture or frame: detections of auto prompts, and masks of all prompts.

prompt                 objects                                                      object ids of their masks
box, points, mask      one                                                          <object_id>
text                   each that the text describes, by a detector                  <object_id>#0, #1, … best first
everything             each automatic mask                                          <object_id>#0, #1, … best first
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from samurai_batch.errors import ConfigError, PromptError
from samurai_batch.images.everything import segment_everything
from samurai_batch.images.predictor import MASK_THRESHOLD, EncodedImage, ImagePredictor
from samurai_batch.images.prompts import BatchPrompts, check_prompts
from samurai_batch.images.settings import EverythingSettings
from samurai_batch.images.text import Detector, make_detector
from samurai_batch.prompts import (
    AutoPrompt,
    BoxPrompt,
    DiscoverPrompt,
    EverythingPrompt,
    FrameDetection,
    MaskPrompt,
    PointsPrompt,
    Prompt,
    Rle,
    TextPrompt,
)
from samurai_batch.rle import decode_mask, encode_mask
from samurai_batch.tasks import Track

Kind = TypeVar("Kind", BoxPrompt, PointsPrompt, MaskPrompt)


@dataclass(frozen=True)
class ObjectDetector:
    """Detects the objects that an auto prompt means.

    ``detector_name`` is a detector of `make_detector`; None where no text prompt comes. ``threshold`` is the least
    score of its detections.
    """

    predictor: ImagePredictor
    detector_name: str | None = None
    threshold: float = 0.25
    settings: EverythingSettings | None = None

    @cached_property
    def text_detector(self) -> Detector:
        """Loaded with the first text prompt. Raises ConfigError where none is named, and what `make_detector` does."""
        if self.detector_name is None:
            raise ConfigError("prompts of kind text need a detector; name one in the field detector")
        return make_detector(self.detector_name, self.predictor, self.threshold, self.settings)

    def detect(self, prompt: AutoPrompt, pixels: NDArray[np.uint8]) -> list[Prompt]:
        """One prompt for each object on the frame (H, W, 3), best first: boxes for text, masks for everything."""
        match prompt:
            case TextPrompt():
                boxes = self.text_detector.detect(pixels, prompt.text)
                return [BoxPrompt(prompt.frame_index, one.box_xyxy) for one in boxes]
            case EverythingPrompt():
                masks = segment_everything(self.predictor, pixels, self.settings)
                return [MaskPrompt(prompt.frame_index, one.mask) for one in masks]
            case DiscoverPrompt():
                raise PromptError("a discover prompt needs a video; give a picture a text or everything prompt")

    def detect_all(self, prompt: DiscoverPrompt, frame_index: int, pixels: NDArray[np.uint8]) -> list[FrameDetection]:
        """Every object of the prompt's classes on a frame (H, W, 3): boxes, or without classes every automatic mask.

        The score of an automatic mask is its predicted IoU, and its class ``object``.
        """
        if prompt.classes:
            return [
                FrameDetection(frame_index, name, one.score, one.box_xyxy)
                for name in prompt.classes
                for one in self.text_detector.detect(pixels, name)
            ]
        masks = segment_everything(self.predictor, pixels, self.settings)
        return [
            FrameDetection(frame_index, "object", min(max(one.predicted_iou, 0.0), 1.0), one.box_xyxy, one.mask)
            for one in masks
        ]


@dataclass(frozen=True)
class PictureMask:
    """One object on a picture; ``mask`` is None where the network finds no object at its prompts.

    mask_index: which of the decoder's candidates; object_score: logit of "in the picture", infinite for SAM, which has
    no such output.
    """

    object_id: str
    mask: Rle | None
    predicted_iou: float
    object_score: float
    mask_index: int


def segment_picture(
    detector: ObjectDetector, track: Track, pixels: NDArray[np.uint8], image: EncodedImage
) -> list[PictureMask]:
    """The masks of the track's prompts on a picture (H, W, 3), which the detector's predictor has encoded as ``image``.

    Raises PromptError for a prompt that does not fit the picture, and ConfigError for text without a text detector.
    """
    match track.auto_prompt:
        case EverythingPrompt():
            everything = segment_everything(detector.predictor, pixels, detector.settings, image)
            masks = [(one.mask, one.predicted_iou, one.object_score, one.mask_index) for one in everything]
            return [PictureMask(f"{track.object_id}#{number}", *mask) for number, mask in enumerate(masks)]
        case TextPrompt() as text:
            prompted = track.tracks_of_detections(detector.detect(text, pixels))
        case DiscoverPrompt() as discover:
            detector.detect(discover, pixels)  # refuses it
            prompted = ()
        case None if track.carried_from is not None:
            raise PromptError("a from_video prompt needs a video; give a picture a box, points, a mask or a text")
        case None:
            prompted = (track,)
    detector.predictor.set_image(image)
    return [_segment_one(detector.predictor, one) for one in prompted]


def _segment_one(predictor: ImagePredictor, track: Track) -> PictureMask:
    prompts = _batch_of_one(predictor, track.prompts)
    prompts.check_inside(predictor.image.height, predictor.image.width)
    # One click is ambiguous: it can mean the whole object, a part, or a part of the part.
    is_ambiguous = prompts.points_xy.shape[1] == 1 and prompts.boxes_xyxy is None and prompts.mask_logits is None
    candidates = predictor.decode(prompts, multimask=is_ambiguous)
    ious = candidates.ious[0].tolist()
    predictor.network.check_not_nan(ious)
    best = ious.index(max(ious))
    logits = predictor.logits_at_image_size(candidates.logits[:, best : best + 1])[0, 0]
    mask = encode_mask((logits > MASK_THRESHOLD).cpu().numpy())
    return PictureMask(track.object_id, mask, ious[best], float(candidates.object_score[0]), best)


def _batch_of_one(predictor: ImagePredictor, prompts: Sequence[Prompt]) -> BatchPrompts:
    """The prompts of one object: at most one box and one mask, as the manifest has checked."""
    boxes, clicks, masks = _of(BoxPrompt, prompts), _of(PointsPrompt, prompts), _of(MaskPrompt, prompts)
    return check_prompts(
        points_xy=[[xy for one in clicks for xy in one.points_xy]] if clicks else None,
        labels=[[label for one in clicks for label in one.labels]] if clicks else None,
        boxes_xyxy=[box.box_xyxy for box in boxes] or None,
        mask_logits=[predictor.network.mask_input(_whole(predictor, one.mask)) for one in masks] or None,
        low_res_size=predictor.network.image_size // 4,
    )


def _whole(predictor: ImagePredictor, mask: Rle) -> NDArray[np.bool_]:
    height, width = predictor.image.height, predictor.image.width
    if (mask.height, mask.width) != (height, width):
        raise PromptError(f"a mask of {mask.width}x{mask.height} pixels, on a picture of {width}x{height}")
    return decode_mask(mask)


def _of(kind: type[Kind], prompts: Sequence[Prompt]) -> list[Kind]:
    return [one for one in prompts if isinstance(one, kind)]
