"""Tiny untrained models for text prompts, written to disk so that nothing is downloaded."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers as _transformers

transformers: Any = _transformers  # its own constructors are only half typed

LETTERS = "abcdefghijklmnopqrstuvwxyz "


def _clip_parts(folder: Path) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """A tokenizer of single letters, and the configurations of the text and image encoders."""
    names = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({name: index for index, name in enumerate(names)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    common = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"bos_token_id": len(names) - 2, "eos_token_id": len(names) - 1}
    text = {**common, **ends, "vocab_size": len(names), "max_position_embeddings": 32}
    return tokenizer, text, {**common, "image_size": 32, "patch_size": 8}


def save_clip(folder: Path) -> str:
    """A CLIP that compares crops with texts."""
    tokenizer, text, vision = _clip_parts(folder)
    torch.manual_seed(0)
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
    transformers.CLIPModel(config).save_pretrained(folder)
    pictures = transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    transformers.CLIPProcessor(pictures, tokenizer).save_pretrained(folder)
    return str(folder)


def save_owlv2(folder: Path) -> str:
    """An OWLv2 detector."""
    tokenizer, text, vision = _clip_parts(folder)
    torch.manual_seed(0)
    config = transformers.Owlv2Config(text_config=text, vision_config=vision, projection_dim=16)
    transformers.Owlv2ForObjectDetection(config).save_pretrained(folder)
    pictures = transformers.Owlv2ImageProcessorPil(size={"height": 32, "width": 32})
    transformers.Owlv2Processor(pictures, tokenizer).save_pretrained(folder)
    return str(folder)


def save_grounding_dino(folder: Path) -> str:
    """A Grounding DINO detector."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", *LETTERS.strip(), *(f"##{c}" for c in LETTERS.strip())]
    (folder / "vocab.txt").write_text("\n".join(names))
    torch.manual_seed(0)
    backbone = transformers.SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=2, out_indices=[2, 3, 4]
    )
    config = transformers.GroundingDinoConfig(
        backbone_config=backbone,
        text_config={
            "model_type": "bert",
            "vocab_size": len(names),
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
        },
        num_queries=9,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        d_model=32,
        num_feature_levels=4,
    )
    transformers.GroundingDinoForObjectDetection(config).save_pretrained(folder)
    tokenizer = transformers.BertTokenizer(str(folder / "vocab.txt"))
    pictures = transformers.GroundingDinoImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96})
    transformers.GroundingDinoProcessor(pictures, tokenizer).save_pretrained(folder)
    return str(folder)
