"""A track's state as bytes: nothing is lost, nothing else is taken for one, nothing in it is ever run."""

import hashlib
import json
import math
import os
import pickle
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from samurai_batch.errors import StateError
from samurai_batch.modeling.configs import MODELS
from samurai_batch.tracking import track_state
from samurai_batch.tracking.memory_bank import MemoryBank, TrackedFrame
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.tracker import TrackInput
from samurai_batch.tracking.trackers import TRACKERS, Mode
from samurai_batch.tracking.trackers.sam2long import BestPaths
from tests.tracking.scripts import (
    EIGHT,
    NUM_FRAMES,
    VARIANTS,
    are_the_same,
    features,
    make_tracker,
    play,
    steps,
)

ROOT = Path(__file__).parents[2]
TRACKERS_PAGE = ROOT / "samurai_batch" / "tracking" / "README.md"


@pytest.fixture(scope="module")
def saved() -> bytes:
    """A state with everything in it: two conditioning frames, seven memories or fewer, a Kalman filter."""
    tracker = make_tracker()
    (*_, last) = steps(tracker, [EIGHT[5]], features(tracker.model))
    return last[3].to_bytes()


@pytest.mark.parametrize("mode", TRACKERS)
def test_going_through_bytes_after_every_frame_changes_no_bit_of_later_results(mode: str) -> None:
    tracker = make_tracker(VARIANTS[mode])
    video = features(tracker.model)
    expected = play(tracker, EIGHT, video)
    states = [script.state().to_bytes() for script in EIGHT]
    for frame_index, seen in enumerate(video):
        active = [track for track, script in enumerate(EIGHT) if script.covers(frame_index)]
        inputs = [
            TrackInput(TrackState.from_bytes(states[track]), EIGHT[track].prompts.get(frame_index)) for track in active
        ]
        for track, item, result in zip(active, inputs, tracker.step(seen, inputs), strict=True):
            assert are_the_same(result, expected[track][frame_index])
            states[track] = item.state.to_bytes()


def test_bytes_made_of_a_state_made_of_bytes_are_the_same_bytes() -> None:
    tracker = make_tracker()
    for *_, state in steps(tracker, EIGHT, features(tracker.model)):
        data = state.to_bytes()
        assert TrackState.from_bytes(data).to_bytes() == data


def go_on(data: bytes, first: int) -> str:
    """Follow the rest of the video from a saved state; a digest of every number found."""
    tracker = make_tracker()
    state, digest = TrackState.from_bytes(data), hashlib.sha256()
    for frame_index in range(first, NUM_FRAMES):
        prompt = EIGHT[5].prompts.get(frame_index)
        (result,) = tracker.step(features(tracker.model)[frame_index], [TrackInput(state, prompt)])
        digest.update(result.low_res_logits.numpy().data)
        digest.update(repr((result.mask_score, result.object_score, result.motion_score)).encode())
    return digest.hexdigest() + hashlib.sha256(state.to_bytes()).hexdigest()


def test_another_process_goes_on_bit_for_bit(tmp_path: Path) -> None:
    tracker, first = make_tracker(), 10
    (*_, last) = steps(tracker, [EIGHT[5]], features(tracker.model)[:first])
    path = tmp_path / "track.state"
    path.write_bytes(last[3].to_bytes())
    code = (
        "import sys, torch; from pathlib import Path; from tests.tracking.test_track_state import go_on;"
        f"torch.set_num_threads({torch.get_num_threads()}); print(go_on(Path(sys.argv[1]).read_bytes(), {first}))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, check=True, capture_output=True, text=True, timeout=600
    )
    assert run.stdout.strip() == go_on(path.read_bytes(), first)


def largest_state(mode: Mode, prompted: range) -> tuple[int, int, int]:
    """Spatial memories, pointers and bytes of the largest state over 200 frames at 1024 pixels, of random scores."""
    config, rules = MODELS["sam2.1_hiera_tiny"], TRACKERS[mode].combine(TrackerSettings(mode=mode))
    chance, largest = random.Random(0), (0, 0, 0)
    state = TrackState(num_frames=1000)
    if isinstance(rules.paths, BestPaths):
        state.other_banks = [MemoryBank() for _ in range(rules.paths.num_paths - 1)]
    for age in range(200):
        for bank in state.banks:
            frame = TrackedFrame(
                age=age,
                spatial=torch.zeros(config.memory_shape(config.image_size), dtype=torch.bfloat16, device="meta"),
                pointer=torch.zeros(config.hidden_dim, device="meta"),
                mask_score=chance.choice([0.0, 0.9, 0.9, 0.9]),
                object_score=5.0,
                is_visible=True,
                is_prompted=age in prompted,
                is_promoted=mode == "dam4sam" and age % 6 == 3 and age not in prompted,
            )
            rules.memory.remember(bank, frame)
        num_spatial = len(state.bank.conditioning) + sum(len(bank.recent) for bank in state.banks)
        num_pointers = len(state.bank.conditioning_pointers) + sum(len(bank.recent_pointers) for bank in state.banks)
        largest = tuple(map(max, largest, (num_spatial, num_pointers, state.num_bytes())))  # type: ignore[assignment]
    return largest


SIZES = {
    mode: (spatial, pointers, float(megabytes))
    for mode, spatial, pointers, megabytes in re.findall(
        r"^\| `(\w+)` \| ([\d +·]+) \| ([\d +·]+) \| ([\d.]+)", TRACKERS_PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
}


def total(text: str) -> int:
    """The value of a sum of products, such as 1 + 3 · 7."""
    return sum(math.prod(int(factor) for factor in term.split("·")) for term in text.split("+"))


@pytest.mark.parametrize("mode", TRACKERS)
def test_the_largest_states_are_those_that_the_page_on_trackers_says(mode: Mode) -> None:
    num_spatial, num_pointers, num_bytes = largest_state(mode, prompted=range(1))
    spatial, pointers, megabytes = SIZES[mode]
    assert (num_spatial, num_pointers) == (total(spatial), total(pointers))
    assert num_bytes / 1e6 == pytest.approx(megabytes, abs=0.05)


@pytest.mark.parametrize("mode", TRACKERS)
def test_a_state_at_1024_pixels_takes_at_most_8_megabytes_and_with_three_paths_16(mode: Mode) -> None:
    *_, num_bytes = largest_state(mode, prompted=range(0, 200, 5))
    assert num_bytes <= (16e6 if mode == "sam2long" else 8e6)


def refuse(data: bytes) -> str:
    with pytest.raises(StateError) as refusal:
        TrackState.from_bytes(data)
    return str(refusal.value)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_state_cut_short_is_refused(saved: bytes, data: st.DataObject) -> None:
    size = data.draw(st.integers(0, len(saved) - 1))
    assert "remove it and the track starts again" in refuse(saved[:size])


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_one_changed_byte_is_refused_or_means_nothing(saved: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(saved) - 1))
    value = data.draw(st.integers(1, 255))
    changed = bytearray(saved)
    changed[place] ^= value
    try:
        state = TrackState.from_bytes(bytes(changed))
    except StateError:
        return
    assert state.to_bytes() == saved  # white space between the header's values


@settings(deadline=None)
@given(junk=st.binary(max_size=300))
def test_bytes_that_are_no_state_are_refused(junk: bytes) -> None:
    refuse(junk)


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    class Code:
        def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
            return os.mkdir, (str(tmp_path / "executed"),)

    refuse(pickle.dumps(Code()))
    assert not (tmp_path / "executed").exists()


def test_a_state_of_another_version_is_refused(saved: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(track_state, "STATE_VERSION", 99)
    assert "it has version 1, this program reads 99" in refuse(saved)


def forged(header: object, tensors: dict[str, torch.Tensor]) -> bytes:
    """A file that anybody could make: its digest is right, its contents are not."""
    return sealed(json.dumps(header), tensors)


def sealed(text: str, tensors: dict[str, torch.Tensor]) -> bytes:
    return bytes(save(tensors, metadata={"track_state": f"{track_state._digest(text, tensors)} {text}"}))


HEADER: dict[str, Any] = {
    "version": 1,
    "num_frames": 5,
    "age": 1,
    "stable": 0,
    "conditioning": [],
    "recent": [],
    "recent_pointers": [],
}
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.sampled_from(sorted(HEADER)), value=values)
def test_a_forged_header_is_refused_or_harmless(name: str, value: object) -> None:
    try:
        state = TrackState.from_bytes(forged(HEADER | {name: value}, {}))
    except StateError:
        return
    data = state.to_bytes()
    assert TrackState.from_bytes(data).to_bytes() == data


@pytest.mark.parametrize("header", [[], None, 3, "text", {}])
def test_a_header_that_is_not_one_is_refused(header: object) -> None:
    refuse(forged(header, {"x": torch.ones(1)}))


@pytest.mark.parametrize(
    ("changes", "tensors"),
    [
        ({"conditioning": [0]}, {"conditioning_spatial": torch.ones(2, 1, 1, 1)}),
        ({"conditioning": [0]}, {}),
        ({}, {"kalman_mean": torch.ones(8, dtype=torch.float64)}),
        ({}, {"kalman_mean": torch.ones(7).double(), "kalman_covariance": torch.ones(8, 8).double()}),
        ({}, {"kalman_mean": torch.ones(8), "kalman_covariance": torch.ones(8, 8)}),
        ({}, {"kalman_mean": torch.ones(8).double(), "kalman_covariance": torch.ones(8, 8)}),
        ({}, {"kalman_mean": torch.full((8,), torch.nan).double(), "kalman_covariance": torch.ones(8, 8).double()}),
    ],
)
def test_tensors_that_do_not_fit_their_header_are_refused(
    changes: dict[str, object], tensors: dict[str, torch.Tensor]
) -> None:
    refuse(forged(HEADER | changes, tensors))


def test_a_deeply_nested_header_is_refused() -> None:
    refuse(sealed("[" * 100_000, {"x": torch.ones(1)}))
