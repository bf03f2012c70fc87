"""The tracker's settings: the papers' names, the authors' values."""

from dataclasses import asdict, replace
from typing import Any

import pytest

from samurai_batch.errors import ConfigError
from samurai_batch.modeling.configs import MODELS
from samurai_batch.tracking.settings import TrackerSettings


@pytest.mark.parametrize(("size", "alpha"), [("tiny", 0.25), ("small", 0.25), ("base_plus", 0.25), ("large", 0.15)])
def test_the_weight_of_motion_is_what_the_authors_use_with_the_models_size(size: str, alpha: float) -> None:
    resolved = TrackerSettings().resolve(MODELS[f"sam2.1_hiera_{size}"])
    assert resolved.kf_score_weight == alpha
    assert resolved.min_obj_score_logits == -1.0


def test_plain_sam2_takes_an_object_as_absent_at_zero() -> None:
    assert TrackerSettings(mode="sam2").resolve(MODELS["nano"]).min_obj_score_logits == 0.0


def test_a_value_that_is_given_is_kept() -> None:
    given = TrackerSettings(kf_score_weight=0.0, min_obj_score_logits=0.0)
    assert given.resolve(MODELS["sam2.1_hiera_large"]) == given


def test_overrides_are_the_settings_that_differ_from_their_defaults() -> None:
    settings = TrackerSettings(mode="sam2", kf_score_weight=0.6, motion_state="xywh", fill_hole_area=8)
    assert settings.overrides() == {"mode": "sam2", "kf_score_weight": 0.6, "motion_state": "xywh"}
    assert TrackerSettings(**settings.overrides()) == settings


def test_whole_numbers_stay_whole_because_fingerprints_distinguish_them() -> None:
    settings = TrackerSettings(memory_bank_obj_score_threshold=0, kf_score_weight=1)
    assert [repr(settings.memory_bank_obj_score_threshold), repr(settings.kf_score_weight)] == ["0", "1"]
    assert repr(settings.overrides()) == "{'kf_score_weight': 1, 'memory_bank_obj_score_threshold': 0}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kf_weight", 0.1),
        ("kf_score_weight", "high"),
        ("stable_frames_threshold", -1),
        ("stable_frames_threshold", 2.5),
        ("stable_frames_threshold", None),
        ("motion_state", "xyz"),
        ("binarize_mask_from_pts_for_mem_enc", 1),
        ("fill_hole_area", True),
        ("max_cond_frames_in_attn", 0),
        ("stable_ious_threshold", float("nan")),
        ("min_obj_score_logits", float("inf")),
    ],
)
def test_an_override_that_cannot_be_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"tracker.{name}"):
        TrackerSettings(**{name: value})


def test_settings_are_plain_values() -> None:
    assert all(isinstance(value, str | int | float | None) for value in asdict(TrackerSettings()).values())


def test_a_word_that_is_not_known_is_refused_where_the_settings_are_made() -> None:
    with pytest.raises(ConfigError, match=r"^tracker.mode is 'samuri': it should be 'samurai', 'sam2'.* or '.*' \("):
        TrackerSettings(mode="samuri")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"^tracker.motion_state is 'abcd': it should be 'xyah' or 'xywh' \(state of"):
        TrackerSettings(motion_state="abcd")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"^tracker.fill_hole_area is -1: it should be greater than or equal to 0"):
        TrackerSettings(fill_hole_area=-1)


def test_all_that_is_wrong_with_settings_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as refusal:
        TrackerSettings(kf_weight=0.1, fill_hole_area=0, pool_memories=1)  # type: ignore[call-arg, arg-type]
    lines = str(refusal.value).split("\n")
    assert lines[0].startswith("tracker.pool_memories is 1: it should be a valid boolean (attend to 2 x 2 memory cells")
    assert lines[1] == "tracker.kf_weight is not a setting; did you mean kf_score_weight?"


def test_settings_that_are_changed_are_checked_as_well() -> None:
    with pytest.raises(ConfigError, match=r"^tracker.fill_hole_area is -1"):
        replace(TrackerSettings(), fill_hole_area=-1)
