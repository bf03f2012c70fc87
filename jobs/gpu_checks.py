"""Proves the CUDA path on a real GPU and measures it: `python jobs/gpu_checks.py [--rehearse] [--only SECTION]`.

    machine      what `samurai-batch doctor` says of it; rate of products, cost of a launch
    masks        nano on the GPU against the CPU in float32; the same bits again, and from a saved track state
    rows         run lengths of masks made on the GPU against those of pixels made on the CPU, bit for bit
    golden       the authors' numbers in float64, where the repository's tests are at hand
    precision    what TensorFloat-32, which is switched off, would do to the mask decoder
    attention    milliseconds of every attention of a frame by each kernel that takes it
    costs        milliseconds and kernels to encode a frame and to step 1 and 8 tracks
    video        frames per second of whole chunks, rows included, of frames in memory at 720p and 1080p
    decoding     frames per second of files by 1 and 4 threads, and by torchcodec on the GPU, whose pixels are compared
    compile      what torch.compile costs and brings
    memory       that memory which ends is a MemoryError, and that work goes on when there is room again

It prints a table as it goes and writes it to gpu_checks.md and gpu_checks.json in --output. Exit code 1 if a check
found something wrong. Takes about 10 minutes and needs one GPU; --budget stops before a section that would start later.
`--rehearse` runs the same code on the CPU with the smallest sizes, to see that the script itself runs.

So far it has only been rehearsed: no GPU has run it.
"""

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from samurai_batch.benchmark.costs import FULL_MEMORY
from samurai_batch.benchmark.mask_costs import FILL_HOLE_AREA, SIZES, rugged_disc
from samurai_batch.errors import ConfigError, VideoError
from samurai_batch.job import make_job
from samurai_batch.modeling.checkpoints import build_model, load_weights
from samurai_batch.modeling.compiling import compiled_encoder
from samurai_batch.modeling.gpu import auto_dtype
from samurai_batch.modeling.pixels import to_model_input
from samurai_batch.modeling.sam2 import SAM2
from samurai_batch.pipeline import propagate_chunk
from samurai_batch.prompts import BoxPrompt
from samurai_batch.rendering.output import write_mp4
from samurai_batch.rle import encode_mask
from samurai_batch.runtime.failures import within_memory
from samurai_batch.runtime.machine_checks import check_machine as doctor_checks
from samurai_batch.synthetic import demo_clip
from samurai_batch.tasks import Leg, Track, Video
from samurai_batch.tracking.prompts import FramePrompt
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.tracker import Tracker, TrackInput
from samurai_batch.tracking.video_masks import MaskEncoder, to_video_masks
from samurai_batch.video import Frame, VideoInfo, open_video
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
BOX = torch.tensor([[0.1, 0.1], [0.4, 0.5]])
FULL = 18  # frames, after which memories and object pointers are all there


@dataclass
class Session:
    """Device and sizes of this run, and its table so far: (section, check, result, verdict)."""

    device: str
    is_rehearsal: bool
    deadline_s: float
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)
    section: str = ""

    def add(self, check: str, result: object, *, is_right: bool | None = None) -> None:
        """One row; ``is_right`` is None for a measurement."""
        verdict = "" if is_right is None else "ok" if is_right else "WRONG"
        self.rows.append((self.section, check, str(result), verdict))
        print(f"| {self.section} | {check} | {result} | {verdict} |", flush=True)

    def models(self) -> tuple[str, ...]:
        """The models that are measured."""
        return ("nano",) if self.is_rehearsal else MODELS

    def is_late(self) -> bool:
        """Whether the budget is used up."""
        return time.monotonic() > self.deadline_s

    def pick(self, on_gpu: int, rehearsed: int) -> int:
        """A size for the GPU, or for the rehearsal."""
        return rehearsed if self.is_rehearsal else on_gpu

    def synchronize(self) -> None:
        """Wait until the device has done everything."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    def milliseconds(self, work: Callable[[], object]) -> float:
        """Median of several calls, the device having done all of each."""
        seconds = []
        for number in range(self.pick(13, 3)):
            self.synchronize()
            start_s = time.perf_counter()
            work()
            self.synchronize()
            if number >= self.pick(3, 1):
                seconds.append(time.perf_counter() - start_s)
        return round(statistics.median(seconds) * 1e3, 3)

    def num_kernels(self, work: Callable[[], object]) -> int:
        """Kernels that the work starts on the GPU; 0 on the CPU."""
        if self.device != "cuda":
            return 0
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CUDA]) as seen:
            work()
            self.synchronize()
        return sum("CUDA" in str(event.device_type) for event in seen.events() or [])


# The machine ------------------------------------------------------------------------------------------------------


def check_machine(session: Session) -> None:
    """What this machine is, and what it would compute by."""
    dtype = auto_dtype(session.device)
    for one in doctor_checks(make_job({"prompts": "none", "output": "none", "device": session.device})):
        session.add(one.subject, one.result, is_right=one.level != "problem")
    side = session.pick(8192, 256)
    a = torch.randn(side, side, device=session.device).to(dtype)
    rate = 2 * side**3 / session.milliseconds(lambda: a @ a) / 1e9
    session.add(f"TFLOP/s of products of {side} x {side}", round(rate, 1))
    x = torch.zeros(1000, device=session.device)

    def launch_many() -> None:
        for _ in range(1000):
            x.add_(1)

    session.add("µs of a launch", session.milliseconds(launch_many))


# Right ------------------------------------------------------------------------------------------------------------


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


def check_rows(session: Session) -> None:
    """Run lengths that this device makes against those of all pixels made on the CPU, which they equal bit for bit."""
    for name, (height, width) in list(SIZES.items())[: session.pick(3, 1)]:
        logits = torch.stack([rugged_disc(256, seed) for seed in range(session.pick(8, 1))])
        on_device, encoder = logits.to(session.device), MaskEncoder(FILL_HOLE_AREA)
        found = encoder.start(on_device, height, width).rles()
        is_same = found == [encode_mask(mask) for mask in to_video_masks(logits, height, width, FILL_HOLE_AREA)]
        session.add(f"{name}: the run lengths of the CPU's pixels", is_same, is_right=is_same)
        kernels = session.num_kernels(partial(encoder.start, on_device, height, width))
        took_ms = session.milliseconds(partial(encoder.start, on_device, height, width))
        session.add(f"{name}: {len(logits)} masks, ms and kernels on the device", f"{took_ms}, {kernels}")


def check_golden(session: Session) -> None:
    """The numbers of the authors' code, in float64."""
    sys.path.append(str(Path(__file__).resolve().parents[1]))
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


def check_precision(session: Session) -> None:
    """What TensorFloat-32 does to the logits of the mask decoder."""
    pixels = demo_clip(1).frames[0]
    logits: dict[str, Tensor] = {}
    for name, dtype, is_allowed in (
        ("float64", torch.float64, False),
        ("float32", torch.float32, False),
        ("float32 with TF32", torch.float32, True),
    ):
        model = build_model(load_weights("nano"), dtype=dtype, device=session.device)
        torch.backends.cudnn.allow_tf32 = is_allowed  # after `build_model`, which switches it off
        tracker = Tracker(model, TrackerSettings())
        features = tracker.encode(to_model_input(pixels, model.image_size, dtype, session.device))
        (result,) = tracker.step(features, [TrackInput(TrackState(9), box_prompt(model))])
        logits[name] = result.low_res_logits.double().cpu()
    torch.backends.cudnn.allow_tf32 = False
    scale = logits["float64"].abs().mean()
    for name in ("float32", "float32 with TF32"):
        error = float((logits[name] - logits["float64"]).abs().max() / scale)
        session.add(f"{name}: largest logit error over the mean logit", f"{error:.1e}")


# Fast -------------------------------------------------------------------------------------------------------------

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


def check_attention(session: Session) -> None:
    """Milliseconds of every attention, by each kernel that takes it."""
    from torch.nn.attention import SDPBackend

    kernels = {"flash": SDPBackend.FLASH_ATTENTION, "memory-efficient": SDPBackend.EFFICIENT_ATTENTION}
    kernels["cuDNN"] = SDPBackend.CUDNN_ATTENTION
    for name in ATTENTION:
        if session.is_late():
            return
        measure_attention(session, name, "as chosen", None)
        for kernel, backend in kernels.items() if session.device == "cuda" else ():
            measure_attention(session, name, kernel, backend)


def measure_attention(session: Session, name: str, kernel: str, backend: Any) -> None:
    """One row: a kernel on one shape, or why it refuses."""
    from torch.nn.attention import sdpa_kernel

    batch, heads, num_queries, num_keys, width, value_width, dtype = ATTENTION[name]
    num_queries, num_keys = (max(8, number // session.pick(1, 64)) for number in (num_queries, num_keys))
    sizes = ((num_queries, width), (num_keys, width), (num_keys, value_width))
    q, k, v = (torch.randn(batch, heads, *size, device=session.device).to(dtype) for size in sizes)
    mask = None
    if "pooled" in name:
        mask = torch.zeros(num_keys, device=session.device, dtype=dtype).expand(1, 1, num_queries, num_keys)
    flop = 2 * batch * heads * num_queries * num_keys * (width + value_width)

    def attend() -> Tensor:
        with sdpa_kernel([backend]) if backend is not None else nullcontext():
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    try:
        ms = session.milliseconds(attend)
        session.add(f"{name}, {kernel}", f"{ms} ms, {flop / ms / 1e9:.0f} TFLOP/s")
    except RuntimeError as error:
        session.add(f"{name}, {kernel}", "refused: " + str(error).splitlines()[0][:80])


def make_tracker(session: Session, name: str, *, is_compiled: bool = False) -> Tracker:
    """A model of the table, with drawn weights, in the device's dtype, that remembers every frame."""
    weights = load_weights(name, None if name == "nano" else "untrained:0")
    image_size = 64 if session.is_rehearsal else None
    model = build_model(weights, image_size, auto_dtype(session.device), session.device)
    settings = TrackerSettings(**vars(FULL_MEMORY))
    return Tracker(model, settings, compiled_encoder(model) if is_compiled else None)


def box_prompt(model: SAM2) -> FramePrompt:
    """A box in pixels of the model's image."""
    return FramePrompt(BOX * model.image_size, torch.tensor([2, 3], dtype=torch.int32))


def check_costs(session: Session) -> None:
    """Milliseconds and kernels of the network alone."""
    for name in session.models():
        if session.is_late():
            return
        measure_costs(session, name, make_tracker(session, name))
        if session.device == "cuda":
            session.add(f"{name}: GB reserved at most", round(torch.cuda.max_memory_reserved() / 1e9, 2))
            torch.cuda.reset_peak_memory_stats()


def measure_costs(session: Session, name: str, tracker: Tracker) -> None:
    """Encoding a frame, and steps of 1 and 8 tracks whose memories are full."""
    model = tracker.model
    side, dtype = model.image_size, model.no_obj_ptr.dtype
    pixels = torch.zeros(1, 3, side, side, device=session.device, dtype=dtype)
    encode = partial(tracker.encode, pixels)
    session.add(f"{name}: encode", f"{session.milliseconds(encode)} ms, {session.num_kernels(encode)} kernels")
    features = tracker.encode(pixels)
    for count in (1, 8):
        states = [TrackState(100000) for _ in range(count)]
        tracker.step(features, [TrackInput(state, box_prompt(model)) for state in states])
        step = partial(tracker.step, features, [TrackInput(state) for state in states])
        for _ in range(session.pick(FULL, 2)):
            step()
        session.add(f"{name}: step {count}", f"{session.milliseconds(step)} ms, {session.num_kernels(step)} kernels")


class FramesInMemory:
    """A video of four pictures that take turns: nothing is decoded."""

    def __init__(self, height: int, width: int) -> None:
        self.info = VideoInfo(100000, height, width)
        rng = np.random.default_rng(0)
        coarse = torch.from_numpy(rng.random((4, 3, height // 16, width // 16)))
        fine = F.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1) * 255
        self._pictures: list[NDArray[np.uint8]] = [
            np.ascontiguousarray(picture.permute(1, 2, 0).to(torch.uint8).numpy()) for picture in fine
        ]

    def frames(self, indices: range) -> Iterator[Frame]:
        """The frames of these indices."""
        for index in indices:
            yield Frame(index, index / 25, self._pictures[index % 4])


def legs(count: int) -> list[Leg]:
    """Legs of so many boxes in one video."""
    video = Video("video", "video.mp4")
    boxes = [(100.0 + n, 100.0, 300.0, 300.0) for n in range(count)]
    tracks = [Track(video=video, object_id=f"o{n}", prompts=(BoxPrompt(0, box),)) for n, box in enumerate(boxes)]
    return [leg for track in tracks for leg in track.legs]


def check_video(session: Session) -> None:
    """Frames per second of chunks whose tracks have full memories."""
    sizes = ((720, 1280), (1080, 1920)) if not session.is_rehearsal else ((320, 320),)
    for name in session.models():
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


def check_decoding(session: Session) -> None:
    """Frames per second of files, and torchcodec's pixels against PyAV's."""
    sizes = ((1080, 1920), (2160, 3840)) if not session.is_rehearsal else ((320, 320),)
    count = session.pick(120, 4)
    for height, width in sizes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "clip.mp4"
            frames = FramesInMemory(height, width)
            write_mp4(path, ((one.index / 25, one.pixels) for one in frames.frames(range(count))))
            for num_threads in (1, 4):
                rate, expected = read_file(path, count, "pyav", num_threads)
                session.add(f"{width} x {height}, PyAV, {num_threads} threads", f"{rate:.1f} frames/s")
            if session.device != "cuda":
                session.add("torchcodec", "not rehearsed: it decodes on a GPU")
                continue
            try:
                rate, decoded = read_file(path, count, "torchcodec", 1)
            except (ConfigError, VideoError) as error:
                session.add(f"{width} x {height}, torchcodec", str(error)[:120])
                continue
            session.add(f"{width} x {height}, torchcodec", f"{rate:.1f} frames/s")
            difference = np.abs(decoded.astype(int) - expected)
            told = f"mean {difference.mean():.2f}, largest {difference.max()}"
            session.add("levels between their pixels", told, is_right=bool(difference.mean() < 3))


def read_file(path: Path, count: int, decoder: DecoderName, num_threads: int) -> tuple[float, NDArray[np.uint8]]:
    """Frames per second of a decoder, and the last frame."""
    with open_video(path, decoder=decoder, num_threads=num_threads) as source:
        start_s = time.perf_counter()
        *_, last = source.frames(range(count))
        return count / (time.perf_counter() - start_s), last.pixels


def check_compile(session: Session) -> None:
    """What torch.compile costs and brings."""
    if session.is_rehearsal:
        session.add("torch.compile", "not rehearsed: it takes minutes on a CPU")
        return
    for name in ("sam2.1_hiera_tiny", "sam2.1_hiera_large"):
        if session.is_late():
            return
        start_s = time.perf_counter()
        tracker = make_tracker(session, name, is_compiled=True)
        took_s = time.perf_counter() - start_s
        side, dtype = tracker.model.image_size, tracker.model.no_obj_ptr.dtype
        pixels = torch.randn(1, 3, side, side, device=session.device).to(dtype)
        with torch.inference_mode():
            plain = tracker.model.encode_image(pixels).image.float()
        compiled = tracker.encode(pixels).image.float()
        error = float((compiled - plain).norm() / plain.norm())
        ms = session.milliseconds(partial(tracker.encode, pixels))
        session.add(f"{name}: compiled in s, encode in ms", f"{took_s:.0f}, {ms}")
        session.add(f"{name}: relative difference of features", f"{error:.1e}", is_right=error < 0.05)


def check_memory(session: Session) -> None:
    """Memory that ends, and work after it."""
    if session.device != "cuda":
        session.add("memory of a GPU", "not rehearsed: there is none")
        return
    tracker, source = make_tracker(session, "sam2.1_hiera_tiny"), FramesInMemory(720, 1280)

    def run() -> object:
        return within_memory(lambda: propagate_chunk(tracker, source, legs(16), range(12)))

    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    free, _ = torch.cuda.mem_get_info()
    ballast = torch.empty(max(0, free - 700 * 2**20), dtype=torch.uint8, device=session.device)
    try:
        run()
        session.add("16 tracks in 0.7 GB", "fitted")
    except MemoryError as error:
        kept = torch.cuda.memory_allocated() - before - ballast.nbytes
        session.add("16 tracks in 0.7 GB", f"MemoryError: {str(error)[:80]}", is_right=True)
        session.add("MB that the failed chunk keeps", round(kept / 1e6), is_right=kept < 1e8)
    del ballast
    torch.cuda.empty_cache()
    run()
    session.add("and with room again", "done", is_right=True)


SECTIONS: dict[str, Callable[[Session], None]] = {
    "machine": check_machine,
    "masks": check_masks,
    "rows": check_rows,
    "golden": check_golden,
    "precision": check_precision,
    "attention": check_attention,
    "costs": check_costs,
    "video": check_video,
    "decoding": check_decoding,
    "compile": check_compile,
    "memory": check_memory,
}


def main() -> int:
    """Run the sections; 1 if something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rehearse", action="store_true", help="run on the CPU with the smallest sizes")
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, separated by commas")
    parser.add_argument("--budget", type=float, default=math.inf, help="seconds after which nothing more starts")
    parser.add_argument("--output", type=Path, default=Path(), help="folder for gpu_checks.md and gpu_checks.json")
    options = parser.parse_args()
    if unknown := set(options.only.split(",")) - SECTIONS.keys():
        parser.error(f"--only {', '.join(sorted(unknown))}: the sections are {', '.join(SECTIONS)}")
    if not options.rehearse and not torch.cuda.is_available():
        parser.error("no GPU that PyTorch can use; --rehearse runs the script on the CPU")
    device = "cpu" if options.rehearse else "cuda"
    session = Session(device, options.rehearse, time.monotonic() + options.budget)
    print("| section | check | result | verdict |\n| --- | --- | --- | --- |")
    for name in options.only.split(","):
        session.section = name
        if session.is_late():
            session.add("not run", "no time was left")
            continue
        try:
            SECTIONS[name](session)
        except Exception as error:  # one section must not end the others
            session.add("failed", f"{type(error).__name__}: {error}".splitlines()[0][:200], is_right=False)
    write(session.rows, options.output)
    return int(any(verdict == "WRONG" for *_, verdict in session.rows))


def write(rows: list[tuple[str, str, str, str]], folder: Path) -> None:
    """The table as Markdown and JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("section", "check", "result", "verdict")
    lines = ["| " + " | ".join(row) + " |" for row in (names, ("---",) * len(names), *rows)]
    (folder / "gpu_checks.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    table = [dict(zip(names, row, strict=True)) for row in rows]
    (folder / "gpu_checks.json").write_text(json.dumps(table, indent=1), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
