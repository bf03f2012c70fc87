"""Pictures on the fake GPU, by SAM 2 and SAM: every kind of prompt, and everything mode, as on the CPU."""

from collections.abc import Iterator

import numpy as np
import pytest

from samurai_batch.images.everything import segment_everything
from samurai_batch.images.networks import ImageNetwork, Sam2Network, SamNetwork
from samurai_batch.images.predictor import ImagePredictor
from samurai_batch.images.settings import EverythingSettings
from tests.deterministic import small_model
from tests.gpu.checks import assert_clean, on_gpu
from tests.gpu.fake_gpu import FakeGpu
from tests.images.small import SMALL_SAM, picture, seeded_sam

FAMILIES = ["sam2", "sam"]
PROMPTS: dict[str, dict[str, object]] = {
    "click": {"points_xy": [(20, 30)], "labels": [1]},
    "clicks": {"points_xy": [(20, 30), (50, 10)], "labels": [1, 0]},
    "box": {"box_xyxy": (10, 12, 40, 44), "multimask": False},
    "box and click": {"box_xyxy": (10, 12, 40, 44), "points_xy": [(20, 30)], "labels": [1]},
    "mask": {"mask_logits": np.linspace(-8, 8, 256).reshape(16, 16), "multimask": False},
    "mask and click": {
        "mask_logits": np.linspace(-8, 8, 256).reshape(16, 16), "points_xy": [(20, 30)], "labels": [1]
    },
}  # fmt: skip
EVERYTHING = EverythingSettings(
    points_per_side=4, points_per_batch=8, pred_iou_thresh=0.0, stability_score_thresh=0.0, crop_n_layers=1
)


@pytest.fixture
def gpu(one_thread: None) -> Iterator[FakeGpu]:
    with FakeGpu() as fake:
        yield fake


def network(family: str, *, is_on_gpu: bool) -> ImageNetwork:
    if family == "sam":
        sam = seeded_sam(SMALL_SAM)
        return SamNetwork(on_gpu(sam) if is_on_gpu else sam)
    return Sam2Network(on_gpu(small_model()) if is_on_gpu else small_model())


@pytest.mark.parametrize("family", FAMILIES)
def test_every_prompt_is_answered_as_on_the_cpu(gpu: FakeGpu, family: str) -> None:
    pixels = picture(64, 64)
    ours, of_cpu = (ImagePredictor(network(family, is_on_gpu=is_on_gpu)) for is_on_gpu in (True, False))
    ours.set_image(pixels)
    of_cpu.set_image(pixels)
    for name, prompt in PROMPTS.items():
        gpu.reset()
        found, expected = ours.predict(**prompt), of_cpu.predict(**prompt)  # type: ignore[arg-type]
        assert_clean(gpu)
        assert len(gpu.waits) <= 3, name  # masks, scores, logits
        np.testing.assert_allclose(found.ious, expected.ious, rtol=1e-9)
        np.testing.assert_array_equal(found.masks, expected.masks)


@pytest.mark.parametrize("family", FAMILIES)
def test_everything_mode_finds_what_the_cpu_finds(gpu: FakeGpu, family: str) -> None:
    pixels = picture(64, 64)
    predictor = ImagePredictor(network(family, is_on_gpu=True))
    gpu.reset()
    found = segment_everything(predictor, pixels, EVERYTHING)
    assert_clean(gpu)
    num_batches = (1 + 4) * 16 // EVERYTHING.points_per_batch  # of the image and its crops
    waits = [wait for wait in gpu.waits if wait.place.startswith("images/everything.py")]
    assert {wait.kind for wait in waits} == {"copy to host"}
    assert len(waits) <= 3 * num_batches
    expected = segment_everything(ImagePredictor(network(family, is_on_gpu=False)), pixels, EVERYTHING)
    assert found
    assert [(one.mask, one.point_xy) for one in found] == [(one.mask, one.point_xy) for one in expected]
