"""The benchmark measures what it says: no test here asks how fast anything is."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

from samurai_batch.benchmark import mask_costs
from samurai_batch.benchmark.baselines import BaselineCost, baseline_model, measure_baselines, why_no_baseline
from samurai_batch.benchmark.clip import clip_tracks, frames, write_clip
from samurai_batch.benchmark.costs import FULL_MEMORY, PlainComparison, can_compare_with_plain, measure_costs
from samurai_batch.benchmark.end_to_end import EndToEnd, PatientPool, bare_loop, has_room_for
from samurai_batch.benchmark.mask_costs import measure_mask_costs
from samurai_batch.benchmark.memory import Peak, peak_bytes
from samurai_batch.benchmark.presentation import as_json, as_markdown, as_svg
from samurai_batch.benchmark.run import BenchmarkSettings, ModelResult, Results, run_benchmark
from samurai_batch.benchmark.sharing import Sharing
from samurai_batch.errors import ConfigError
from samurai_batch.job import make_job
from samurai_batch.masks import read_masks
from samurai_batch.modeling.checkpoints import load_weights
from samurai_batch.modeling.configs import MODELS, NUM_MASKMEM
from samurai_batch.modeling.kernels import choose, cpu_kernels, using
from samurai_batch.modeling.operations import Operations
from samurai_batch.modeling.pixels import to_model_input
from samurai_batch.modeling.sam2 import FrameFeatures
from samurai_batch.planning.orders import Order
from samurai_batch.planning.rates import Rates
from samurai_batch.prompts import BoxPrompt
from samurai_batch.runtime.pool import PoolEvent, PoolFailed, PoolWaits, ReplicaReady
from samurai_batch.tracking.prompts import to_frame_prompt
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.tracker import Tracker, TrackInput
from samurai_batch.video import open_video
from tests.deterministic import SMALL, seeded_model

WITH_BASELINE_MEMORY = replace(SMALL, mem_dim=64, hidden_dim=128)


def test_costs_are_those_of_full_memories() -> None:
    tracker = Tracker(
        seeded_model(SMALL, 64).float().requires_grad_(False),
        TrackerSettings(**FULL_MEMORY.overrides()),
    )
    seen: list[tuple[int, int]] = []
    attend = tracker.operations.attend_to_memory

    def watched(image: torch.Tensor, memories: torch.Tensor, *rest: Any) -> torch.Tensor:
        seen.append((memories.shape[0], memories.shape[1]))
        return attend(image, memories, *rest)

    tracker.operations = replace(tracker.operations, attend_to_memory=watched)
    costs = measure_costs(tracker, 2, (1, 3), repeats=2, matmul_gflops=10.0)
    assert seen[-6:] == [(1, NUM_MASKMEM)] * 3 + [(3, NUM_MASKMEM)] * 3
    assert [step.tracks for step in costs.steps] == [1, 3]
    one, three = costs.steps
    assert three.propagate_gflop == pytest.approx(3 * one.propagate_gflop, rel=0.05)  # some is shared
    assert three.per_track_s == three.propagate_s / 3
    assert one.frames_per_s == 1 / (costs.encode_s + one.propagate_s)
    assert one.matmul_share == one.propagate_gflop / one.propagate_s / 10.0
    assert costs.encode_gflop > 0


def test_what_encodes_is_timed_as_it_is_and_counted_as_it_is_written() -> None:
    """A compiled encoder cannot be looked into while it works."""
    model = seeded_model(SMALL, 64).float().requires_grad_(False)
    calls: list[int] = []

    def compiled(pixels: torch.Tensor) -> FrameFeatures:
        assert _get_current_dispatch_mode() is None
        calls.append(len(pixels))
        return model.encode_image(pixels)

    operations = replace(Operations.of(model), encode_image=compiled)
    costs = measure_costs(Tracker(model, TrackerSettings(), operations), 1, (1,), repeats=1, matmul_gflops=10.0)
    assert calls
    assert costs.encode_gflop > 0


def test_a_benchmark_of_cuda_graphs_needs_a_gpu() -> None:
    with pytest.raises(ConfigError, match="need a GPU, and this machine has none; leave them out"):
        run_benchmark(BenchmarkSettings(cuda_graphs=True), lambda text: None)


def test_plain_kernels_are_measured_for_comparison_where_they_can_be() -> None:
    tracker = Tracker(seeded_model(SMALL, 64).float().requires_grad_(False), TrackerSettings())
    seen: list[bool] = []
    encode = tracker.model.image_encoder.forward

    def watched(image: torch.Tensor) -> object:
        seen.append(cpu_kernels().is_plain)
        return encode(image)

    tracker.model.image_encoder.forward = watched  # type: ignore[assignment,method-assign]
    comparison = measure_costs(tracker, 1, (2,), repeats=3, matmul_gflops=10.0).plain
    assert comparison is not None
    assert comparison.tracks == 2
    assert comparison.ratio == comparison.plain_s / comparison.ours_s
    assert [is_plain for is_plain in seen if is_plain] == [True] * 4  # the first is not counted
    with using(choose(vectors="AVX2", has_onednn=False, has_bfloat16=False)):
        assert can_compare_with_plain(torch.device("cpu"), torch.float32)
        assert not can_compare_with_plain(torch.device("cpu"), torch.bfloat16)
    assert not can_compare_with_plain(torch.device("cuda"), torch.float32)


@pytest.mark.parametrize(
    ("cores", "gpus", "cpus_each", "gpus_each", "has_two"),
    [
        (2, 0, 1.0, 0.0, True),
        (1, 0, 1.0, 0.0, False),
        (8, 1, 1.0, 1.0, False),  # a second replica would wait for the first one's GPU for ever
        (8, 2, 1.0, 1.0, True),
        (8, 1, 1.0, 0.5, True),
    ],
)
def test_two_replicas_are_measured_where_there_is_room_for_both(
    cores: int, gpus: int, cpus_each: float, gpus_each: float, has_two: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("samurai_batch.benchmark.end_to_end.num_cores", lambda: cores)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    replica = {"num_cpus_per_replica": cpus_each, "num_gpus_per_replica": gpus_each}
    job = make_job({"prompts": "none", "output": "none", "model": "nano", **replica})
    assert has_room_for(2, job) == has_two


def test_a_replica_of_a_gpu_machine_takes_a_gpu_unless_the_job_says_another_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("samurai_batch.benchmark.end_to_end.num_cores", lambda: 8)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    job = {"prompts": "none", "output": "none", "model": "nano", "num_cpus_per_replica": 1.0}
    assert has_room_for(2, make_job(job | {"device": "cpu"}))
    assert not has_room_for(2, make_job(job | {"device": "cuda"}))
    assert has_room_for(2, make_job(job | {"device": "cuda", "num_gpus_per_replica": 0.5}))


@pytest.mark.parametrize("frames_per_batch", [1, 4])
def test_the_bare_loop_writes_the_rows_of_a_job(tmp_path: Path, frames_per_batch: int) -> None:
    from samurai_batch.pipeline import track_video

    tracker = Tracker(seeded_model(SMALL, 64).float(), TrackerSettings())
    clip = write_clip(tmp_path / "clip.mp4", 6)
    tracks = clip_tracks(clip, 1)
    assert bare_loop(tracker, tracks, str(tmp_path / "bare.parquet"), frames_per_batch) > 0
    with open_video(clip) as source:
        table = track_video(tracker, source, tracks, frames_per_batch=frames_per_batch)["o0"]
    rows = read_masks(str(tmp_path / "bare.parquet"))
    assert rows.frame_index.tolist() == list(range(6))
    assert rows.area.tolist() == table["area"].to_pylist()


class FakePool:
    def __init__(self, *events: list[PoolEvent]) -> None:
        self.events = list(events)
        self.is_closed = False

    def submit(self, replica_id: str, order: Order) -> None:
        raise AssertionError

    def wait(self, timeout_s: float) -> list[PoolEvent]:
        return self.events.pop(0)

    def replace(self, replica_id: str) -> None:
        raise AssertionError

    def close(self) -> None:
        self.is_closed = True


def test_a_measured_job_begins_when_all_replicas_are_ready() -> None:
    a, b = ReplicaReady("a"), ReplicaReady("b")
    inner = FakePool([a], [], [b], [])
    pool = PatientPool(inner, 2)
    assert [pool.wait(1.0) for _ in range(4)] == [[], [], [a, b], []]
    pool.close()
    assert pool.ready_s <= pool.closed_s
    assert inner.is_closed


def test_a_job_does_not_begin_because_a_replica_takes_long() -> None:
    a, b, waits = ReplicaReady("a"), ReplicaReady("b"), PoolWaits("1 replica to load the model")
    pool = PatientPool(FakePool([a, waits], [b]), 2)
    assert [pool.wait(1.0), pool.wait(1.0)] == [[], [a, waits, b]]


def test_a_failed_pool_is_reported_at_once() -> None:
    ready, failed = ReplicaReady("a"), PoolFailed("no such device")
    pool = PatientPool(FakePool([ready], [failed]), 3)
    assert [pool.wait(1.0), pool.wait(1.0)] == [[], [ready, failed]]


@torch.inference_mode()
def test_transformers_finds_the_same_masks_with_the_same_weights() -> None:
    """SAM 2's rules, the first frames of a clip: every decision is the same, logits within rounding."""
    size = 64
    ours = seeded_model(WITH_BASELINE_MEMORY, size).float()
    weights = replace(load_weights("nano"), config=WITH_BASELINE_MEMORY, tensors=dict(ours.state_dict()))
    theirs = baseline_model(weights, size)
    pixels = torch.cat([to_model_input(frame, size, torch.float32, "cpu") for frame in frames(4)])
    prompt = to_frame_prompt((BoxPrompt(0, (10.0, 12.0, 40.0, 50.0)),), size, size, size, None)
    tracker = Tracker(ours, TrackerSettings(mode="sam2", fill_hole_area=0))
    state = TrackState(num_frames=4)
    session = Sam2VideoInferenceSession(video=pixels, video_height=size, video_width=size, dtype=torch.float32)
    index = session.obj_id_to_idx(0)
    box = torch.tensor([[[[10.0, 12.0], [40.0, 50.0]]]])
    session.add_point_inputs(index, 0, {"point_coords": box, "point_labels": torch.tensor([[[2, 3]]])})
    session.obj_with_new_inputs = [0]
    for number in range(4):
        features = tracker.encode(pixels[number : number + 1])
        (found,) = tracker.step(features, [TrackInput(state, prompt if number == 0 else None)])
        expected = theirs(inference_session=session, frame_idx=number)
        torch.testing.assert_close(found.low_res_logits, expected.pred_masks[0, 0], rtol=1e-3, atol=2e-3)


def test_the_baseline_is_measured_for_models_that_transformers_supports() -> None:
    assert why_no_baseline(MODELS["sam2.1_hiera_tiny"]) is None
    assert "32" in (why_no_baseline(MODELS["nano"]) or "")
    tensors = dict(seeded_model(WITH_BASELINE_MEMORY, 64).float().state_dict())
    weights = replace(load_weights("nano"), config=WITH_BASELINE_MEMORY, tensors=tensors)
    one, two = measure_baselines(weights, 64, (1, 2), repeats=1)
    assert (one.tracks, two.tracks) == (1, 2)
    assert one.frame_s > 0


def results() -> Results:
    settings = BenchmarkSettings(
        weights="untrained:0", image_size=64, tracks=(1, 2), repeats=1, num_frames=0, num_memory_frames=0, masks=False
    )
    said: list[str] = []
    found = run_benchmark(settings, said.append)
    assert said == ["the machine", "nano: seconds to encode a frame and to propagate tracks through it"]
    return found


SHARED = Sharing(
    num_frames=100,
    num_replicas=2,
    chunk_frames=20,
    rates_alone=Rates(encode_s=0.02, propagate_s=0.01, open_s=0.1),
    rates_together=Rates(encode_s=0.02, propagate_s=0.0075, open_s=0.1),
    one_replica_s=10.0,
    shared_s=6.6,
    num_splits=1,
)


def test_a_shared_video_takes_one_chunk_alone_a_move_and_the_rest_in_parts() -> None:
    first_s, rest_s = 20 * (0.02 + 8 * 0.01), 80 * (0.02 + 4 * 0.0075)
    assert SHARED.predicted_s == pytest.approx(0.1 + first_s + 0.1 + rest_s)
    assert SHARED.error == pytest.approx(6.6 / 6.2 - 1)
    slow_to_save = replace(SHARED.rates_together, save_s=0.5)
    saving = replace(SHARED, rates_together=slow_to_save)
    assert saving.predicted_s == pytest.approx(SHARED.predicted_s + 4 * 0.5 + 4 * (4 * 0.5))


def test_results_name_the_machine_and_are_written_as_text_data_and_picture() -> None:
    found = results()
    (one,) = found.models
    baselines = (BaselineCost(version="5.0", tracks=1, frame_s=0.5),)
    peak = Peak(short_frames=8, short_bytes=10**9, long_frames=24, long_bytes=10**9 + 1)
    whole = EndToEnd(num_frames=100, bare_s=10.0, two_bare_s=5.0, one_replica_s=10.3, two_replicas_s=5.2, startup_s=3.0)
    full: ModelResult = replace(
        one, baselines=baselines, no_baseline_reason=None, peak=peak, end_to_end=whole, sharing=SHARED
    )
    text = as_markdown(replace(found, models=(full,)))
    assert found.machine.processor in text
    assert f"Kernels: {cpu_kernels()}" in text
    assert json.loads(as_json(found))["machine"]["kernels"] == str(cpu_kernels())
    plain = PlainComparison(tracks=1, ours_s=2.0, plain_s=3.0)
    beside = as_markdown(replace(found, models=(replace(full, costs=replace(full.costs, plain=plain)),)))
    assert "measured in turns, 1 track: a frame takes 2.00 s instead of 3.00 s, 1.50 × as fast" in beside
    assert "1.00 GB at most in 24 frames" in text
    assert "2.00 frames/s" in text
    assert "+3.0% time" in text
    assert "two replicas 1.98 × one, where two bare loops at once are 2.00 × one" in text
    assert "10.0 s with one replica, 6.6 s with 2; the cost model" in text
    assert "2 replicas at once, predicts 6.2 s (+6.5%)" in text
    assert "Not compared with transformers" in as_markdown(found)
    assert json.loads(as_json(found))["models"][0]["costs"]["steps"][1]["tracks"] == 2
    assert as_svg(replace(found, models=(full,))).count("<rect") == 4
    none = replace(full, end_to_end=replace(whole, two_replicas_s=None))
    assert "no room for a second replica" in as_markdown(replace(found, models=(none,)))


def test_masks_are_measured_by_pixels_and_by_run_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_costs, "SIZES", {"small": (90, 160)})
    found = tuple(measure_mask_costs(repeats=1, grid_size=32))
    assert [(cost.size, cost.tracks) for cost in found] == [("small", 1), ("small", 8)]
    assert all(min(cost.pixels_s, cost.run_lengths_s, cost.after_gpu_s) > 0 for cost in found)
    text = as_markdown(replace(results(), masks=(replace(found[1], pixels_s=0.5, num_bytes=12345),)))
    assert "| small | 8 | 500.0 ms |" in text
    assert text.endswith("| 12,345 |")


def test_the_most_memory_held_does_not_shrink() -> None:
    before = peak_bytes()
    block = torch.ones(64, 2**20)
    after = peak_bytes()
    assert after >= before >= 10**7
    assert math.isfinite(float(block.sum()))


@pytest.mark.slow
@pytest.mark.ray
def test_a_whole_benchmark_runs() -> None:
    settings = BenchmarkSettings(
        weights="untrained:0",
        image_size=64,
        tracks=(1,),
        repeats=1,
        num_frames=12,
        num_memory_frames=6,
        num_shared_frames=120,
    )
    (one,) = run_benchmark(settings, lambda text: None).models
    assert one.peak is not None
    assert one.peak.long_bytes > 10**8
    assert one.end_to_end is not None
    assert one.end_to_end.bare_s > 0
    assert one.end_to_end.startup_s > 0
    assert one.end_to_end.two_bare_s is None or one.end_to_end.two_bare_s > 0
    assert one.sharing is not None
    assert one.sharing.rates_together.propagate_s > 0
