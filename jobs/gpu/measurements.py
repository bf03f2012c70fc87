"""What takes its time on a GPU: products, launches, attention, frames of every model, decoding, rows."""

import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from gpu.proofs import attend
from gpu.session import FramesInMemory, Session, box_prompt, legs, make_tracker
from samurai_batch.benchmark.mask_costs import FILL_HOLE_AREA, SIZES, rugged_disc
from samurai_batch.errors import ConfigError, VideoError
from samurai_batch.modeling.checkpoints import build_model, load_weights
from samurai_batch.modeling.gpu import auto_dtype
from samurai_batch.modeling.pixels import to_model_input
from samurai_batch.pipeline import propagate_chunk
from samurai_batch.rendering.output import write_mp4
from samurai_batch.synthetic import demo_clip
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.tracker import Tracker, TrackInput
from samurai_batch.tracking.video_masks import MaskEncoder
from samurai_batch.video import open_video
from samurai_batch.video.decoders import DecoderName

MODELS = (
    "sam2.1_hiera_tiny",
    "sam2.1_hiera_base_plus",
    "sam2.1_hiera_large",
    "efficienttam_s",
    "efficienttam_s_1",
    "edgetam",
    "nano",
)
FULL = 18  # frames, after which memories and object pointers are all there

HALF, FLOAT32 = torch.bfloat16, torch.float32
# Batch, heads, queries, keys, channels of queries and keys, channels of values, dtype.
ATTENTION = {
    "memories, 1 track": (1, 1, 4096, 28736, 256, 256, HALF),
    "memories, 1 track, narrow values": (1, 1, 4096, 28736, 256, 64, HALF),
    "memories, 8 tracks": (8, 1, 4096, 28736, 256, 256, HALF),
    "memories, 8 tracks, narrow values": (8, 1, 4096, 28736, 256, 64, HALF),
    "memories pooled, 8 tracks": (8, 1, 4096, 7232, 256, 64, HALF),
    "self, 8 tracks": (8, 1, 4096, 4096, 256, 256, HALF),
    "memories, 1 track, float32": (1, 1, 4096, 28736, 256, 64, FLOAT32),
    "encoder of large, global": (1, 8, 4096, 4096, 72, 72, HALF),
    "encoder of large, windows": (16, 8, 256, 256, 72, 72, HALF),
    "encoder of tiny, windows": (1024, 1, 64, 64, 96, 96, HALF),
    "decoder, image to tokens": (8, 8, 4096, 8, 16, 16, FLOAT32),
}
KERNELS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "memory-efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cuDNN": SDPBackend.CUDNN_ATTENTION,
}


def models(session: Session) -> tuple[str, ...]:
    """The models that are measured."""
    return ("nano",) if session.is_rehearsal else MODELS


def measure_rates(session: Session) -> None:
    """The rate of products, and the cost of a launch."""
    side = session.pick(8192, 256)
    a = torch.randn(side, side, device=session.device).to(auto_dtype(session.device))
    rate = 2 * side**3 / session.milliseconds(lambda: a @ a) / 1e9
    session.add(f"TFLOP/s of products of {side} x {side}", round(rate, 1))
    x = torch.zeros(1000, device=session.device)

    def launch_many() -> None:
        for _ in range(1000):
            x.add_(1)

    session.add("µs of a launch", session.milliseconds(launch_many))


def measure_precision(session: Session) -> None:
    """What TensorFloat-32 does to the logits of the mask decoder."""
    pixels = demo_clip(1).frames[0]
    cudnn: Any = torch.backends.cudnn
    logits: dict[str, Tensor] = {}
    for name, dtype, precision in (
        ("float64", torch.float64, "ieee"),
        ("float32", torch.float32, "ieee"),
        ("float32 with TF32", torch.float32, "tf32"),
    ):
        model = build_model(load_weights("nano"), dtype=dtype, device=session.device)
        cudnn.conv.fp32_precision = precision  # after `build_model`, which switches TF32 off
        tracker = Tracker(model, TrackerSettings())
        features = tracker.encode(to_model_input(pixels, model.image_size, dtype, session.device))
        (result,) = tracker.step(features, [TrackInput(TrackState(9), box_prompt(model))])
        logits[name] = result.low_res_logits.double().cpu()
    cudnn.conv.fp32_precision = "ieee"
    scale = logits["float64"].abs().mean()
    for name in ("float32", "float32 with TF32"):
        error = float((logits[name] - logits["float64"]).abs().max() / scale)
        session.add(f"{name}: largest logit error over the mean logit", f"{error:.1e}")


def measure_attention(session: Session) -> None:
    """Milliseconds of every attention of a frame, as chosen and by each kernel that takes it."""
    for name in ATTENTION:
        if session.is_late():
            return
        _measure_attention(session, name, "as chosen", None)
        for kernel, backend in KERNELS.items() if session.device == "cuda" else ():
            _measure_attention(session, name, kernel, backend)


def _measure_attention(session: Session, name: str, kernel: str, backend: SDPBackend | None) -> None:
    """One row: a kernel on one shape, or why it refuses."""
    batch, heads, num_queries, num_keys, width, value_width, dtype = ATTENTION[name]
    num_queries, num_keys = (max(8, number // session.pick(1, 64)) for number in (num_queries, num_keys))
    sizes = ((num_queries, width), (num_keys, width), (num_keys, value_width))
    q, k, v = (torch.randn(batch, heads, *size, device=session.device).to(dtype) for size in sizes)
    mask = None
    if "pooled" in name:
        mask = torch.zeros(num_keys, device=session.device, dtype=dtype).expand(1, 1, num_queries, num_keys)
    flop = 2 * batch * heads * num_queries * num_keys * (width + value_width)
    try:
        with nullcontext() if backend is None else sdpa_kernel([backend]):
            ms = session.milliseconds(partial(attend, q, k, v, mask))
        session.add(f"{name}, {kernel}", f"{ms} ms, {flop / ms / 1e9:.0f} TFLOP/s")
    except RuntimeError as error:
        session.add(f"{name}, {kernel}", "refused: " + str(error).splitlines()[0][:80])


def measure_costs(session: Session) -> None:
    """Milliseconds and kernels of the network alone: a frame encoded, steps of 1 and 8 tracks with full memories."""
    for name in models(session):
        for replays in (False, True) if session.device == "cuda" else (False,):
            if session.is_late():
                return
            _measure_costs(session, name, replays=replays)


def _measure_costs(session: Session, name: str, *, replays: bool) -> None:
    """One model, its operations as they are or replayed as CUDA graphs."""
    tracker = make_tracker(session, name, replays=replays)
    model = tracker.model
    side, dtype = model.image_size, model.no_obj_ptr.dtype
    what = f"{name}, graphs" if replays else name
    pixels = torch.zeros(1, 3, side, side, device=session.device, dtype=dtype)
    _add_cost(session, f"{what}: encode", partial(tracker.encode, pixels))
    features = tracker.encode(pixels)
    for count in (1, 8):
        states = [TrackState(100000) for _ in range(count)]
        tracker.step(features, [TrackInput(state, box_prompt(model)) for state in states])
        step = partial(tracker.step, features, [TrackInput(state) for state in states])
        for _ in range(session.pick(FULL, 2)):
            step()
        _add_cost(session, f"{what}: step {count}", step)
    if session.device == "cuda":
        session.add(f"{what}: GB reserved at most", round(torch.cuda.max_memory_reserved() / 1e9, 2))
        torch.cuda.reset_peak_memory_stats()


def measure_rows(session: Session) -> None:
    """Milliseconds and kernels of the run lengths of 8 masks on the device."""
    for name, (height, width) in list(SIZES.items())[: session.pick(3, 1)]:
        logits = torch.stack([rugged_disc(256, seed) for seed in range(session.pick(8, 1))]).to(session.device)
        _add_cost(
            session, f"{name}: {len(logits)} masks", partial(MaskEncoder(FILL_HOLE_AREA).start, logits, height, width)
        )


def _add_cost(session: Session, what: str, work: Callable[[], object]) -> None:
    session.add(what, f"{session.milliseconds(work)} ms, {len(session.kernels(work))} kernels")


def measure_video(session: Session) -> None:
    """Frames per second of chunks, rows included, whose tracks have full memories; nothing is decoded."""
    sizes = ((720, 1280), (1080, 1920)) if not session.is_rehearsal else ((320, 320),)
    for name in models(session):
        tracker = make_tracker(session, name)
        for height, width in sizes:
            source = FramesInMemory(height, width)
            for count in (1, 8):
                if session.is_late():
                    return
                first, last = session.pick(FULL, 2), session.pick(FULL + 60, 4)
                states = propagate_chunk(tracker, source, legs(count), range(first)).states
                session.synchronize()
                start_s = time.perf_counter()
                result = propagate_chunk(tracker, source, legs(count), range(first, last), states)
                rate = (last - first) / (time.perf_counter() - start_s)
                stages = ", ".join(
                    f"{stage} {seconds / (last - first) * 1e3:.1f}" for stage, seconds in result.stats.stage_s.items()
                )
                session.add(f"{name}, {width} x {height}, {count} tracks", f"{rate:.1f} frames/s; ms: {stages}")


def measure_decoding(session: Session) -> None:
    """Frames per second of files, by PyAV's threads and by torchcodec."""
    sizes = ((1080, 1920), (2160, 3840)) if not session.is_rehearsal else ((320, 320),)
    count = session.pick(120, 4)
    ways: list[tuple[DecoderName, int]] = [("pyav", 1), ("pyav", 4)]
    if session.device == "cuda":
        ways.append(("torchcodec", 1))
    for height, width in sizes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "clip.mp4"
            frames = FramesInMemory(height, width).frames(range(count))
            write_mp4(path, ((one.index / 25, one.pixels) for one in frames))
            for decoder, num_threads in ways:
                try:
                    rate = f"{_decoding_rate(path, count, decoder, num_threads):.1f} frames/s"
                except (ConfigError, VideoError) as error:
                    rate = str(error)[:120]
                session.add(f"{width} x {height}, {decoder}, {num_threads} threads", rate)


def _decoding_rate(path: Path, count: int, decoder: DecoderName, num_threads: int) -> float:
    with open_video(path, decoder=decoder, num_threads=num_threads) as source:
        start_s = time.perf_counter()
        for _ in source.frames(range(count)):
            pass
        return count / (time.perf_counter() - start_s)
