"""The authors' own numbers for single images: SAM ViT-B and SAM 2.1 tiny, reproduced in float64."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from samurai_batch.images.networks import ImageNetwork, Sam2Network, SamNetwork
from samurai_batch.images.predictor import EncodedImage, ImagePredictor
from samurai_batch.images.prompts import check_prompts
from samurai_batch.modeling.configs import MODELS, SAM_MODELS
from tests.deterministic import deterministic_frames, normalised, seeded_model
from tests.images.small import seeded_sam

GOLDEN = Path(__file__).parent.parent / "golden"
SIZE = 1024
BOX, POINT = (205, 256, 563, 614), (400, 460)
PROMPTS: dict[str, dict[str, Any]] = {
    "point": {"points_xy": [POINT], "labels": [1]},
    "points": {"points_xy": [POINT, (700, 300), (300, 500)], "labels": [1, 0, 1]},
    "box": {"box_xyxy": BOX},
    "box_and_point": {"box_xyxy": BOX, "points_xy": [POINT], "labels": [0]},
}


def sam() -> tuple[ImageNetwork, torch.Tensor]:
    """The golden file was made with SAM's mean and deviation as they stand in its code, rounded to float32."""
    frame = torch.from_numpy(deterministic_frames(1, SIZE)[0]).permute(2, 0, 1)[None].double()
    mean = torch.tensor([123.675, 116.28, 103.53]).double()[:, None, None]
    deviation = torch.tensor([58.395, 57.12, 57.375]).double()[:, None, None]
    return SamNetwork(seeded_sam(SAM_MODELS["sam_vit_b"])), (frame - mean) / deviation


def sam2() -> tuple[ImageNetwork, torch.Tensor]:
    model = seeded_model(MODELS["sam2.1_hiera_tiny"], SIZE, iou_offset=-1.5)
    return Sam2Network(model), normalised(deterministic_frames(1, SIZE)[0])


def assert_close(seen: NDArray[Any], golden: NDArray[Any]) -> None:
    np.testing.assert_allclose(seen, golden, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "make"), [("sam_vit_b", sam), ("sam2.1_tiny", sam2)])
def test_the_authors_numbers_for_one_image_are_reproduced(name: str, make: Any) -> None:
    network, prepared = make()
    predictor = ImagePredictor(network)
    with torch.inference_mode():
        (features,) = network.encode(prepared)
    predictor.set_image(EncodedImage(features, SIZE, SIZE))
    with np.load(GOLDEN / f"{name}_image.npz") as golden:
        assert_close(features.image[0, :, ::4, ::4].numpy(), golden["image_embedding_16"])
        for name_of_prompt, prompt in PROMPTS.items():
            for kind in ("multi", "single"):
                found = predictor.predict(**prompt, multimask=kind == "multi")
                assert_close(found.ious, golden[f"{name_of_prompt}_{kind}_iou"])
                assert_close(found.low_res_logits[:, ::4, ::4], golden[f"{name_of_prompt}_{kind}_low_res_mask"])
        # The previous mask is the first of the three that the click alone gives.
        clicked = (
            predictor.decode(check_prompts([[POINT]], [[1]], None, None, SIZE // 4), multimask=True)
            .logits[0, 0]
            .numpy()
        )
        found = predictor.predict(**PROMPTS["point"], mask_logits=clicked, multimask=False)
        assert_close(found.ious, golden["point_and_mask_single_iou"])
        assert_close(found.low_res_logits[:, ::4, ::4], golden["point_and_mask_single_low_res_mask"])
