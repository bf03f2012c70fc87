"""Whether the prompts of a track fit its video, once the video's length and size are known."""

from dataclasses import dataclass

from samurai_batch.checks import are_points_in_units, is_box_in_units
from samurai_batch.prompts import BoxPrompt, MaskPrompt, PointsPrompt, Prompt
from samurai_batch.tasks import Track, VideoInfo

_UNIT = "in pixels of the original video"


@dataclass(frozen=True)
class VideoFacts(VideoInfo):
    """What a job has found out of a video.

    ``scene_cuts`` are the frames at which shots begin, but the first one; None where nobody has measured them, by the
    rules of ``scene_cuts_version``.
    """

    scene_cuts: tuple[int, ...] | None = None
    scene_cuts_version: int = 0


def validation_error(track: Track, info: VideoInfo) -> str | None:
    """One sentence on what does not fit and how to mend it; None if all does.

    A box may stick out of the picture, as long as some of it lies inside; a click may not. Neither may be in units of 0
    to 1.
    """
    last = info.num_frames - 1
    for prompt in track.prompts:
        if prompt.frame_index > last:
            return f"the prompt on frame {prompt.frame_index} lies after the video's last frame, {last}"
        problem = _outside(prompt, info)
        if problem:
            return f"the prompt on frame {prompt.frame_index} has {problem}"
    if track.end_frame is not None and track.end_frame > last:
        return (
            f"end_frame {track.end_frame} lies after the video's last frame, {last}; "
            "leave end_frame empty for the end of the video"
        )
    return None


def _outside(prompt: Prompt, info: VideoInfo) -> str | None:
    picture = f"a picture of {info.width}x{info.height} pixels"
    match prompt:
        case BoxPrompt(box_xyxy=(left, top, right, bottom)):
            if left >= info.width or top >= info.height or right <= 0 or bottom <= 0:
                return f"box_xyxy {list(prompt.box_xyxy)}, all of it outside {picture}"
            if is_box_in_units(prompt.box_xyxy):
                return f"box_xyxy {list(prompt.box_xyxy)}, smaller than 2 pixels; give it {_UNIT}"
        case PointsPrompt():
            for x, y in prompt.points_xy:
                if not (0 <= x <= info.width and 0 <= y <= info.height):
                    return f"the point ({x:g}, {y:g}), outside {picture}"
            if are_points_in_units(prompt.points_xy):
                return f"points_xy {[list(point) for point in prompt.points_xy]}, all in one pixel; give them {_UNIT}"
        case MaskPrompt():
            if (prompt.mask.height, prompt.mask.width) != (info.height, info.width):
                return f"a mask of {prompt.mask.width}x{prompt.mask.height} pixels, on {picture}; scale the mask"
    return None
