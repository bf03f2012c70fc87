"""Another implementation of both networks, with the same drawn weights through a mapping of names of our own."""

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

from samurai_batch.benchmark.baselines import SHARED_NAMES, Renames, baseline_config, baseline_names, renamed
from samurai_batch.images.networks import ImageNetwork, Sam2Network, SamNetwork
from samurai_batch.images.predictor import EncodedImage, ImagePredictor
from tests.deterministic import SMALL, normalised, seeded_model
from tests.images.small import SMALL_SAM, picture, seeded_sam

SIZE = 64
SAM_NAMES: Renames = [
    *SHARED_NAMES,
    (r"^image_encoder\.blocks", "vision_encoder.layers"),
    (r"^image_encoder\.neck\.0\.", "vision_encoder.neck.conv1."),
    (r"^image_encoder\.neck\.1\.", "vision_encoder.neck.layer_norm1."),
    (r"^image_encoder\.neck\.2\.", "vision_encoder.neck.conv2."),
    (r"^image_encoder\.neck\.3\.", "vision_encoder.neck.layer_norm2."),
    (r"^image_encoder\.", "vision_encoder."),
    (r"point_embeddings\.", "point_embed."),
]


def baseline_sam(tensors: dict[str, Tensor]) -> Any:
    vision = {
        "hidden_size": SMALL_SAM.embed_dim,
        "output_channels": SMALL_SAM.hidden_dim,
        "num_hidden_layers": SMALL_SAM.depth,
        "num_attention_heads": SMALL_SAM.num_heads,
        "image_size": SIZE,
        "window_size": SMALL_SAM.window_size,
        "global_attn_indexes": list(SMALL_SAM.global_att_blocks),
        "mlp_dim": SMALL_SAM.embed_dim * 4,
        "num_pos_feats": SMALL_SAM.hidden_dim // 2,
    }
    prompt = {"hidden_size": SMALL_SAM.hidden_dim, "image_size": SIZE, "image_embedding_size": SIZE // 16}
    decoder = {
        "hidden_size": SMALL_SAM.hidden_dim,
        "mlp_dim": SMALL_SAM.decoder_mlp_dim,
        "num_attention_heads": SMALL_SAM.decoder_heads,
        "iou_head_hidden_dim": SMALL_SAM.iou_head_dim,
        "layer_norm_eps": 1e-5,  # as in SAM's code, which leaves it at torch's default
    }
    config = transformers.SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder)
    model = transformers.SamModel(config)
    model.load_state_dict(renamed(tensors, SAM_NAMES), strict=True)
    model.train(False)
    return model


def baseline_sam2(tensors: dict[str, Tensor]) -> Any:
    parts = ("vision_config", "prompt_encoder_config", "mask_decoder_config")
    config = baseline_config(SMALL, SIZE)
    model = transformers.Sam2Model(transformers.Sam2Config(**{part: config[part] for part in parts}))
    named = baseline_names(tensors)  # of which images need no more than these
    model.load_state_dict({name: named[name] for name in model.state_dict()}, strict=True)
    model.train(False)
    return model


def both(family: str) -> tuple[ImageNetwork, Any]:
    """Our network and that of transformers, in float32 with the same weights."""
    if family == "sam":
        sam = seeded_sam(SMALL_SAM).float()
        return SamNetwork(sam), baseline_sam(sam.state_dict())
    sam2 = seeded_model(SMALL, SIZE).float()
    return Sam2Network(sam2), baseline_sam2(sam2.state_dict())


PROMPTS: dict[str, dict[str, Any]] = {
    "point": {"points_xy": [(20, 10)], "labels": [1]},
    "points": {"points_xy": [(20, 10), (50, 40)], "labels": [1, 0]},
    "box": {"box_xyxy": (5, 6, 50, 40)},
    "box and point": {"box_xyxy": (5, 6, 50, 40), "points_xy": [(20, 10)], "labels": [0]},
    "point and mask": {
        "points_xy": [(20, 10)],
        "labels": [1],
        "mask_logits": np.linspace(-5, 5, 256).reshape(16, 16),
    },
}


@pytest.mark.parametrize("family", ["sam", "sam2"])
@pytest.mark.parametrize("multimask", [True, False])
@torch.inference_mode()
def test_transformers_computes_the_same_from_the_same_weights(family: str, multimask: bool) -> None:
    ours, reference = both(family)
    pixels = normalised(picture(SIZE, SIZE), torch.float32)
    (features,) = ours.encode(pixels)
    predictor = ImagePredictor(ours)
    predictor.set_image(EncodedImage(features, SIZE, SIZE))
    for name, prompt in PROMPTS.items():
        inputs: dict[str, Any] = {}
        if "points_xy" in prompt:
            inputs["input_points"] = torch.tensor([[prompt["points_xy"]]], dtype=torch.float32)
            inputs["input_labels"] = torch.tensor([[prompt["labels"]]])
        if "box_xyxy" in prompt:
            inputs["input_boxes"] = torch.tensor([[prompt["box_xyxy"]]], dtype=torch.float32)
        if "mask_logits" in prompt:
            inputs["input_masks"] = torch.from_numpy(prompt["mask_logits"]).float()[None, None]
        expected = reference(pixel_values=pixels, **inputs, multimask_output=multimask)
        found = predictor.predict(**prompt, multimask=multimask)
        np.testing.assert_allclose(found.ious, expected.iou_scores[0, 0].numpy(), rtol=0, atol=1e-4, err_msg=name)
        np.testing.assert_allclose(
            found.low_res_logits, expected.pred_masks[0, 0].numpy(), rtol=0, atol=1e-4, err_msg=name
        )
