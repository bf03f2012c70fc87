"""Which tracks are answered at once, by one order: prompts to look up in a video, or pictures to segment.

Neither needs chunks. A look is done or it is not, and the replica that looks keeps what it finds.
"""

from collections.abc import Iterable

from samurai_batch.planning.orders import DetectMember


def make_detect_batches(wanted: Iterable[DetectMember], videos_per_order: int) -> list[tuple[DetectMember, ...]]:
    """The members of each order: all of one video (or picture) together, and so many videos in one order."""
    by_video: dict[str, list[DetectMember]] = {}
    for member in wanted:
        by_video.setdefault(member.track.video.video_id, []).append(member)
    videos = list(by_video.values())
    starts = range(0, len(videos), videos_per_order)
    return [tuple(one for video in videos[at : at + videos_per_order] for one in video) for at in starts]
