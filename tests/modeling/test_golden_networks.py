"""The authors' own numbers of EfficientTAM and EdgeTAM: what their public code computes, reproduced in float64."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from samurai_batch.modeling.configs import model_config
from samurai_batch.modeling.sam2 import SAM2
from samurai_batch.tracking.prompts import FramePrompt
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.tracker import Tracker, TrackInput
from tests.deterministic import deterministic_frames, normalised, seeded_model

GOLDEN = Path(__file__).parent.parent / "golden" / "networks"
FILES = sorted(path.stem for path in GOLDEN.glob("*.npz") if not path.stem.endswith("_parts"))
TOLERANCE = 1e-6
NUM_FRAMES = {256: 9, 512: 4}  # by image size; 9: until all spatial memories are attended to
Arrays = dict[str, NDArray[Any]]


def read(name: str) -> tuple[dict[str, Any], Arrays]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        return json.loads(str(file["meta"])), {key: file[key] for key in file.files if key != "meta"}


def model_of(meta: dict[str, Any]) -> SAM2:
    config = model_config(Path(meta["cfg"]).stem)
    return seeded_model(config, meta["size"], meta["seed"], meta["iou_off"], meta["obj_off"], **meta["offsets"])


def box_prompt(size: int) -> FramePrompt:
    return FramePrompt(torch.tensor([[0.2, 0.25], [0.55, 0.6]]) * size, torch.tensor([2, 3], dtype=torch.int32))


def track_frames(meta: dict[str, Any], num_frames: int) -> Arrays:
    settings = TrackerSettings(
        mode="sam2",
        dynamic_multimask_via_stability=bool(meta["post"]),
        binarize_mask_from_pts_for_mem_enc=bool(meta["post"]),
    )
    tracker, state, size = Tracker(model_of(meta), settings), TrackState(meta["frames"]), meta["size"]
    rows: list[dict[str, Any]] = []
    for index, frame in enumerate(deterministic_frames(num_frames, size, meta["seed"])):
        selection = tracker.select(state)
        prompt = None if index else box_prompt(size)
        (result,) = tracker.step(tracker.encode(normalised(frame)), [TrackInput(state, prompt)])
        newest = (state.bank.recent_pointers or state.bank.conditioning_pointers)[-1]
        mask = F.interpolate(result.low_res_logits[None, None], size=(size, size), mode="bilinear") > 0
        rows.append(
            {
                "ious": (*result.candidate_ious, *[np.nan] * (3 - len(result.candidate_ious))),
                "object_score": result.object_score,
                "low_res_mask": result.low_res_logits.numpy(),
                "obj_ptr": newest.vector.numpy(),
                "memories": {(m.age, rank) for m, rank in zip(selection.memories, selection.ranks, strict=True)},
                "pointers": {pointer.age for pointer in selection.pointers},
                "mask_area": int(mask.sum()),
            }
        )
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


@pytest.mark.parametrize("name", FILES)
def test_every_golden_file_of_a_network_is_reproduced(name: str) -> None:
    meta, golden = read(name)
    compare(meta, golden, track_frames(meta, min(meta["frames"], NUM_FRAMES.get(meta["size"], 4))))


def compare(meta: dict[str, Any], golden: Arrays, seen: Arrays) -> None:
    """The same decisions, and numbers within 1e-6, for as many frames as were tracked."""
    count = len(seen["ious"])
    for t in range(1, count):
        attended = zip(golden["mem_frames"][t], golden["mem_rows"][t], strict=True)
        assert seen["memories"][t] == {(frame, row) for frame, row in attended if frame >= 0}, t
        assert seen["pointers"][t] == {frame for frame in golden["pointer_frames"][t] if frame >= 0}, t
    np.testing.assert_array_equal(seen["mask_area"], golden["mask_area"][:count])
    for key in ("object_score", "obj_ptr"):
        np.testing.assert_allclose(seen[key], golden[key][:count], rtol=0, atol=TOLERANCE, err_msg=key)
    np.testing.assert_allclose(seen["ious"][1:], golden["ious"][1:count], rtol=0, atol=TOLERANCE)
    kept = golden.get("low_res_frames", np.arange(meta["frames"]))
    kept = kept[kept < count]
    expected = golden["low_res_mask"][: len(kept)]
    np.testing.assert_allclose(seen["low_res_mask"][kept], expected, rtol=TOLERANCE, atol=TOLERANCE)


def assert_part(name: str, found: torch.Tensor, golden: Arrays) -> None:
    np.testing.assert_allclose(found.numpy(), golden[name], rtol=0, atol=1e-9, err_msg=name)


@torch.inference_mode()
def test_the_parts_of_edgetam_are_the_authors() -> None:
    """In the order of computation, so that the first failure shows where a difference begins."""
    meta, golden = read("edgetam_parts")
    model = model_of(meta)
    pixels = normalised(deterministic_frames(1, meta["size"], meta["seed"])[0])
    maps = model.image_encoder.trunk(pixels)
    for index, (part, every) in enumerate(zip(maps, (8, 4, 4, 2), strict=True)):
        assert_part(f"trunk_{index}", part[0, :, ::every, ::every], golden)
    features = model.encode_image(pixels)
    for index, (level, every) in enumerate(zip((*features.high_res, features.image), (8, 4, 4), strict=True)):
        assert_part(f"level_{index}", level[0, :, ::every, ::every], golden)


@torch.inference_mode()
def test_the_memories_of_edgetam_are_the_authors() -> None:
    meta, golden = read("edgetam_parts")
    model = model_of(meta)
    encoded, attended = [], []
    model.memory_encoder.register_forward_hook(lambda _, __, output: encoded.append(output))
    model.memory_attention.register_forward_hook(
        lambda _, args, kwargs, output: attended.append((kwargs["x"], output)), with_kwargs=True
    )
    settings = TrackerSettings(
        mode="sam2", dynamic_multimask_via_stability=False, binarize_mask_from_pts_for_mem_enc=False
    )
    tracker, state = Tracker(model, settings), TrackState(meta["frames"])
    for index, frame in enumerate(deterministic_frames(2, meta["size"], meta["seed"])):
        prompt = None if index else box_prompt(meta["size"])
        tracker.step(tracker.encode(normalised(frame)), [TrackInput(state, prompt)])
    assert_part("memory_encoded", encoded[0][0, :, ::2, ::2], golden)
    assert model.spatial_perceiver is not None
    assert_part("memory_latents", model.spatial_perceiver(encoded[0])[0].T[::4], golden)
    assert_part("attention_in", attended[0][0][0, ::16], golden)
    assert_part("attention_out", attended[0][1][0, ::16], golden)


@torch.inference_mode()
def test_the_perceiver_of_edgetam_is_the_authors_at_another_size() -> None:
    """Windows of 2 x 2 cells."""
    meta, golden = read("edgetam_parts")
    memory = torch.from_numpy(golden["perceiver_input"]).double()[None]
    model = model_of(meta | {"size": memory.shape[-1] * 16})
    assert model.spatial_perceiver is not None
    assert_part("perceiver_latents", model.spatial_perceiver(memory)[0].T[::2], golden)
    assert_part("perceiver_position", model.memory_pe.T[::4], golden)
