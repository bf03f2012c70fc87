"""Measure what each tracker costs, in one run: seconds to encode a frame, and to step tracks through it.

    python jobs/measure_modes.py --model nano --mode samurai --mode dam4sam
    python jobs/measure_modes.py --mode samurai --mode dam4sam --open-every 0 --open-every 10 --open-every 1

With --open-every, each tracker that can have a rescue is also measured with SENTRY, its gate opened on every n-th frame
(0: never), so that its cost is known as a function of how often the gate opens.

The frames are those of a suite's clips, one after another, resized to the size of a video. On each frame, all trackers
are stepped in turn, so that what else runs on the machine touches all alike. Seconds are the CPU's, of one thread.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from samurai_batch.geometry import mask_box_xyxy
from samurai_batch.modeling.checkpoints import build_model, load_weights
from samurai_batch.modeling.pixels import to_model_input
from samurai_batch.modeling.process import prepare_process
from samurai_batch.prompts import Box, BoxPrompt
from samurai_batch.synthetic import SUITES
from samurai_batch.tracking.prompts import to_frame_prompt
from samurai_batch.tracking.recent_frames import RecentFrames
from samurai_batch.tracking.sentry.gate import SentryNote
from samurai_batch.tracking.sentry.rescue import Sentry
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.tracker import Tracker, TrackInput
from samurai_batch.tracking.trackers import TRACKERS, Mode

MODES: tuple[Mode, ...] = tuple(TRACKERS)
NUM_FULL = 16  # frames after which memory attention reads as much as it ever does
SHIFT_PX = 3  # from the box of one track to that of the next


@dataclass(frozen=True)
class OpenedSentry(Sentry):
    """SENTRY, whose gate is open on every n-th frame on which a mask could be verified, and on no other."""

    every: int = 0

    def is_open(self, note: SentryNote, age: int, box: Box | None, predicted_iou: float) -> bool:
        """Whatever the host's mask looks like."""
        is_known = note.num_known >= self.settings.sentry_reverse_min_history
        return is_known and self.every > 0 and age % self.every == 0


class Tracks:
    """Some tracks of one tracker on one clip, prompted by boxes near an object, and the seconds of their steps."""

    def __init__(self, tracker: Tracker, count: int, box_xyxy: Box, size: tuple[int, int]) -> None:
        self.tracker, self.size = tracker, size
        self.states = [TrackState(num_frames=10_000) for _ in range(count)]
        self.recent, self.num_frames = RecentFrames(tracker.encode), 0
        x1, y1, x2, y2 = box_xyxy
        self.prompts = [BoxPrompt(0, (x1 - n * SHIFT_PX, y1, x2 + n * SHIFT_PX, y2)) for n in range(count)]

    def step(self, pixels: torch.Tensor, is_first: bool) -> float:
        """Step all tracks; returns the seconds."""
        model = self.tracker.model
        features = self.tracker.encode(pixels)
        prompts = [
            to_frame_prompt([prompt], *self.size, model.image_size) if is_first else None for prompt in self.prompts
        ]
        inputs = [TrackInput(state, prompt) for state, prompt in zip(self.states, prompts, strict=True)]
        start_s = time.process_time()
        self.recent.add(self.num_frames, features)
        self.tracker.step(features, inputs, video_size=self.size, recent=self.recent)
        if (rescue := self.tracker.rules.rescue) is not None:
            self.recent.keep(index for state in self.states for index in rescue.frames_needed(state))
        else:
            self.recent.keep(())
        self.num_frames += 1
        return time.process_time() - start_s


def main() -> None:
    """Print a Markdown table: seconds of each mode, and their ratio to those of SAMURAI."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", help="a name of `samurai-batch models`")
    parser.add_argument("--weights", help="weights file, or untrained:<seed>; default: those inside the package")
    parser.add_argument("--suite", choices=list(SUITES), default="distractors", help="which clips")
    parser.add_argument("--mode", choices=MODES, action="append", help="measure only this mode")
    parser.add_argument("--tracks", type=int, action="append", help="number of tracks; default: 1 and 8")
    parser.add_argument("--frames", type=int, default=40, help="frames of each clip")
    parser.add_argument("--clips", type=int, default=2, help="clips of the suite")
    parser.add_argument("--size", type=int, nargs=2, default=(720, 1280), help="height and width of the video")
    parser.add_argument("--open-every", type=int, action="append", metavar="N", help="also with SENTRY's gate open so")
    parser.add_argument("--uncertain", action="store_true", help="take every frame as uncertain, which parts sam2long")
    arguments = parser.parse_args()
    prepare_process(1)
    model = build_model(load_weights(arguments.model, arguments.weights))
    modes: list[Mode] = arguments.mode or list(MODES)
    trackers: dict[str, Tracker] = {mode: Tracker(model, settings_of(mode, arguments.uncertain)) for mode in modes}
    for mode in modes:
        for every in () if TRACKERS[mode].has_paths else arguments.open_every or ():
            how = f"opens every {every} frames" if every else "never opens"
            trackers[f"{mode}, rescue sentry: gate {how}"] = opened(trackers[mode], every)
    counts: list[int] = arguments.tracks or [1, 8]
    encode_s: list[float] = []
    step_s: dict[tuple[str, int], list[float]] = {(name, count): [] for name in trackers for count in counts}
    for frames, box_xyxy in clips(arguments.suite, arguments.clips, arguments.frames, tuple(arguments.size)):
        cast = {key: Tracks(trackers[key[0]], key[1], box_xyxy, tuple(arguments.size)) for key in step_s}
        for index, frame in enumerate(frames):
            pixels = to_model_input(frame, model.image_size, torch.float32, "cpu")
            start_s = time.process_time()
            trackers[modes[0]].encode(pixels)
            encode_s.append(time.process_time() - start_s)
            for key, tracks in cast.items():
                seconds = tracks.step(pixels, is_first=index == 0)
                if index > NUM_FULL:
                    step_s[key].append(seconds)
    report(statistics.mean(encode_s), {key: statistics.mean(seconds) for key, seconds in step_s.items()})


def settings_of(mode: Mode, is_uncertain: bool) -> TrackerSettings:
    """The default settings; with ``is_uncertain``, object scores of any distance from 0 are uncertain."""
    if mode == "sam2long" and is_uncertain:
        return TrackerSettings(mode=mode, sam2long_uncertainty=1e9)
    return TrackerSettings(mode=mode)


def opened(host: Tracker, every: int) -> Tracker:
    """The same tracker with SENTRY on top."""
    settings = replace(host.settings, rescue="sentry")
    return Tracker(host.model, settings, rules=replace(host.rules, rescue=OpenedSentry(settings, every=every)))


def clips(
    suite: str, num_clips: int, num_frames: int, size: tuple[int, int]
) -> Iterator[tuple[NDArray[np.uint8], Box]]:
    """Frames (T, height, width, 3) of each clip, and the box of its first object on frame 0."""
    height, width = size
    for number, clip in enumerate(SUITES[suite].clips()):
        if number == num_clips:
            return
        pictures = [Image.fromarray(frame).resize((width, height)) for frame in clip.frames[:num_frames]]
        mask = np.array(Image.fromarray(clip.masks[0, 0]).resize((width, height)))
        box_xyxy = mask_box_xyxy(mask)
        if box_xyxy is not None:
            yield np.stack([np.array(picture) for picture in pictures]), box_xyxy


def report(encode_s: float, step_s: dict[tuple[str, int], float]) -> None:
    """Print the table; a frame is encoded once and stepped once."""
    print(f"encode: {encode_s * 1e3:.1f} ms\n")
    print("| mode | tracks | step, ms | encode and step, ms | relative to samurai |\n|---|---|---|---|---|")
    for (mode, count), seconds in step_s.items():
        base = step_s.get(("samurai", count))
        ratio = f"{(encode_s + seconds) / (encode_s + base):.2f}" if base else "-"
        print(f"| {mode} | {count} | {seconds * 1e3:.1f} | {(encode_s + seconds) * 1e3:.1f} | {ratio} |")


if __name__ == "__main__":
    main()
