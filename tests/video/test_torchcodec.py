"""torchcodec behind the protocol of decoders, by a stand-in for it: no GPU decodes here."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from samurai_batch.errors import ConfigError, VideoError
from samurai_batch.job import make_job
from samurai_batch.planning.fingerprints import VideoIdentity, fingerprint
from samurai_batch.runtime.recipe import job_recipe
from samurai_batch.tasks import Video
from samurai_batch.video import open_video
from tests.gpu.fake_gpu import FakeGpu
from tests.runtime.fakes import box_track
from tests.video.movies import reference, write_movie


class StandIn:
    """What `torchcodec.decoders.VideoDecoder` does, as far as it is used, with PyAV's frames plus one."""

    cpu_fallback: Any = False
    num_more = 0
    failure: Exception | None = None

    def __init__(self, path: Path, *, dimension_order: str, device: str, seek_mode: str) -> None:
        assert (dimension_order, device, seek_mode) == ("NHWC", "cuda", "exact")
        self._frames = np.stack([pixels for _, pixels in reference(path)]) | 1

    def __len__(self) -> int:
        return len(self._frames) + self.num_more

    def get_frames_in_range(self, start: int, stop: int, step: int) -> SimpleNamespace:
        if self.failure is not None and start:
            raise self.failure
        return SimpleNamespace(data=torch.from_numpy(self._frames[start:stop:step]))


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def with_attributes(**attributes: Any) -> None:
        package, decoders = ModuleType("torchcodec"), ModuleType("torchcodec.decoders")
        decoders.VideoDecoder = type("VideoDecoder", (StandIn,), attributes)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "torchcodec", package)
        monkeypatch.setitem(sys.modules, "torchcodec.decoders", decoders)
        monkeypatch.delitem(sys.modules, "samurai_batch.video.torchcodec_decoder", raising=False)
        monkeypatch.setattr("samurai_batch.video.decoders.version", lambda name: "0.17.0")

    return with_attributes


def test_frames_are_those_that_torchcodec_gives(install: Callable[..., None], tmp_path: Path) -> None:
    install()
    path = write_movie(tmp_path / "a.mp4", num_frames=20)
    with FakeGpu(), open_video(path, decoder="torchcodec") as source:
        frames = list(source.frames(range(3, 20)))
    assert [frame.index for frame in frames] == list(range(3, 20))
    for frame, (time_s, pixels) in zip(frames, reference(path)[3:], strict=True):
        np.testing.assert_array_equal(frame.pixels, pixels | 1)
        assert frame.timestamp_s == time_s


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"cpu_fallback": "Falling back due to: Video not supported"}, "the GPU cannot decode this video .*not supp"),
        ({"num_more": 1}, r"torchcodec would number this video's frames otherwise \(11, and 10 by PyAV\)"),
        ({"failure": RuntimeError("bad\npacket")}, "torchcodec failed at frames 8 to 9: bad packet; try decoder auto"),
    ],
)
def test_what_torchcodec_cannot_decode_is_a_video_error_with_its_remedy(
    install: Callable[..., None], tmp_path: Path, attributes: dict[str, Any], message: str
) -> None:
    install(**attributes)
    path = write_movie(tmp_path / "a.mp4", num_frames=10)
    with FakeGpu(), pytest.raises(VideoError, match=message), open_video(path, decoder="torchcodec") as source:
        list(source.frames(range(10)))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 190.00 MiB"),
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: out of memory"),
    ],
)
def test_a_gpu_that_fails_says_nothing_of_the_video(
    install: Callable[..., None], tmp_path: Path, error: Exception
) -> None:
    """A video's error would end its tracks for good; these are tried again, or in smaller groups."""
    install(failure=error)
    path = write_movie(tmp_path / "a.mp4", num_frames=10)
    with FakeGpu(), pytest.raises(type(error)) as raised, open_video(path, decoder="torchcodec") as source:
        list(source.frames(range(10)))
    assert raised.value is error


def test_where_it_is_not_installed_that_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torchcodec", None)
    with pytest.raises(ConfigError, match=r"torchcodec cannot be loaded here \(.*pip install 'samurai-batch\[torchc"):
        open_video(write_movie(tmp_path / "a.mp4", num_frames=3), decoder="torchcodec")


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_it_needs_a_job_on_gpus(device: str) -> None:
    with pytest.raises(ConfigError, match="decoder is given, but torchcodec decodes on a GPU; set device: cuda"):
        make_job({"prompts": "p", "output": "o", "decoder": "torchcodec", "device": device})


def test_its_masks_are_other_masks() -> None:
    job = make_job({"prompts": "p", "output": "o", "device": "cuda"})
    recipes = [job_recipe(job.model_copy(update={"decoder": name}), "digest") for name in ("auto", "pyav", "decord")]
    assert recipes[0] == recipes[1] == recipes[2]
    other = job_recipe(job.model_copy(update={"decoder": "torchcodec"}), "digest")
    track, identity = box_track(Video("a", "a.mp4"), "x"), VideoIdentity("a.mp4", 1, "1")
    assert fingerprint(track, identity, other) != fingerprint(track, identity, recipes[0])
