"""What the prompts of a track mean on one picture: masks at the picture's own size, with what speaks for each.

                       found on the picture                                         masks
box, points, mask      their one object                                             <object_id>
text                   every object that the words describe, by the detector        <object_id>#0, #1, … best first
everything             every automatic mask                                         <object_id>#0, #1, … best first
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from samurai_batch.errors import PromptError
from samurai_batch.images.everything import segment_everything
from samurai_batch.images.finding import Finder
from samurai_batch.images.predictor import MASK_THRESHOLD, EncodedImage, ImagePredictor
from samurai_batch.images.prompts import BatchPrompts, check_prompts
from samurai_batch.rle import decode_mask, encode_mask
from samurai_batch.tasks import BoxPrompt, EverythingPrompt, MaskPrompt, PointsPrompt, Prompt, Rle, TextPrompt, Track

Kind = TypeVar("Kind", BoxPrompt, PointsPrompt, MaskPrompt)


@dataclass(frozen=True)
class PictureMask:
    """One object on a picture; ``mask`` is None where the network finds nothing at its prompts.

    mask_index says which of the decoder's alternatives this is, object_score is the logit of there being an object
    (SAM 2; infinite for SAM, which always sees one).
    """

    object_id: str
    mask: Rle | None
    predicted_iou: float
    object_score: float
    mask_index: int


def segment_picture(finder: Finder, track: Track, pixels: NDArray[np.uint8], image: EncodedImage) -> list[PictureMask]:
    """The objects that the track's prompts mean on a picture (H, W, 3), which the finder's predictor has encoded.

    Raises PromptError for a prompt that does not fit the picture, ConfigError where the finder lacks what is needed.
    """
    match track.auto_prompt:
        case EverythingPrompt():
            found = segment_everything(finder.predictor, pixels, finder.settings, image)
            masks = [(one.mask, one.predicted_iou, one.object_score, one.mask_index) for one in found]
            return [PictureMask(f"{track.object_id}#{number}", *mask) for number, mask in enumerate(masks)]
        case TextPrompt() as text:
            prompted = track.tracks_of_detections(finder.find(text, pixels))
        case None:
            prompted = (track,)
    finder.predictor.set_image(image)
    return [_segment_one(finder.predictor, one) for one in prompted]


def _segment_one(predictor: ImagePredictor, track: Track) -> PictureMask:
    prompts = _batch_of_one(predictor, track.prompts)
    prompts.check_inside(predictor.image.height, predictor.image.width)
    # One click alone can mean three things: the whole, a part, a part of the part.
    is_ambiguous = prompts.points_xy.shape[1] == 1 and prompts.boxes_xyxy is None and prompts.mask_logits is None
    answer = predictor.ask(prompts, multimask=is_ambiguous)
    best = int(answer.ious[0].argmax())
    logits = predictor.logits_at_image_size(answer.logits[:, best : best + 1])[0, 0]
    mask = encode_mask((logits > MASK_THRESHOLD).cpu().numpy())
    return PictureMask(track.object_id, mask, float(answer.ious[0, best]), float(answer.object_score[0]), best)


def _batch_of_one(predictor: ImagePredictor, prompts: Sequence[Prompt]) -> BatchPrompts:
    """The prompts of one object: at most one box and one mask, which the prompts table makes sure of."""
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
