"""Another implementation of both networks, with the same drawn weights through a mapping of names of our own."""

import re
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

from samurai_batch.images.networks import ImageNetwork, Sam2Network, SamNetwork
from samurai_batch.images.predictor import EncodedImage, ImagePredictor
from tests.deterministic import SMALL, normalised, seeded_model
from tests.images.small import SMALL_SAM, picture, seeded_sam

SIZE = 64
Renames = list[tuple[str, str]]

MLP: Renames = [
    (r"((?:mlps\.\d|head|mlp)\.)layers\.0\.", r"\1proj_in."),
    (r"((?:mlps\.\d|head)\.)layers\.1\.", r"\1layers.0."),
    (r"((?:mlps\.\d|head)\.)layers\.2\.", r"\1proj_out."),
    (r"(\.mlp\.)layers\.1\.", r"\1proj_out."),
]
SHARED: Renames = [
    *MLP,
    (r"norm_final_attn", "layer_norm_final_attn"),
    (r"((?:layers|blocks)\.\d+)\.norm(\d)\.", r"\1.layer_norm\2."),
    (r"patch_embed\.proj\.", "patch_embed.projection."),
    (r"pe_layer\.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding"),
    (r"mask_downscaling\.0\.", "mask_embed.conv1."),
    (r"mask_downscaling\.1\.", "mask_embed.layer_norm1."),
    (r"mask_downscaling\.3\.", "mask_embed.conv2."),
    (r"mask_downscaling\.4\.", "mask_embed.layer_norm2."),
    (r"mask_downscaling\.6\.", "mask_embed.conv3."),
    (r"output_upscaling\.0\.", "upscale_conv1."),
    (r"output_upscaling\.1\.", "upscale_layer_norm."),
    (r"output_upscaling\.3\.", "upscale_conv2."),
]
SAM_NAMES: Renames = [
    *SHARED,
    (r"^image_encoder\.blocks", "vision_encoder.layers"),
    (r"^image_encoder\.neck\.0\.", "vision_encoder.neck.conv1."),
    (r"^image_encoder\.neck\.1\.", "vision_encoder.neck.layer_norm1."),
    (r"^image_encoder\.neck\.2\.", "vision_encoder.neck.conv2."),
    (r"^image_encoder\.neck\.3\.", "vision_encoder.neck.layer_norm2."),
    (r"^image_encoder\.", "vision_encoder."),
    (r"point_embeddings\.", "point_embed."),
]
SAM2_NAMES: Renames = [
    *SHARED,
    (r"^image_encoder\.trunk", "vision_encoder.backbone"),
    (r"^image_encoder\.neck\.convs\.(\d)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (r"^sam_", ""),
    (r"out_proj", "o_proj"),
    (r"^no_mem_embed", "no_memory_embedding"),
]
NOT_OF_SINGLE_IMAGES = re.compile(
    r"memory_|mask_downsample|obj_ptr|maskmem|no_mem_pos_enc|no_obj|prompt_encoder\.point_embeddings"
)


def renamed(tensors: dict[str, Tensor], renames: Renames) -> dict[str, Tensor]:
    result = {}
    for name, value in tensors.items():
        for pattern, replacement in renames:
            name = re.sub(pattern, replacement, name)
        result[name] = value
    matrix = result["prompt_encoder.shared_embedding.positional_embedding"]
    return result | {"shared_image_embedding.positional_embedding": matrix}


def their_sam(tensors: dict[str, Tensor]) -> Any:
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


def their_sam2(tensors: dict[str, Tensor]) -> Any:
    stages = range(4)
    dims = list(SMALL.trunk_dims)
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": SMALL.trunk_dim,
        "num_attention_heads": SMALL.trunk_heads,
        "image_size": [SIZE, SIZE],
        "blocks_per_stage": list(SMALL.stages),
        "embed_dim_per_stage": dims,
        "num_attention_heads_per_stage": [SMALL.trunk_heads * 2**stage for stage in stages],
        "window_size_per_stage": list(SMALL.window_spec),
        "global_attention_blocks": list(SMALL.global_att_blocks),
    }
    vision = {
        "backbone_config": backbone,
        "backbone_channel_list": dims[::-1],
        "backbone_feature_sizes": [[SIZE // stride] * 2 for stride in (4, 8, 16)],
        "fpn_hidden_size": SMALL.hidden_dim,
    }
    decoder = {
        "hidden_size": SMALL.hidden_dim,
        "mlp_dim": SMALL.decoder_mlp_dim,
        "num_attention_heads": SMALL.decoder_heads,
        "iou_head_hidden_dim": SMALL.iou_head_dim,
    }
    config = transformers.Sam2Config(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": SMALL.hidden_dim, "image_size": SIZE},
        mask_decoder_config=decoder,
    )
    model = transformers.Sam2Model(config)
    of_images = {name: value for name, value in tensors.items() if not NOT_OF_SINGLE_IMAGES.search(name)}
    mapped = renamed(of_images, SAM2_NAMES)
    points = [tensors[f"sam_prompt_encoder.point_embeddings.{index}.weight"] for index in range(4)]
    model.load_state_dict(mapped | {"prompt_encoder.point_embed.weight": torch.cat(points)}, strict=True)
    model.train(False)
    return model


def both(family: str) -> tuple[ImageNetwork, Any]:
    """Ours and theirs, float32, the same weights."""
    if family == "sam":
        sam = seeded_sam(SMALL_SAM).float()
        return SamNetwork(sam), their_sam(sam.state_dict())
    sam2 = seeded_model(SMALL, SIZE).float()
    return Sam2Network(sam2), their_sam2(sam2.state_dict())


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
    ours, theirs = both(family)
    pixels = normalised(picture(SIZE, SIZE), torch.float32)
    (features,) = ours.encode(pixels)
    predictor = ImagePredictor(ours)
    predictor.set_image(EncodedImage(features, SIZE, SIZE))
    for name, prompt in PROMPTS.items():
        asked: dict[str, Any] = {}
        if "points_xy" in prompt:
            asked["input_points"] = torch.tensor([[prompt["points_xy"]]], dtype=torch.float32)
            asked["input_labels"] = torch.tensor([[prompt["labels"]]])
        if "box_xyxy" in prompt:
            asked["input_boxes"] = torch.tensor([[prompt["box_xyxy"]]], dtype=torch.float32)
        if "mask_logits" in prompt:
            asked["input_masks"] = torch.from_numpy(prompt["mask_logits"]).float()[None, None]
        expected = theirs(pixel_values=pixels, **asked, multimask_output=multimask)
        found = predictor.predict(**prompt, multimask=multimask)
        np.testing.assert_allclose(found.ious, expected.iou_scores[0, 0].numpy(), rtol=0, atol=1e-4, err_msg=name)
        np.testing.assert_allclose(
            found.low_res_logits, expected.pred_masks[0, 0].numpy(), rtol=0, atol=1e-4, err_msg=name
        )
