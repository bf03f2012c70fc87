"""The baseline: `Sam2VideoModel` of transformers, with the same weights under its own parameter names."""

import importlib.util
import re
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from samurai_batch.benchmark.clip import frames
from samurai_batch.modeling.checkpoints import Weights
from samurai_batch.modeling.configs import NUM_MASKMEM, Sam2Config, VideoModelConfig
from samurai_batch.modeling.pixels import to_model_input

BASELINE_MEM_DIM = 64

Renames = Sequence[tuple[str, str]]
"""Regular expressions on our parameter names and their replacements for transformers', applied in order."""

SHARED_NAMES: Renames = [
    (r"((?:mlps\.\d|head|mlp|obj_ptr_proj)\.)layers\.0\.", r"\1proj_in."),
    (r"((?:mlps\.\d|head|obj_ptr_proj)\.)layers\.1\.", r"\1layers.0."),
    (r"((?:mlps\.\d|head|obj_ptr_proj)\.)layers\.2\.", r"\1proj_out."),
    (r"(\.mlp\.)layers\.1\.", r"\1proj_out."),
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
_VIDEO_NAMES: Renames = [
    *SHARED_NAMES,
    (r"^image_encoder\.trunk", "vision_encoder.backbone"),
    (r"^image_encoder\.neck\.convs\.(\d)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (r"^sam_", ""),
    (r"^memory_attention\.norm\.", "memory_attention.layer_norm."),
    (r"^memory_encoder\.out_proj\.", "memory_encoder.projection."),
    (r"^memory_encoder\.pix_feat_proj\.", "memory_encoder.feature_projection."),
    *(  # convolution, norm, activation; convolution, norm, activation; …
        (rf"mask_downsampler\.encoder\.{3 * layer + part}\.", f"mask_downsampler.layers.{layer}.{name}.")
        for layer in range(4)
        for part, name in enumerate(("conv", "layer_norm"))
    ),
    (r"mask_downsampler\.encoder\.12\.", "mask_downsampler.final_conv."),
    (r"\.fuser\.", ".memory_fuser."),
    (r"(memory_fuser\.layers\.\d+)\.norm\.", r"\1.layer_norm."),
    (r"\.dwconv\.", ".depthwise_conv."),
    (r"\.pwconv(\d)\.", r".pointwise_conv\1."),
    (r"(memory_fuser\.layers\.\d+)\.gamma", r"\1.scale"),
    (r"out_proj", "o_proj"),
    (r"^obj_ptr_proj", "object_pointer_proj"),
    (r"^obj_ptr_tpos_proj", "temporal_positional_encoding_projection_layer"),
    (r"^maskmem_tpos_enc", "memory_temporal_positional_encoding"),
    (r"^no_mem_embed", "no_memory_embedding"),
    (r"^no_mem_pos_enc", "no_memory_positional_encoding"),
    (r"^no_obj_ptr", "no_object_pointer"),
    (r"^no_obj_embed_spatial", "occlusion_spatial_embedding_parameter"),
]


@dataclass(frozen=True, kw_only=True)
class BaselineCost:
    """Median seconds of one frame, encoding included, with ``tracks`` objects whose memory banks are full."""

    version: str
    tracks: int
    frame_s: float


def why_no_baseline(config: VideoModelConfig) -> str | None:
    """Why this model cannot be measured with transformers; None if it can."""
    if importlib.util.find_spec("transformers") is None:
        return "transformers is not installed (pip install 'samurai-batch[text]')"
    if not isinstance(config, Sam2Config):
        return f"the comparison is made with transformers' SAM 2, and {config.name} is another network"
    if config.mem_dim != BASELINE_MEM_DIM:
        return f"transformers supports memories of {BASELINE_MEM_DIM} channels only, {config.name} has {config.mem_dim}"
    return None


def measure_baselines(
    weights: Weights, image_size: int, tracks: Sequence[int], repeats: int
) -> tuple[BaselineCost, ...]:
    """Track through a few frames in float32, with this process's threads; `why_no_baseline` must be None."""
    import transformers

    model = baseline_model(weights, image_size)
    pixels = torch.cat(
        [to_model_input(frame, image_size, torch.float32, "cpu") for frame in frames(NUM_MASKMEM + 1 + repeats)]
    )
    return tuple(
        BaselineCost(version=transformers.__version__, tracks=count, frame_s=_frame_s(model, pixels, count, repeats))
        for count in tracks
    )


@torch.inference_mode()
def _frame_s(model: Any, pixels: Tensor, num_objects: int, repeats: int) -> float:
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

    size = pixels.shape[-1]
    session = Sam2VideoInferenceSession(video=pixels, video_height=size, video_width=size, dtype=torch.float32)
    for number in range(num_objects):
        index = session.obj_id_to_idx(number)
        box = torch.tensor([[[[0.1 * size, 0.3 * size], [0.3 * size, 0.5 * size]]]])
        labels = torch.tensor([[[2, 3]]], dtype=torch.int32)  # the corners of a box
        session.add_point_inputs(index, 0, {"point_coords": box, "point_labels": labels})
    session.obj_with_new_inputs = list(range(num_objects))
    seconds = []
    for frame_index in range(len(pixels)):
        start_s = time.perf_counter()
        model(inference_session=session, frame_idx=frame_index)
        seconds.append(time.perf_counter() - start_s)
    return statistics.median(seconds[-repeats:])


def baseline_model(weights: Weights, image_size: int) -> Any:
    """Transformers' network with our weights, loaded strictly."""
    import transformers

    assert isinstance(weights.config, Sam2Config)
    model = transformers.Sam2VideoModel(transformers.Sam2VideoConfig(**baseline_config(weights.config, image_size)))
    model.load_state_dict(baseline_names(weights.tensors), strict=True)
    return model.train(False)


def baseline_config(config: Sam2Config, image_size: int) -> dict[str, Any]:
    """The arguments of `Sam2VideoConfig` for a row of our table of models."""
    dims = list(config.trunk_dims)
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": config.trunk_dim,
        "num_attention_heads": config.trunk_heads,
        "image_size": [image_size, image_size],
        "blocks_per_stage": list(config.stages),
        "embed_dim_per_stage": dims,
        "num_attention_heads_per_stage": [config.trunk_heads * 2**stage for stage in range(4)],
        "window_size_per_stage": list(config.window_spec),
        "global_attention_blocks": list(config.global_att_blocks),
        "window_positional_embedding_background_size": [config.position_grid] * 2,
    }
    return {
        "vision_config": {
            "model_type": "sam2_vision_model",
            "backbone_config": backbone,
            "backbone_channel_list": dims[::-1],
            "backbone_feature_sizes": [[image_size // stride] * 2 for stride in (4, 8, 16)],
            "fpn_hidden_size": config.hidden_dim,
        },
        "prompt_encoder_config": {"hidden_size": config.hidden_dim, "image_size": image_size},
        "mask_decoder_config": {
            "hidden_size": config.hidden_dim,
            "mlp_dim": config.decoder_mlp_dim,
            "num_attention_heads": config.decoder_heads,
            "iou_head_hidden_dim": config.iou_head_dim,
        },
        "image_size": image_size,
        "memory_attention_hidden_size": config.hidden_dim,
        "memory_attention_num_layers": config.memory_layers,
        "memory_attention_feed_forward_hidden_size": config.memory_mlp_dim,
        "memory_attention_rope_feat_sizes": [image_size // 16] * 2,
        "memory_encoder_hidden_size": config.hidden_dim,
        "memory_encoder_output_channels": config.mem_dim,
        "mask_downsampler_embed_dim": config.hidden_dim,
        "memory_fuser_embed_dim": config.hidden_dim,
        "memory_fuser_intermediate_dim": 4 * config.hidden_dim,
        "enable_occlusion_spatial_embedding": config.is_21,
        "enable_temporal_pos_encoding_for_object_pointers": config.is_21,
    }


def baseline_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters of a released checkpoint by transformers' names."""
    named = renamed(tensors, _VIDEO_NAMES)
    points = [named.pop(f"prompt_encoder.point_embeddings.{index}.weight") for index in range(4)]
    return named | {"prompt_encoder.point_embed.weight": torch.cat(points)}


def renamed(tensors: Mapping[str, Tensor], renames: Renames) -> dict[str, Tensor]:
    """Parameters renamed; transformers' networks hold the matrix of random frequencies twice."""
    named = {}
    for name, value in tensors.items():
        for pattern, replacement in renames:
            name = re.sub(pattern, replacement, name)
        named[name] = value
    matrix = named["prompt_encoder.shared_embedding.positional_embedding"]
    return named | {"shared_image_embedding.positional_embedding": matrix}
