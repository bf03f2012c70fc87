from samurai_batch.planning.retry import RetryLimits
from samurai_batch.runtime.settings import DriverSettings
from samurai_batch.runtime.video_states import read_video_states
from samurai_batch.storage import Identity
from samurai_batch.tasks import Video


class OneFile:
    """A store that holds one video and nothing else."""

    def read_bytes(self, uri: str) -> bytes:
        raise FileNotFoundError(uri)

    def write_bytes(self, uri: str, data: bytes) -> None:
        raise AssertionError("nothing is written")

    def create_bytes(self, uri: str, data: bytes) -> bool:
        raise AssertionError("nothing is written")

    def list_names(self, uri: str) -> list[str]:
        return []

    def delete(self, uri: str) -> None:
        raise AssertionError("nothing is removed")

    def identity(self, uri: str) -> Identity:
        return Identity(100, "etag")


def test_a_video_whose_url_is_signed_again_stays_the_same_video() -> None:
    settings = DriverSettings(
        output="out", chunk_frames=10, max_tracks_per_shard=1, keep_partial=False, limits=RetryLimits()
    )
    states = [
        read_video_states(
            [Video("clip", f"https://x.org/clip.mp4?X-Amz-Signature={query}")], OneFile(), settings, lambda: None
        )["clip"]
        for query in ("a", "b")
    ]
    assert states[0].identity == states[1].identity
    assert states[0].ledger == states[1].ledger
    assert states[0].video != states[1].video, "the newest URL is the one to open"
