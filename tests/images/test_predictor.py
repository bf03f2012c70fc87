"""One image API for both families: prompts in, masks at the image's own size out."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from samurai_batch.errors import ConfigError, PromptError
from samurai_batch.images.everything import segment_everything
from samurai_batch.images.networks import ImageNetwork, Sam2Network, SamNetwork
from samurai_batch.images.pictures import ObjectDetector, segment_picture
from samurai_batch.images.predictor import ImagePredictor
from samurai_batch.prompts import BoxPrompt
from samurai_batch.tasks import Track, Video
from tests.deterministic import small_model
from tests.images.small import SMALL_SAM, picture, seeded_sam, small_network

FAMILIES = ["sam", "sam2", "efficienttam", "edgetam"]


@pytest.fixture(params=FAMILIES)
def predictor(request: pytest.FixtureRequest) -> ImagePredictor:
    predictor = ImagePredictor(small_network(request.param))
    predictor.set_image(picture(48, 80))
    return predictor


PROMPTS: list[dict[str, Any]] = [
    {"points_xy": [(20, 10)], "labels": [1]},
    {"points_xy": [(20, 10), (60, 40)], "labels": [1, 0]},
    {"box_xyxy": (5, 6, 50, 40)},
    {"box_xyxy": (5, 6, 50, 40), "points_xy": [(20, 10)], "labels": [0]},
    {"mask_logits": np.linspace(-5, 5, 256).reshape(16, 16)},
    {"mask_logits": np.linspace(-5, 5, 256).reshape(16, 16), "points_xy": [(20, 10)], "labels": [1]},
]


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: "+".join(prompt))
@pytest.mark.parametrize("multimask", [True, False])
def test_every_kind_of_prompt_gives_masks_of_the_images_size(
    predictor: ImagePredictor, prompt: dict[str, Any], multimask: bool
) -> None:
    found = predictor.predict(**prompt, multimask=multimask, return_logits=True)
    count = 3 if multimask else 1
    assert found.masks.shape == (count, 48, 80)
    assert found.ious.shape == (count,)
    assert found.low_res_logits.shape == (count, 16, 16)
    assert found.logits is not None
    np.testing.assert_array_equal(found.masks, found.logits > 0)
    assert found.ious[found.best] == found.ious.max()


def test_prompts_predicted_together_give_the_masks_of_each_alone(predictor: ImagePredictor) -> None:
    points = np.array([[(20, 10)], [(60, 40)], [(79, 0)]])
    together = predictor.predict_batch(points_xy=points, labels=[[1], [1], [0]], return_logits=True)
    assert together.logits is not None
    for index, label in enumerate((1, 1, 0)):
        alone = predictor.predict(points_xy=points[index], labels=[label], return_logits=True)
        np.testing.assert_allclose(together.ious[index], alone.ious, atol=1e-9)
        assert alone.logits is not None
        np.testing.assert_allclose(together.logits[index], alone.logits, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_images_encoded_together_are_the_images_encoded_alone(family: str) -> None:
    predictor = ImagePredictor(small_network(family))
    images = [picture(48, 80), picture(70, 30, seed=1), picture(64, 64, seed=2)]
    for encoded, image in zip(predictor.encode(images), images, strict=True):
        predictor.set_image(encoded)
        together = predictor.predict(box_xyxy=(2, 3, 20, 25))
        predictor.set_image(image)
        alone = predictor.predict(box_xyxy=(2, 3, 20, 25))
        np.testing.assert_allclose(together.ious, alone.ious, atol=1e-9)
        assert together.masks.shape[1:] == image.shape[:2]


@pytest.mark.parametrize("size", [(64, 48), (13, 200), (1, 1), (3, 5000)])
def test_a_sam_sees_the_whole_picture_as_pillow_would_resize_it_and_grey_beside_it(size: tuple[int, int]) -> None:
    network = small_network("sam")
    assert isinstance(network, SamNetwork)
    pixels = picture(*size)
    prepared = network.prepare(pixels)
    assert prepared.shape == (1, 3, 64, 64)
    scale_x, scale_y = network.scale_xy(*size)
    width, height = round(size[1] * scale_x), round(size[0] * scale_y)
    assert max(height, width) == 64
    expected = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR), np.float64)
    mean, deviation = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    seen = prepared[0, :, :height, :width].permute(1, 2, 0) * deviation + mean
    assert np.abs(seen.numpy() - expected).max() < 1.01  # one step of 8 bits
    assert not prepared[0, :, height:].any()
    assert not prepared[0, :, :, width:].any()


@pytest.mark.parametrize("family", FAMILIES)
def test_masks_lie_where_the_logits_are(family: str) -> None:
    network = small_network(family)
    height, width = 40, 100
    scale_x, scale_y = network.scale_xy(height, width)
    logits = torch.full((1, 1, 16, 16), -5.0)
    logits[..., int(10 * scale_y / 4) :, int(50 * scale_x / 4) :] = 5.0
    mask = network.to_image(logits, height, width)[0, 0] > 0
    rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
    assert abs(int(rows[0]) - 10) <= 4 / scale_y
    assert abs(int(columns[0]) - 50) <= 4 / scale_x
    assert (int(rows[-1]), int(columns[-1])) == (height - 1, width - 1)


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ({}, "there is no prompt"),
        ({"points_xy": [(1, 2)]}, "points_xy and labels come together"),
        ({"points_xy": [(1, 2)], "labels": [2]}, "are not one 0 or 1"),
        ({"points_xy": [(1, 2)], "labels": [1, 1]}, "are not one 0 or 1"),
        ({"points_xy": [(1, 2, 3)], "labels": [1]}, "points_xy has shape"),
        ({"points_xy": [(1, np.nan)], "labels": [1]}, "not finite"),
        ({"points_xy": [(81, 2)], "labels": [1]}, r"point \(81.0, 2.0\) lies outside the image of 80 x 48"),
        ({"box_xyxy": (10, 5, 10, 9)}, "x1 < x2"),
        ({"box_xyxy": (90, 5, 99, 9)}, "lies outside the image"),
        ({"mask_logits": np.zeros((4, 4))}, "mask_logits has shape"),
    ],
)
def test_a_prompt_that_is_none_is_refused_in_one_sentence(
    predictor: ImagePredictor, prompt: dict[str, Any], reason: str
) -> None:
    with pytest.raises(PromptError, match=reason):
        predictor.predict(**prompt)


def test_prediction_before_an_image_is_set_is_refused() -> None:
    with pytest.raises(PromptError, match="call set_image first"):
        ImagePredictor(small_network("sam2")).predict(box_xyxy=(0, 0, 5, 5))


def test_what_is_not_an_image_is_refused() -> None:
    with pytest.raises(PromptError, match="height, width, 3"):
        ImagePredictor(small_network("sam2")).set_image(np.zeros((5, 5), np.uint8))


@pytest.mark.parametrize("box", [(-100, 5, 30, 40), (20, -70, 60, 20), (40, 20, 900, 900), (-9, -9, 99, 99)])
def test_a_box_that_overhangs_is_answered_as_the_same_box_cut_at_the_edge(
    predictor: ImagePredictor, box: tuple[int, int, int, int]
) -> None:
    cut = (max(box[0], 0), max(box[1], 0), min(box[2], 80), min(box[3], 48))
    found, there = (predictor.predict(box_xyxy=one, return_logits=True) for one in (box, cut))
    assert found.logits is not None
    assert there.logits is not None
    np.testing.assert_array_equal(found.logits, there.logits)


def test_a_box_in_units_of_0_to_1_is_refused(predictor: ImagePredictor) -> None:
    with pytest.raises(PromptError, match="give it in pixels of the image"):
        predictor.predict(box_xyxy=(0.1, 0.3, 0.5, 0.7))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("num_pixels", [1, 6])
def test_a_prompt_mask_of_few_pixels_is_used(family: str, num_pixels: int) -> None:
    mask = np.zeros((1080, 1920), bool)
    mask[700, 1201 : 1201 + num_pixels] = True
    logits = small_network(family).mask_input(mask)
    [[row, column]] = np.argwhere(logits > 0)
    scale_x, scale_y = small_network(family).scale_xy(1080, 1920)
    assert abs(row + 0.5 - 700.5 * scale_y / 4) <= 1
    assert abs(column + 0.5 - (1201 + num_pixels / 2) * scale_x / 4) <= 1
    assert not (small_network(family).mask_input(np.zeros((1080, 1920), bool)) > 0).any()


@pytest.mark.parametrize("image", ["photo.jpg", [[[0, 0, 0]]], None])
def test_what_is_no_array_is_no_image(image: object) -> None:
    with pytest.raises(PromptError, match="an image is an array"):
        ImagePredictor(small_network("sam")).set_image(image)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", ["sam", "sam2"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_every_kind_of_prompt_is_answered_in_half_precision(family: str, dtype: torch.dtype) -> None:
    for prompt in PROMPTS:
        predictor = ImagePredictor(half_network(family, dtype))
        predictor.set_image(picture(48, 80))
        found = predictor.predict(**prompt)
        assert found.masks.shape == (3, 48, 80)
        assert np.isfinite(found.ious).all()


@pytest.mark.parametrize("family", ["sam", "sam2"])
def test_a_network_that_computes_no_numbers_is_an_error_and_no_empty_mask(family: str) -> None:
    network = half_network(family, torch.float16)
    assert isinstance(network, SamNetwork | Sam2Network)
    (tokens,) = (one for name, one in network.model.named_parameters() if name.endswith("mask_tokens.weight"))
    tokens.data.fill_(float("nan"))
    predictor, pixels = ImagePredictor(network), picture(48, 80)
    predictor.set_image(pixels)
    track = Track(video=Video("a", "a.png"), object_id="x", prompts=(BoxPrompt(0, (10.0, 10.0, 40.0, 30.0)),))
    for work in (
        lambda: predictor.predict(points_xy=[(20, 20)], labels=[1]),
        lambda: segment_everything(predictor, pixels),
        lambda: segment_picture(ObjectDetector(predictor), track, pixels, predictor.image),
    ):
        with pytest.raises(ConfigError, match=r"computes NaN in float16: .*; set dtype: float32"):
            work()


def half_network(family: str, dtype: torch.dtype) -> ImageNetwork:
    if family == "sam":
        return SamNetwork(seeded_sam(SMALL_SAM).to(dtype))
    return Sam2Network(copy.deepcopy(small_model()).in_dtype(dtype))
