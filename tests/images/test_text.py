"""Prompts by words, with tiny untrained models of the real classes."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from samurai_batch.errors import CheckpointError, ConfigError
from samurai_batch.images.everything import segment_everything
from samurai_batch.images.predictor import ImagePredictor
from samurai_batch.images.settings import EverythingSettings
from samurai_batch.images.text import (
    ClipRanker,
    OpenVocabularyDetector,
    make_detector,
)
from samurai_batch.images.text_models import check_detector
from tests.images.small import picture, small_network
from tests.images.tiny_models import save_clip, save_grounding_dino, save_owlv2

EASY = EverythingSettings(points_per_side=3, pred_iou_thresh=0.0, stability_score_thresh=0.0)


@pytest.fixture(scope="module", params=[save_owlv2, save_grounding_dino], ids=["owlv2", "grounding-dino"])
def detector_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    save: Callable[[Path], str] = request.param
    return save(tmp_path_factory.mktemp("detector"))


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_clip(tmp_path_factory.mktemp("clip"))


def test_a_detector_turns_words_into_boxes_within_the_image(detector_folder: str) -> None:
    found = OpenVocabularyDetector(detector_folder, threshold=0.0).detect(picture(60, 90), "A Cat")
    assert found
    for one in found:
        x1, y1, x2, y2 = one.box_xyxy
        assert 0 <= x1 < x2 <= 90
        assert 0 <= y1 < y2 <= 60
        assert 0 <= one.score <= 1
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_what_scores_below_the_threshold_is_not_found(detector_folder: str) -> None:
    all_of_them = OpenVocabularyDetector(detector_folder, threshold=0.0).detect(picture(60, 90), "cat")
    middle = sorted(one.score for one in all_of_them)[len(all_of_them) // 2]
    some = OpenVocabularyDetector(detector_folder, threshold=middle).detect(picture(60, 90), "cat")
    assert [one for one in all_of_them if one.score > middle] == some
    assert OpenVocabularyDetector(detector_folder, threshold=1.0).detect(picture(60, 90), "cat") == []


def test_clip_ranks_the_automatic_masks_of_the_image(clip_folder: str) -> None:
    predictor = ImagePredictor(small_network("sam2"))
    image = picture(60, 80)
    ranked = ClipRanker(clip_folder, predictor, settings=EASY, crops_per_batch=2).rank(image, "a disc")
    masks = segment_everything(predictor, image, EASY)
    assert sorted(mask.box_xyxy for mask, _ in ranked) == sorted(mask.box_xyxy for mask in masks)
    scores = [score for _, score in ranked]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score < 1 for score in scores)


def test_the_batch_of_crops_does_not_matter(clip_folder: str) -> None:
    predictor = ImagePredictor(small_network("sam2"))
    one_by_one, together = (
        ClipRanker(clip_folder, predictor, settings=EASY, threshold=0.0, crops_per_batch=size).detect(
            picture(60, 80), "a disc"
        )
        for size in (1, 50)
    )
    assert len(one_by_one) == len(together)
    np.testing.assert_allclose(
        sorted(one.score for one in one_by_one), sorted(one.score for one in together), atol=1e-5
    )


def test_without_the_extra_the_error_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"pip install 'samurai-batch\[text\]'"):
        OpenVocabularyDetector("somewhere")


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be used for text prompts"):
        OpenVocabularyDetector(str(tmp_path))


def test_an_empty_phrase_is_refused(detector_folder: str) -> None:
    with pytest.raises(ConfigError, match="a text prompt is empty"):
        OpenVocabularyDetector(detector_folder).detect(picture(30, 30), "  ")


def test_a_name_says_which_detector_it_is(detector_folder: str, clip_folder: str) -> None:
    predictor = ImagePredictor(small_network("sam2"))
    for name, kind in ((detector_folder, OpenVocabularyDetector), (f"clip:{clip_folder}", ClipRanker)):
        check_detector(name)
        detector = make_detector(name, predictor, 0.0, EASY)
        assert isinstance(detector, kind)
        assert detector.detect(picture(60, 80), "a disc")


def test_a_name_without_a_model_is_refused_before_any_weights_are_read(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be used for text prompts"):
        check_detector(f"clip:{tmp_path}")
