"""The authors' own numbers: what their public SAM 2 and SAMURAI code computes, reproduced in float64."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from samurai_batch.modeling.configs import MODELS
from samurai_batch.tracking.prompts import FramePrompt
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.tracker import Tracker, TrackInput
from tests.deterministic import deterministic_frames, normalised, seeded_model

GOLDEN = Path(__file__).parent.parent / "golden"
FILES = sorted(path.stem for path in GOLDEN.glob("*.npz") if not path.stem.endswith("_image"))
SIZES = {"t": "tiny", "s": "small", "b+": "base_plus", "l": "large"}


def prompt_of(kind: str, size: int) -> FramePrompt:
    if kind == "mask":
        mask = torch.zeros(size, size)
        mask[size // 4 : size // 2, size // 5 : size // 2] = 1
        return FramePrompt(mask=mask)
    points, labels = {
        "box": ([(0.2, 0.25), (0.55, 0.6)], [2, 3]),
        "point": ([(0.4, 0.45)], [1]),
        "points": ([(0.4, 0.45), (0.7, 0.3), (0.3, 0.5)], [1, 0, 1]),
    }[kind]
    return FramePrompt(torch.tensor(points, dtype=torch.float32) * size, torch.tensor(labels, dtype=torch.int32))


def tracker_of(meta: dict[str, Any]) -> Tracker:
    letter = meta["cfg"].removesuffix(".yaml").rsplit("_", 1)[1]
    family = "sam2" if meta["cfg"].startswith("configs/sam2/") else "sam2.1"
    config = MODELS[f"{family}_hiera_{SIZES[letter]}"]
    extra: dict[str, Any] = {
        name: float(value) for name, value in (x.removeprefix("++model.").split("=") for x in meta["extra"])
    }
    settings = TrackerSettings(
        mode="samurai" if meta["repo"] == "samurai" else "sam2",
        dynamic_multimask_via_stability=bool(meta["post"]),
        binarize_mask_from_pts_for_mem_enc=bool(meta["post"]),
        **extra,
    )
    model = seeded_model(config, meta["size"], meta["seed"], meta["iou_off"], meta["obj_off"])
    return Tracker(model, settings)


def track_frames(meta: dict[str, Any], num_frames: int) -> dict[str, list[Any]]:
    tracker = tracker_of(meta)
    state = TrackState(num_frames=meta["frames"])
    seen: dict[str, list[Any]] = {}
    for index, frame in enumerate(deterministic_frames(num_frames, meta["size"], meta["seed"])):
        selection = state.bank.select(state.age, tracker.settings)
        prompt = prompt_of(meta["prompt"], meta["size"]) if index == 0 else None
        (result,) = tracker.step(tracker.encode(normalised(frame)), [TrackInput(state, prompt)])
        attended = [] if prompt else [memory.age for memory in selection.memories]
        newest = (state.bank.recent_pointers or state.bank.conditioning_pointers)[-1]
        row = {
            "ious": result.candidate_ious,
            "chosen_iou": result.mask_score,
            "object_score": result.object_score,
            "motion_score": np.nan if result.motion_score is None else result.motion_score,
            "low_res_mask": result.low_res_logits.numpy(),
            "obj_ptr": newest.vector.numpy(),
            "mem_frames": attended + [-9] * (8 - len(attended)),
            "n_pointers": 0 if prompt else len(selection.pointers),
            "kf_mean": np.full(8, np.nan) if state.motion.filter is None else state.motion.filter.mean,
            "stable": state.motion.stable if meta["repo"] == "samurai" else -1,
            "mask_area": int(
                (
                    torch.nn.functional.interpolate(
                        result.low_res_logits[None, None], size=(meta["size"],) * 2, mode="bilinear"
                    )
                    > 0
                ).sum()
            ),
        }
        for name, value in row.items():
            seen.setdefault(name, []).append(value)
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_every_golden_file_is_reproduced(name: str) -> None:
    with np.load(GOLDEN / f"{name}.npz") as file:
        compare(dict(file))


def test_a_golden_file_is_reproduced_until_motion_has_its_say() -> None:
    with np.load(GOLDEN / "samurai_tiny_point.npz") as file:
        meta, begin = file["meta"], {key: file[key][:18] for key in file.files if key != "meta"}
    assert not np.isnan(begin["motion_score"]).all()
    compare({"meta": meta, **begin})


def compare(golden: dict[str, Any]) -> None:
    """Follow as many frames as the arrays hold: the same decisions, and numbers within 1e-6."""
    meta = json.loads(str(golden["meta"]))
    seen = track_frames(meta, len(golden["ious"]))
    for key in ("mem_frames", "n_pointers", "stable", "mask_area"):
        np.testing.assert_array_equal(np.array(seen[key]), golden[key], err_msg=key)
    for key in ("object_score", "motion_score", "obj_ptr", "kf_mean"):
        np.testing.assert_allclose(np.array(seen[key]), golden[key], rtol=0, atol=1e-6, err_msg=key)
    np.testing.assert_allclose(
        np.array(seen["low_res_mask"]), golden["low_res_mask"], rtol=1e-6, atol=1e-6, err_msg="low_res_mask"
    )
    for index, (row, expected) in enumerate(zip(seen["ious"], golden["ious"], strict=True)):
        recorded = ~np.isnan(expected[: len(row)])  # the authors' code keeps none for a given mask
        assert recorded.all() or index == 0
        np.testing.assert_allclose(np.array(row)[recorded], expected[: len(row)][recorded], rtol=0, atol=1e-6)
    if meta["repo"] == "samurai":  # the authors' SAM 2 does not keep it
        np.testing.assert_allclose(seen["chosen_iou"][1:], golden["chosen_iou"][1:], rtol=0, atol=1e-6)
