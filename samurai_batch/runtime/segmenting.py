"""The replica of ``task: segment``: one copy of the network that reads pictures, encodes them together, and publishes
the masks of each track.

    masks/<picture>/<object_id>.parquet   the rows of one track of the job, in the mask table's schema:

    video_id        the picture's id: its file name, or the video_id of the prompts table
    object_id       the track's own; with kind text and everything, <object_id>#0, #1, … of each object, best first
    frame_index     0, at timestamp_s 0: a picture is a video of one frame
    segmentation    at the picture's own size; null where the network finds no object at a box or a click
    mask_score      the predicted IoU
    object_score    the logit of there being an object; infinite for SAM, which always sees one
    motion_score    null
    mask_index      which of the decoder's alternatives this is
    prompted        true

A table without rows means that no object was found.
"""

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from samurai_batch.background import for_each
from samurai_batch.errors import PromptError, VideoError
from samurai_batch.images.pictures import ObjectDetector, PictureMask, segment_picture
from samurai_batch.images.predictor import EncodedImage
from samurai_batch.masks import MaskRow, rows_to_table
from samurai_batch.planning.orders import Detected, DetectMember, DetectOrder, Order, OrderFailed, Report
from samurai_batch.planning.retry import Failure
from samurai_batch.planning.validation import validation_error
from samurai_batch.runtime.failures import StoppedError, as_failure, within_memory
from samurai_batch.runtime.replica import PublishingReplica
from samurai_batch.stats import WorkStats
from samurai_batch.storage import redact_uri
from samurai_batch.tasks import Video, VideoInfo
from samurai_batch.video import Frame

T = TypeVar("T")


@dataclass(kw_only=True, eq=False)
class PictureReplica(PublishingReplica):
    """Carries out DetectOrders on pictures, one at a time; keeps no state between them."""

    detector: ObjectDetector

    def run(self, order: Order) -> Report:
        """Carry out an order. A picture that fails does not affect the others; any other failure is an OrderFailed."""
        assert isinstance(order, DetectOrder), "a job on pictures has detect orders only"
        started_s = time.monotonic()
        try:
            answers, num_encoded = self._segment(order.members)
        except Exception as error:  # a replica outlives every order
            return OrderFailed(order.order_id, as_failure(error), time.monotonic() - started_s)
        return Detected(order.order_id, answers, time.monotonic() - started_s, WorkStats(frames_encoded=num_encoded))

    def _segment(self, members: Sequence[DetectMember]) -> tuple[tuple[int | Failure, ...], int]:
        """The answers, and how many pictures were encoded for them."""
        videos = list(dict.fromkeys(member.track.video for member in members))
        frames = for_each(lambda video: _or_failure(lambda: self._read(video)), videos, self.num_transfers)
        read = dict(zip(videos, frames, strict=True))
        pictures = {video: frame for video, frame in read.items() if isinstance(frame, Frame)}
        images = dict(zip(pictures, within_memory(lambda: self._encode(pictures.values())), strict=True))
        answers: list[int | Failure] = []
        for member in members:
            picture = read[member.track.video]
            if isinstance(picture, Frame):
                image = images[member.track.video]
                answers.append(_or_failure(partial(self._answer, member, picture, image)))
            else:
                answers.append(picture)
        return tuple(answers), len(pictures)

    def _read(self, video: Video) -> Frame:
        self.check_not_stopping()
        with closing(self.open_video(video.uri)) as source:
            if (num_frames := source.info.num_frames) != 1:
                raise VideoError(
                    f"{redact_uri(video.uri)} holds {num_frames} pictures or frames, and task segment takes one a file;"
                    " save each as a file of its own, or use task track for a video"
                )
            (frame,) = source.frames(range(1))
            return frame

    def _encode(self, pictures: Collection[Frame]) -> list[EncodedImage]:
        return self.detector.predictor.encode([one.pixels for one in pictures]) if pictures else []

    def _answer(self, member: DetectMember, picture: Frame, image: EncodedImage) -> int:
        """Publish the masks of one track on one picture; their number."""
        self.check_not_stopping()
        if problem := validation_error(member.track, VideoInfo(1, image.height, image.width)):
            raise PromptError(problem)
        masks = segment_picture(self.detector, member.track, picture.pixels, image)
        table = rows_to_table([_row(mask, member.track.video, image) for mask in masks])
        self.publish(member.track, member.fingerprint, table)
        return len(masks)


def _or_failure(step: Callable[[], T]) -> T | Failure:
    """The result of ``step``, or its failure; only StoppedError ends the whole order."""
    try:
        return within_memory(step)
    except StoppedError:
        raise
    except Exception as error:
        return as_failure(error)


def _row(mask: PictureMask, video: Video, image: EncodedImage) -> MaskRow:
    return MaskRow(
        video_id=video.video_id,
        object_id=mask.object_id,
        frame_index=0,
        timestamp_s=0.0,
        height=image.height,
        width=image.width,
        segmentation=mask.mask,
        mask_score=mask.predicted_iou,
        object_score=mask.object_score,
        motion_score=None,
        mask_index=mask.mask_index,
        prompted=True,
    )
