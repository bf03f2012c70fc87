"""What can be right or wrong on a GPU, and what only a GPU shows: masks and bits, waits, streams, kernels, memory."""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gpu.session import FramesInMemory, Session, box_prompt, legs, make_tracker
from samurai_batch.benchmark.mask_costs import FILL_HOLE_AREA, SIZES, rugged_disc
from samurai_batch.errors import ConfigError, VideoError
from samurai_batch.job import make_job
from samurai_batch.modeling.checkpoints import build_model, load_weights
from samurai_batch.modeling.gpu import attention_backend
from samurai_batch.modeling.pixels import to_model_input
from samurai_batch.pipeline import propagate_chunk
from samurai_batch.rendering.output import write_mp4
from samurai_batch.rle import encode_mask
from samurai_batch.runtime.devices import CONTEXT_BYTES
from samurai_batch.runtime.failures import within_memory
from samurai_batch.runtime.machine_checks import check_machine as doctor_checks
from samurai_batch.synthetic import demo_clip
from samurai_batch.tracking.prompts import FramePrompt
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.tracker import Tracker, TrackInput
from samurai_batch.tracking.video_masks import MAX_AREA_ON_DEVICE, Download, MaskEncoder, to_video_masks
from samurai_batch.video import open_video
from samurai_batch.video.decoders import DecoderName

IN_NAMES = {"flash": ("flash",), "memory-efficient": ("fmha", "cutlass", "efficient")}
"""What the name of the kernel of an attention contains."""


def check_machine(session: Session) -> None:
    """What `samurai-batch doctor` says of this machine."""
    for one in doctor_checks(make_job({"prompts": "none", "output": "none", "device": session.device})):
        session.add(one.subject, one.result, is_right=one.level != "problem")


def run_nano(device: str, dtype: torch.dtype, num_frames: int, save_at: int | None = None) -> Tensor:
    """Logits (T, 1, S / 4, S / 4) of nano on the demo clip; at ``save_at`` the track state goes through bytes."""
    clip = demo_clip()
    model = build_model(load_weights("nano"), dtype=dtype, device=device)
    tracker, side = Tracker(model, TrackerSettings()), model.image_size
    rows, columns = np.nonzero(clip.masks[0, 0])
    corners = np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]])
    corners = corners * (side / np.array([clip.frames.shape[2], clip.frames.shape[1]]))
    prompt = FramePrompt(torch.from_numpy(corners).float(), torch.tensor([2, 3], dtype=torch.int32))
    state, logits = TrackState(num_frames), []
    for index in range(num_frames):
        if index == save_at:
            state = TrackState.from_bytes(state.to_bytes(), device)
        features = tracker.encode(to_model_input(clip.frames[index], side, dtype, device))
        (result,) = tracker.step(features, [TrackInput(state, prompt if index == 0 else None)])
        logits.append(result.low_res_logits.float().cpu())
    return torch.stack(logits)


def check_masks(session: Session) -> None:
    """nano's masks on this device against the CPU's, and the same bits again."""
    num_frames = session.pick(40, 3)
    reference = run_nano("cpu", torch.float32, num_frames) > 0
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        name = str(dtype).removeprefix("torch.")
        if session.is_rehearsal and dtype is not torch.float32:
            continue
        logits = run_nano(session.device, dtype, num_frames)
        masks = logits > 0
        iou = float((masks & reference).sum() / (masks | reference).sum().clamp(min=1))
        session.add(f"{name}: IoU with the CPU's float32", round(iou, 4), is_right=iou > 0.9)
        is_same = torch.equal(logits, run_nano(session.device, dtype, num_frames))
        session.add(f"{name}: the same bits again", is_same, is_right=is_same)
        is_same = torch.equal(logits, run_nano(session.device, dtype, num_frames, save_at=num_frames // 2))
        session.add(f"{name}: the same bits from a saved track state", is_same, is_right=is_same)


def check_chunks(session: Session) -> None:
    """Whole chunks of 8 tracks, from the states of the chunk before: the same rows and states every time."""
    source = FramesInMemory(*((720, 1280) if not session.is_rehearsal else (320, 320)))
    middle, end = session.pick(20, 2), session.pick(30, 4)
    for name in ("sam2.1_hiera_tiny", "edgetam") if not session.is_rehearsal else ("nano",):
        tracker = make_tracker(session, name)
        first = propagate_chunk(tracker, source, legs(8), range(middle), frames_per_batch=2)
        seconds = [
            propagate_chunk(tracker, source, legs(8), range(middle, end), first.states, frames_per_batch=2)
            for _ in range(3)
        ]
        is_same = all(one.states == seconds[0].states and one.tables == seconds[0].tables for one in seconds)
        session.add(f"{name}: a chunk of 8 tracks gives the same bits every time", is_same, is_right=is_same)


def check_rows(session: Session) -> None:
    """Run lengths that this device makes against those of all pixels made on the CPU, which they equal bit for bit."""
    for name, (height, width) in list(SIZES.items())[: session.pick(3, 1)]:
        logits = torch.stack([rugged_disc(256, seed) for seed in range(session.pick(8, 1))])
        found = MaskEncoder(FILL_HOLE_AREA).start(logits.to(session.device), height, width).rles()
        is_same = found == [encode_mask(mask) for mask in to_video_masks(logits, height, width, FILL_HOLE_AREA)]
        session.add(f"{name}: the run lengths of the CPU's pixels", is_same, is_right=is_same)


def check_golden(session: Session) -> None:
    """The numbers of the authors' code, in float64."""
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    try:
        from tests.deterministic import deterministic_frames, normalised
        from tests.tracking.test_golden import GOLDEN, prompt_of, tracker_of
    except ImportError:
        session.add("golden numbers", "not at hand: the repository's tests are missing")
        return
    names = ["samurai_tiny_point", "samurai_tiny_box", "samurai_tiny_mask", "samurai_large_box", "sam2.1_tiny_box"]
    for name in names[: session.pick(5, 1)]:
        with np.load(GOLDEN / f"{name}.npz") as file:
            expected = dict(file)
        meta = json.loads(str(expected["meta"]))
        tracker, state = tracker_of(meta), TrackState(meta["frames"])
        tracker.model.to(session.device)
        worst, num_frames = 0.0, min(len(expected["ious"]), session.pick(1000, 1))
        for index, frame in enumerate(deterministic_frames(num_frames, meta["size"], meta["seed"])):
            prompt = prompt_of(meta["prompt"], meta["size"]) if index == 0 else None
            (result,) = tracker.step(tracker.encode(normalised(frame).to(session.device)), [TrackInput(state, prompt)])
            found = result.low_res_logits.cpu().numpy()
            worst = max(worst, float(np.abs(found - expected["low_res_mask"][index]).max()))
        session.add(f"{name}: largest logit error in {num_frames} frames", f"{worst:.1e}", is_right=worst < 1e-5)


@contextmanager
def no_hidden_wait(device: str) -> Iterator[None]:
    """PyTorch raises where an operation lets the host wait for a GPU; events may be waited for."""
    if device == "cuda":
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        if device == "cuda":
            torch.cuda.set_sync_debug_mode("default")


def check_waits(session: Session) -> None:
    """A frame's upload, encoding, step and run lengths, none of which lets the host wait unseen."""
    height, width = (720, 1280) if not session.is_rehearsal else (320, 320)
    frame = next(FramesInMemory(height, width).frames(range(1)))
    for name in ("sam2.1_hiera_tiny", "edgetam") if not session.is_rehearsal else ("nano",):
        tracker, encoder, found = make_tracker(session, name), MaskEncoder(FILL_HOLE_AREA), "none"
        model, states = tracker.model, [TrackState(1000) for _ in range(8)]
        try:
            for number in range(4):
                prompt = box_prompt(model) if number == 0 else None
                with no_hidden_wait(session.device):
                    pixels = to_model_input(frame.pixels, model.image_size, model.no_obj_ptr.dtype, session.device)
                    results = tracker.step(tracker.encode(pixels), [TrackInput(state, prompt) for state in states])
                    masks = encoder.start(torch.stack([one.low_res_logits for one in results]), height, width)
                masks.rles()
        except RuntimeError as error:
            found = str(error).splitlines()[0][:100]
        session.add(f"{name}: hidden waits in a frame", found, is_right=session.on_gpu(found == "none"))


def check_streams(session: Session) -> None:
    """Copies to the host while the GPU is busy: none is overwritten, and none waits for what comes later."""
    numbers = [torch.full((50_000 + 1000 * n,), float(n), device=session.device) for n in range(100)]
    downloads = []
    for number in numbers:
        downloads.append(Download(number))
        number.fill_(-1)  # after the copy, in the order of the stream
        torch.full_like(number, -2)  # takes memory that was freed meanwhile
    is_right = all(bool((one.wait() == n).all()) for n, one in enumerate(downloads))
    session.add("100 copies to the host arrive as they were sent", is_right, is_right=is_right)
    logits = torch.stack([rugged_disc(256, seed) for seed in range(session.pick(8, 1))])
    on_host = MaskEncoder(MAX_AREA_ON_DEVICE + 1)  # leaves all masks to the host, by way of a stream of its own
    expected = on_host.start(logits, 720, 1280).rles()
    busy = torch.randn(session.pick(8192, 8), session.pick(8192, 8), device=session.device)
    masks = on_host.start(logits.to(session.device), 720, 1280)
    for _ in range(100):
        busy = busy @ busy.clamp(-1, 1)
    is_done = torch.cuda.Event() if session.device == "cuda" else None
    if is_done is not None:
        is_done.record()
    found = masks.rles()
    is_later_done = is_done is None or is_done.query()
    session.add("logits by a stream of their own", found == expected, is_right=found == expected)
    session.add("which waited for later work", is_later_done, is_right=session.on_gpu(not is_later_done))


def check_kernels(session: Session) -> None:
    """The kernels that attention takes, against what `modeling/gpu.py` says of them."""
    capability = torch.cuda.get_device_capability() if session.device == "cuda" else (9, 0)
    length = session.pick(512, 8)
    build_model(load_weights("nano"), device=session.device)  # sets PyTorch's switches
    for width, value_width, dtype, has_weights in (
        (256, 256, torch.bfloat16, False),
        (256, 256, torch.bfloat16, True),
        (256, 64, torch.float16, False),
        (72, 72, torch.bfloat16, False),
        (16, 16, torch.float32, False),
    ):
        q, k = (torch.randn(2, 1, length, width, device=session.device).to(dtype) for _ in range(2))
        v = torch.randn(2, 1, length, value_width, device=session.device).to(dtype)
        mask = (
            torch.zeros(length, device=session.device, dtype=dtype).expand(1, 1, length, length)
            if has_weights
            else None
        )
        expected = attention_backend((width, width, value_width), dtype, capability, has_weights=has_weights)
        with torch.inference_mode():
            names = session.kernels(lambda q=q, k=k, v=v, mask=mask: attend(q, k, v, mask))  # type: ignore[misc]
        is_right = any(part in name for name in names for part in IN_NAMES[expected])
        shown = max(names, key=len, default="none")[:60]
        session.add(
            f"{width} and {value_width} channels, {dtype}: {expected}", shown, is_right=session.on_gpu(is_right)
        )


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """PyTorch's attention."""
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def check_compiled(session: Session) -> None:
    """The compiled encoder against the plain one, compiled once for full batches, last ones, and any kind of pixels."""
    if session.is_rehearsal:
        session.add("torch.compile", "not rehearsed: it takes minutes on a CPU")
        return
    for name in ("sam2.1_hiera_tiny", "sam2.1_hiera_large"):
        if session.is_late():
            return
        start_s = time.perf_counter()
        tracker = make_tracker(session, name, is_compiled=True, frames_per_batch=2)
        took_s = time.perf_counter() - start_s
        side, dtype = tracker.model.image_size, tracker.model.no_obj_ptr.dtype
        pixels = torch.randn(2, 3, side, side, device="cuda").to(dtype)
        with torch.inference_mode():
            plain, copied = tracker.model.encode_image(pixels).image.float(), pixels.clone()
        with torch._dynamo.config.patch(error_on_recompile=True):
            found = [tracker.encode(batch).image.float() for batch in (pixels, pixels[:1], copied)]
        errors = [float((one - plain[: len(one)]).norm() / plain[: len(one)].norm()) for one in found]
        session.add(f"{name}: relative difference of features", f"{max(errors):.1e}", is_right=max(errors) < 0.05)
        ms = session.milliseconds(lambda tracker=tracker, pixels=pixels: tracker.encode(pixels))  # type: ignore[misc]
        session.add(f"{name}: compiled in s, 2 frames encoded in ms", f"{took_s:.0f}, {ms}")


def check_graphs(session: Session) -> None:
    """Logits of operations that are replayed as CUDA graphs against those of the operations, bit for bit.

    While memories fill, then with full ones; all tracks, then fewer, then all again.
    """
    for name in ("nano",) if session.is_rehearsal else ("nano", "sam2.1_hiera_tiny", "sam2.1_hiera_large"):
        if session.is_late():
            return
        plain, replaying = (_logits_of_random_frames(session, name, replays=replays) for replays in (False, True))
        different = sum(not torch.equal(*pair) for pair in zip(plain, replaying, strict=True))
        is_right = session.on_gpu(different == 0)  # a rehearsal has no graphs
        session.add(f"{name}: frames with other bits, of {len(plain)}", different, is_right=is_right)


def _logits_of_random_frames(session: Session, name: str, *, replays: bool) -> list[Tensor]:
    tracker = make_tracker(session, name, replays=replays)
    model, random = tracker.model, torch.Generator().manual_seed(0)
    states = [TrackState(1000) for _ in range(3)]
    logits, num_frames = [], session.pick(40, 3)
    for index in range(num_frames):
        pixels = torch.randn(1, 3, model.image_size, model.image_size, generator=random)
        features = tracker.encode(pixels.to(session.device, model.no_obj_ptr.dtype))
        shown = states[:1] if num_frames // 2 <= index < num_frames // 2 + 6 else states
        prompt = box_prompt(model) if index == 0 else None
        results = tracker.step(features, [TrackInput(state, prompt) for state in shown])
        logits.append(torch.stack([result.low_res_logits for result in results]).cpu())
    return logits


def check_pixels(session: Session) -> None:
    """torchcodec's pixels, decoded on the GPU, against PyAV's; a rehearsal compares PyAV's with themselves."""
    other: DecoderName = "pyav" if session.is_rehearsal else "torchcodec"
    height, width = (1080, 1920) if not session.is_rehearsal else (320, 320)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        frames = FramesInMemory(height, width).frames(range(20))
        write_mp4(path, ((one.index / 25, one.pixels) for one in frames))
        try:
            expected, found = (_pixels(path, decoder) for decoder in ("pyav", other))
        except (ConfigError, VideoError) as error:
            session.add(other, str(error)[:120])
            return
    difference = np.abs(expected - found)
    told = f"mean {difference.mean():.2f}, largest {difference.max()}"
    session.add(f"levels between the pixels of {other} and PyAV", told, is_right=bool(difference.mean() < 3))


def _pixels(path: Path, decoder: DecoderName) -> NDArray[np.int64]:
    with open_video(path, decoder=decoder) as source:
        return np.stack([frame.pixels.astype(np.int64) for frame in source.frames(range(20))])


def check_memory(session: Session) -> None:
    """Memory that ends, work after it, and what CUDA takes beside PyTorch's reserve."""
    size = (720, 1280) if not session.is_rehearsal else (320, 320)
    tracker = make_tracker(session, "nano" if session.is_rehearsal else "sam2.1_hiera_tiny")
    chunk = legs(session.pick(16, 1)), range(session.pick(12, 2))

    def run() -> object:
        return within_memory(lambda: propagate_chunk(tracker, FramesInMemory(*size), *chunk))

    if session.device == "cuda":
        _fill_memory(session, run)
    run()
    session.add("a chunk with room", "done", is_right=True)
    if session.device == "cuda":
        free, total = torch.cuda.mem_get_info()
        others = round((total - free - torch.cuda.memory_reserved()) / 1e6)
        told = f"{others}; a replica that shares a GPU leaves CUDA {round(CONTEXT_BYTES / 1e6)}"
        session.add("MB beside PyTorch's reserve, other processes included", told)


def _fill_memory(session: Session, run: Callable[[], object]) -> None:
    """The same chunk in 0.7 GB of the GPU."""
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    free, _ = torch.cuda.mem_get_info()
    ballast = torch.empty(max(0, free - 700 * 2**20), dtype=torch.uint8, device="cuda")
    try:
        run()
        session.add("the chunk in 0.7 GB", "fitted")
    except MemoryError as error:
        kept = torch.cuda.memory_allocated() - before - ballast.nbytes
        session.add("the chunk in 0.7 GB", f"MemoryError: {str(error)[:80]}", is_right=True)
        session.add("MB that the failed chunk keeps", round(kept / 1e6), is_right=kept < 1e8)
    del ballast
    torch.cuda.empty_cache()
