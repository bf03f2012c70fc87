"""What replicas have measured of their work: one value, summed from chunks to replicas to runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

STAGES = {
    "decode": "waiting for frames",
    "encode": "encoding frames",
    "propagate": "propagating tracks",
    "write": "waiting for rows and states to be written",
}
"""The measured stages of a chunk, in the order of the work, and what a replica does in each. Their seconds are named
``<stage>_s`` in run records, metrics and logs. A stage added here and measured in `pipeline` appears in all of them."""

NETWORK_STAGES = ("encode", "propagate")
"""The stages in which the network computes."""

COUNTS = ("frames_encoded", "track_frames", "rescue_tests", "rescues", "device_memory_bytes")
"""What a `WorkStats` holds besides the seconds of stages."""


@dataclass(frozen=True, kw_only=True)
class WorkStats:
    """The work of a chunk, a replica or a run; ``+`` adds two of them.

    ``frames_encoded`` frames went through the image encoder, and ``track_frames`` steps of single tracks were made. On
    ``rescue_tests`` of these a rescue has tested other masks, and on ``rescues`` it has replaced the tracker's.
    ``device_memory_bytes`` is the most that a replica has held of its GPU, 0 without one. ``stage_s`` has the seconds
    of replicas by stage; decoding and writing run beside the network and count only while the network waits for them.
    """

    frames_encoded: int = 0
    track_frames: int = 0
    rescue_tests: int = 0
    rescues: int = 0
    device_memory_bytes: int = 0
    stage_s: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.stage_s.keys() <= STAGES.keys(), f"unknown stages in {self.stage_s}"
        object.__setattr__(self, "stage_s", {stage: self.stage_s.get(stage, 0.0) for stage in STAGES})

    def __add__(self, other: "WorkStats") -> "WorkStats":
        return WorkStats(
            frames_encoded=self.frames_encoded + other.frames_encoded,
            track_frames=self.track_frames + other.track_frames,
            rescue_tests=self.rescue_tests + other.rescue_tests,
            rescues=self.rescues + other.rescues,
            device_memory_bytes=max(self.device_memory_bytes, other.device_memory_bytes),
            stage_s={stage: seconds + other.stage_s[stage] for stage, seconds in self.stage_s.items()},
        )

    def rounded(self) -> "WorkStats":
        """The same with seconds rounded to milliseconds."""
        return replace(self, stage_s={stage: round(seconds, 3) for stage, seconds in self.stage_s.items()})

    def flat(self) -> dict[str, float]:
        """All values by one name each; the seconds of a stage are named ``<stage>_s``."""
        seconds = {f"{stage}_s": seconds for stage, seconds in self.stage_s.items()}
        return {name: getattr(self, name) for name in COUNTS} | seconds
