"""Short constructors of videos and tracks for planning tests."""

from samurai_batch.prompts import BoxPrompt
from samurai_batch.tasks import Direction, Track, Video


def video(video_id: str = "v") -> Video:
    return Video(video_id, f"{video_id}.mp4")


def track(
    object_id: str = "x",
    frame: int = 0,
    *,
    of: Video | None = None,
    start_frame: int | None = None,
    end_frame: int | None = None,
    direction: Direction = "forward",
) -> Track:
    return Track(
        video=of or video(),
        object_id=object_id,
        prompts=(BoxPrompt(frame, (1.0, 2.0, 30.0, 40.0)),),
        start_frame=start_frame,
        end_frame=end_frame,
        direction=direction,
    )
