"""Segmentation of single images by SAM or SAM 2: prompts, everything mode, and text prompts."""
