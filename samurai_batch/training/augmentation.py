"""Data augmentation of generated clips: flips and colours, and what real cameras and codecs do to frames.

Masks move with their pixels.
"""

import io
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from samurai_batch.synthetic.clip import Clip
from samurai_batch.synthetic.textures import Bytes


def flip_and_recolour(rng: np.random.Generator, clip: Clip, strong_share: float = 1.0) -> Clip:
    """A square clip, mirrored at random and with another gamma and brightness.

    ``strong_share`` is the probability that it may also be transposed and its colour channels permuted, which gives
    clips that no camera would record.
    """
    frames, masks = clip.frames, clip.masks
    is_strong = strong_share >= 1.0 or rng.random() < strong_share
    if is_strong and rng.random() < 0.5:
        frames, masks = frames.swapaxes(1, 2), masks.swapaxes(2, 3)
    step = int(rng.choice([-1, 1]))
    mirrored = (frames[:, ::step], masks[:, :, ::step]) if is_strong else (frames[:, :, ::step], masks[..., ::step])
    frames, masks = mirrored
    levels = (np.linspace(0, 1, 256) ** np.exp(rng.normal(0, 0.15)) * rng.uniform(0.8, 1.0) * 255).astype(np.uint8)
    colours = levels[frames[..., rng.permutation(3)] if is_strong else frames]
    return replace(clip, frames=np.ascontiguousarray(colours), masks=np.ascontiguousarray(masks))


def add_camera_effects(rng: np.random.Generator, clip: Clip) -> Clip:
    """A clip with shadows, another framing, defocus, low light and compression, each at random."""
    frames = clip.frames
    if rng.random() < 0.3:
        frames = _shadowed(rng, frames, clip.masks)
    masks = clip.masks
    if rng.random() < 0.5:
        frames, masks = _reframed(rng, frames, masks)
    if rng.random() < 0.3:
        frames = _defocused(rng, frames)
    if rng.random() < 0.12:
        frames = _dimmed(rng, frames)
    if rng.random() < 0.5:
        frames = _compressed(rng, frames)
    return replace(clip, frames=frames, masks=masks)


def _shadowed(rng: np.random.Generator, frames: Bytes, masks: NDArray[np.bool_]) -> Bytes:
    """A soft shadow of all things on the background."""
    size = frames.shape[1]
    shift = tuple(int(offset) for offset in rng.normal(0, 0.05 * size, 2))
    softness, strength = rng.uniform(0.005, 0.04) * size, rng.uniform(0.2, 0.7)
    shadowed = []
    for frame, shown in zip(frames, masks, strict=True):
        whole = shown.any(0)
        shade = ndimage.gaussian_filter(ndimage.shift(whole.astype(np.float32), shift, order=0), softness)
        gain = np.where(whole, 1.0, 1.0 - strength * shade)[..., None]
        shadowed.append((frame * gain).astype(np.uint8))
    return np.stack(shadowed)


def _reframed(rng: np.random.Generator, frames: Bytes, masks: NDArray[np.bool_]) -> tuple[Bytes, NDArray[np.bool_]]:
    """A crop of any aspect ratio that may move, shake and zoom, resized to the square that the network gets."""
    num_frames, size = len(frames), frames.shape[1]
    oblong = np.exp(rng.uniform(-0.6, 0.6))
    shares = np.array([min(1.0, oblong), min(1.0, 1 / oblong)]) * rng.uniform(0.75, 1.0)
    ends = shares * rng.uniform(0.8, 1.0) if rng.random() < 0.4 else shares
    places = rng.uniform(0, 1, 2), rng.uniform(0, 1, 2)
    moves = rng.random() < 0.5
    shaking = rng.normal(0, 1, (num_frames, 2)) * rng.choice([0.0, 0.01, 0.03])
    views, kept = [], []
    for index in range(num_frames):
        time = index / max(num_frames - 1, 1)
        extent = np.maximum(((shares + (ends - shares) * time) * size).astype(int), 16)
        place = places[0] + (places[1] - places[0]) * (time if moves and num_frames > 1 else 0.0)
        top, left = (np.clip(place + shaking[index], 0, 1) * (size - extent)).astype(int)
        window = slice(top, top + extent[0]), slice(left, left + extent[1])
        view = Image.fromarray(np.ascontiguousarray(frames[index][window]))
        views.append(np.asarray(view.resize((size, size), Image.Resampling.BILINEAR)))
        rows, columns = (np.arange(size) * extent[axis] // size for axis in (0, 1))
        kept.append(masks[index][:, window[0], window[1]][:, rows[:, None], columns])
    return np.stack(views), np.stack(kept)


def _defocused(rng: np.random.Generator, frames: Bytes) -> Bytes:
    """Gaussian blur whose radius changes linearly over the clip."""
    start, end = rng.uniform(0.0, 0.008 * frames.shape[1], 2)
    radii = np.linspace(start, end, len(frames))
    return np.stack(
        [ndimage.gaussian_filter(frame, (radius, radius, 0)) for frame, radius in zip(frames, radii, strict=True)]
    )


def _dimmed(rng: np.random.Generator, frames: Bytes) -> Bytes:
    """Low light: a gain below 1 with a colour cast, and noise."""
    gain = rng.uniform(0.3, 0.8) * (1 + rng.normal(0, 0.08, 3))
    dim = frames * gain + rng.normal(0, rng.uniform(1, 9), (*frames.shape[:3], 1))
    return np.clip(dim, 0, 255).astype(np.uint8)


def _compressed(rng: np.random.Generator, frames: Bytes) -> Bytes:
    """JPEG artefacts of one quality for all frames, sometimes at a lower resolution."""
    quality, size = int(rng.integers(12, 90)), frames.shape[1]
    side = size if rng.random() < 0.7 else int(size * rng.uniform(0.5, 0.9))
    compressed = []
    for frame in frames:
        file = io.BytesIO()
        Image.fromarray(frame).resize((side, side)).save(file, "JPEG", quality=quality)
        with Image.open(file) as image:
            compressed.append(np.asarray(image.resize((size, size), Image.Resampling.BILINEAR)))
    return np.stack(compressed)
