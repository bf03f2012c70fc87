"""Tracking on the fake GPU: no mixed devices, one wait a step, no upload that the host waits for, the CPU's masks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
import torch

from samurai_batch.masks import encode_mask
from samurai_batch.pipeline import ChunkResult, propagate_chunk
from samurai_batch.prompts import BoxPrompt, MaskPrompt, PointsPrompt, Prompt
from samurai_batch.tasks import Track
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.tracker import Tracker
from samurai_batch.tracking.trackers import Mode
from samurai_batch.tracking.video_masks import MaskEncoder, to_video_masks
from tests.deterministic import deterministic_frames, small_model
from tests.gpu.checks import MAIN, assert_clean, assert_waits_once_a_step, gpu_tracker, run_steps
from tests.gpu.fake_gpu import FakeGpu
from tests.small_video import VIDEO, FakeSource, legs_of
from tests.tracking.scripts import SIZE, VARIANTS, Script, assert_close, box, clicks, features, mask, play

NUM_FRAMES = 6
PROMPTS = {
    "one click": clicks((25, 28, 1)),
    "two clicks": clicks((25, 28, 1), (10, 50, 0)),
    "box": box(12, 16, 35, 38),
    "mask": mask(slice(16, 32), slice(12, 32)),
    "empty mask": mask(slice(0, 0), slice(0, 0)),
}
ONE = (Script({0: PROMPTS["box"]}),)
EIGHT = (
    *(Script({0: prompt}) for prompt in PROMPTS.values()),
    Script({0: PROMPTS["box"], 2: PROMPTS["one click"]}),
    Script({1: PROMPTS["mask"], 4: PROMPTS["two clicks"]}),
    Script({3: PROMPTS["box"]}),
)


@pytest.fixture
def gpu(one_thread: None) -> Iterator[FakeGpu]:
    with FakeGpu() as fake:
        yield fake


def settings(mode: str = "samurai", pool_memories: bool = False) -> TrackerSettings:
    return replace(VARIANTS[mode], pool_memories=pool_memories)


@pytest.mark.parametrize("mode", get_args(Mode))
@pytest.mark.parametrize("scripts", [ONE, EIGHT], ids=["1 track", "8 tracks, every prompt"])
def test_a_step_waits_once_and_finds_what_the_cpu_finds(gpu: FakeGpu, mode: str, scripts: tuple[Script, ...]) -> None:
    steps = run_steps(gpu, gpu_tracker(settings(mode)), scripts, NUM_FRAMES)
    for step in steps:
        assert_waits_once_a_step(step.waits, 1)
    on_cpu = Tracker(small_model(), settings(mode))
    expected = play(on_cpu, scripts, features(on_cpu.model)[:NUM_FRAMES])
    for number, script in enumerate(scripts):
        for index in range(script.start_frame, NUM_FRAMES):
            place = sum(other.covers(index) for other in scripts[:number])
            found = steps[index].results[place]
            assert found.low_res_logits.is_cuda
            object.__setattr__(found, "low_res_logits", found.low_res_logits.cpu())
            assert_close(found, expected[number][index], tolerance=1e-6)


def test_a_step_whose_rescue_tests_nothing_waits_once(gpu: FakeGpu) -> None:
    calm = TrackerSettings(stable_frames_threshold=3, rescue="sentry", sentry_reverse_min_history=99)
    for step in run_steps(gpu, gpu_tracker(calm), EIGHT, NUM_FRAMES):
        assert_waits_once_a_step(step.waits, 1)


def test_a_rescue_finds_what_it_finds_on_the_cpu(gpu: FakeGpu) -> None:
    legs = legs_of(tracks(2))
    ours = propagate_chunk(gpu_tracker(VARIANTS["sentry"]), source(), legs, range(8), use_threads=False)
    on_cpu = propagate_chunk(Tracker(small_model(), VARIANTS["sentry"]), source(), legs, range(8), use_threads=False)
    assert (ours.stats.rescue_tests, ours.stats.rescues) == (on_cpu.stats.rescue_tests, on_cpu.stats.rescues)
    assert ours.stats.rescues > 0
    for name, table in on_cpu.tables.items():
        assert ours.tables[name]["segmentation"].equals(table["segmentation"])


def test_a_step_with_pooled_memories_waits_once(gpu: FakeGpu) -> None:
    for step in run_steps(gpu, gpu_tracker(settings(pool_memories=True)), EIGHT, NUM_FRAMES):
        assert_waits_once_a_step(step.waits, 1)


def source(num_frames: int = 8) -> FakeSource:
    """Frames of the network's own size: the CPU and a GPU resize others a little differently."""
    return FakeSource(deterministic_frames(num_frames, SIZE), [])


def rectangle() -> MaskPrompt:
    pixels = np.zeros((SIZE, SIZE), bool)
    pixels[10:30, 20:50] = True
    rle = encode_mask(pixels)
    assert rle is not None
    return MaskPrompt(0, rle)


def tracks(count: int) -> list[Track]:
    kinds: dict[str, tuple[Prompt, ...]] = {
        "box": (BoxPrompt(0, (15.0, 12.0, 45.0, 30.0)),),
        "click": (PointsPrompt(0, ((30.0, 20.0),), (1,)),),
        "box and click": (BoxPrompt(0, (15.0, 12.0, 45.0, 30.0)), PointsPrompt(0, ((30.0, 20.0),), (1,))),
        "mask": (rectangle(),),
        "late": (BoxPrompt(2, (15.0, 12.0, 45.0, 30.0)),),
        "twice": (BoxPrompt(0, (15.0, 12.0, 45.0, 30.0)), PointsPrompt(5, ((30.0, 20.0),), (1,))),
        "and back": (PointsPrompt(1, ((40.0, 20.0),), (1,)),),
        "mask again": (rectangle(), replace(rectangle(), frame_index=4)),
    }
    return [Track(video=VIDEO, object_id=name, prompts=prompts) for name, prompts in list(kinds.items())[:count]]


def run_chunks(
    tracker: Tracker,
    gpu: FakeGpu | None,
    count: int,
    use_threads: bool,
    *,
    chunk_frames: int = 4,
    frames_per_batch: int = 2,
    min_graphs: int = 0,
) -> list[ChunkResult]:
    """Two chunks, the second from the saved states of the first; checked one by one.

    On a GPU each of them launches at least ``min_graphs`` CUDA graphs.
    """
    results: list[ChunkResult] = []
    states: Mapping[str, bytes] = {}
    for frames in (range(chunk_frames), range(chunk_frames, 2 * chunk_frames)):
        if gpu is not None:
            gpu.reset()
        result = propagate_chunk(
            tracker,
            source(2 * chunk_frames),
            legs_of(tracks(count)),
            frames,
            states,
            frames_per_batch=frames_per_batch,
            use_threads=use_threads,
        )
        if gpu is not None:
            assert gpu.launches["graph"] >= min_graphs
            if tracker.rules.rescue is None:  # which reads more than a step does
                assert_no_needless_wait(gpu, len(frames))
        states = result.states
        results.append(result)
    return results


def assert_no_needless_wait(gpu: FakeGpu, num_frames: int) -> None:
    """Of a chunk: its steps wait once each; states are saved, and seconds are read, when all steps are done."""
    assert not gpu.mixed
    in_loop = [upload for upload in gpu.uploads if "track_state" not in upload.place]
    assert in_loop
    assert not [upload for upload in in_loop if upload.host_waits]
    waits = [wait for wait in gpu.waits if wait.thread == MAIN]
    saving = [wait for wait in waits if "track_state" in wait.place or "stopwatch" in wait.place]
    rows = [wait for wait in waits if "video_masks" in wait.place and "proposals" not in wait.place]  # without threads
    assert_waits_once_a_step([wait for wait in waits if wait not in saving + rows], num_frames)


@pytest.mark.parametrize("use_threads", [True, False])
@pytest.mark.parametrize("count", [1, 8])
def test_a_chunk_and_one_resumed_from_saved_states_give_the_masks_of_the_cpu(
    gpu: FakeGpu, count: int, use_threads: bool
) -> None:
    found = run_chunks(gpu_tracker(settings()), gpu, count, use_threads)
    expected = run_chunks(Tracker(small_model(), settings()), None, count, use_threads)
    assert_equal_chunks(found, expected)


def assert_equal_chunks(found: Sequence[ChunkResult], expected: Sequence[ChunkResult]) -> None:
    for ours, of_cpu in zip(found, expected, strict=True):
        assert ours.tables.keys() == of_cpu.tables.keys()
        for name, table in ours.tables.items():
            assert_equal_masks(table, of_cpu.tables[name])


def assert_equal_masks(found: pa.Table, expected: pa.Table) -> None:
    scores = ["mask_score", "object_score", "motion_score"]
    assert found.drop_columns(scores).equals(expected.drop_columns(scores))
    for name in scores:
        ours, others = (np.array(table[name].to_pylist(), np.float64) for table in (found, expected))
        np.testing.assert_allclose(ours, others, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("count", [1, 8])
def test_rows_wait_for_what_their_own_step_enqueued(gpu: FakeGpu, count: int) -> None:
    """An event a frame, and a copy of the logits of a mask that the device is unsure of, neither behind later work."""
    propagate_chunk(gpu_tracker(settings()), source(), legs_of(tracks(count)), range(4))
    rows = [wait for wait in gpu.waits if wait.thread != MAIN]
    assert [wait.kind for wait in rows].count("event") == 4
    assert {wait.kind for wait in rows} <= {"event", "copy to host"}
    assert not [wait for wait in rows if wait.num_later]


def test_masks_take_the_same_launches_for_any_number_of_tracks(gpu: FakeGpu) -> None:
    launches = []
    for count in (1, 8):
        logits = gpu.on_device(torch.randn(count, 64, 64))
        encoder = MaskEncoder(8)
        encoder.start(logits, 720, 1280)
        assert_clean(gpu)
        gpu.reset()
        encoder.start(logits, 720, 1280)
        assert (gpu.mixed, gpu.waits, gpu.uploads) == ([], [], [])
        launches.append(gpu.num_launches)
    assert launches[0] == launches[1] < 100


def test_run_lengths_are_bit_for_bit_those_of_pixels_made_by_the_cpu(gpu: FakeGpu) -> None:
    logits = torch.randn(3, 64, 64) + 4 * torch.randn(3, 8, 8).repeat_interleave(8, 1).repeat_interleave(8, 2)
    on_gpu = MaskEncoder(8).start(gpu.on_device(logits), 360, 640).rles()
    assert on_gpu == [encode_mask(mask) for mask in to_video_masks(logits, 360, 640, 8)]
    assert gpu.waits[0].kind == "event"


def test_nothing_of_a_step_is_left_on_the_host(gpu: FakeGpu) -> None:
    tracker = gpu_tracker(settings())
    run_steps(gpu, tracker, ONE, 2)
    assert_clean(gpu)
    assert all(parameter.is_cuda for parameter in (*tracker.model.parameters(), *tracker.model.buffers()))


@pytest.mark.parametrize("frames_per_batch", [1, 2])
def test_a_gpu_is_given_the_next_frame_before_the_host_waits(gpu: FakeGpu, frames_per_batch: int) -> None:
    """In the last step of a batch, encoding the next one is enqueued after the numbers that the host waits for."""
    propagate_chunk(gpu_tracker(settings()), source(), legs_of(tracks(1)), range(4), frames_per_batch=frames_per_batch)
    steps = [wait.enqueued - wait.until for wait in gpu.waits if "proposals" in wait.place]
    is_last_of_batch = [number % frames_per_batch == frames_per_batch - 1 for number in range(4)]
    assert [later > 50 for later in steps] == [*is_last_of_batch[:3], False]  # there is no frame after the last
