"""The fields of a job."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

from samurai_batch.errors import ConfigError
from samurai_batch.frame_sampling import FrameSampling, OnCut
from samurai_batch.images.settings import EverythingSettings
from samurai_batch.job.discovery import DiscoverySettings
from samurai_batch.schema import Settings, contradiction, describe_mistakes
from samurai_batch.tracking.rescue import RescueName
from samurai_batch.tracking.settings import TrackerOptions, TrackerSettings, misplaced_setting, refused_rescue
from samurai_batch.tracking.trackers import Mode

_IMAGE_SIZE_STEP = 32  # pixels per cell of the coarsest features
_VARIABLE = re.compile(r"\$[({]|(?:^|/)\$\w")  # of the environment
_UNTRAINED = re.compile(r"untrained:\d{1,18}", re.ASCII)

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Positive = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class JobConfig(BaseModel):
    """One job: what to track, with which model, on what hardware, and where the tables go.

        config = JobConfig(prompts="prompts.csv", output="out", model="nano", replicas=2)
        run_job(config)

    Raises ConfigError with all mistakes, one per line. `load_job` reads a YAML file; `make_job` takes a dict. The text
    below each field is what ``samurai-batch fields`` prints; its first sentence is part of error messages.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    prompts: Text
    """Prompts table: path or URI of a .parquet, .csv or .jsonl file."""

    output: Text
    """Output folder: path or URI. Tables are written to <output>/masks."""

    model: Text = "nano"
    """Name of the model; `samurai-batch models` lists them."""

    weights: Text | None = None
    """Path or URI of a checkpoint, or untrained:<seed> for random weights, whose masks mean nothing. Default: the
    weights that ship with the package."""

    image_size: Annotated[int, Field(gt=0)] | None = None
    """Side in pixels to which frames are scaled for the model, a multiple of 32. Default: the model's own."""

    dtype: Literal["auto", "float32", "bfloat16", "float16", "float64"] = "auto"
    """Number format of the model: float32, bfloat16, float16, float64 or auto. auto is float32 on a CPU; on the GPU of
    the machine that starts the job bfloat16 or, before compute capability 8.0 (T4, V100), float16; and bfloat16 if
    device is cuda and that machine has no GPU. Tables and fingerprints name the format that was used."""

    compile: bool = False
    """Run the image encoder with torch.compile, for GPUs: true or false. A replica takes one or two minutes longer to
    start, and masks differ by rounding. On CPUs it is mostly slower."""

    cuda_graphs: bool = False
    """Start all kernels of an operation of the network at once, on a GPU, where the number of tracks and of their
    memories stays the same: true or false. For small models and few tracks, which starting kernels one by one holds up;
    it takes more of the GPU's memory. No GPU has run it yet: `python jobs/gpu_checks.py --only graphs` compares the
    masks."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs: cpu, cuda, or auto for cuda if there is a GPU. A GPU that is reserved but cannot be used is
    an error, never replaced by the CPU."""

    task: Literal["track", "segment"] = "track"
    """Kind of job: track objects through videos, or segment pictures. For segment, prompts may also be a folder of
    pictures or a .txt file with one URI per line."""

    mode: Mode = "samurai"
    """Tracker: samurai; sam2 for SAM 2 without motion model and memory selection; dam4sam for SAM 2 with a memory of
    frames with distractors; memory_selection for SAM 2 with the memory selection of SAM 3;
    sam2long for SAM 2 with three paths, of which the best is traced back: it takes up to three times as long."""

    rescue: RescueName = "none"
    """What may replace masks of the tracker: none, or sentry, which looks for another mask where that of a frame looks
    like a failure (empty, or its box suddenly much larger, smaller or elsewhere), and takes one that leads back to
    where the object was. Not with mode: sam2long. Frames on which it looks cost many times more."""

    tracker: TrackerOptions = TrackerOptions()
    """Settings of the tracker by name, where they differ from the defaults."""

    detector: Text | None = None
    """Model that detects objects for prompts of kind text, and of kind discover with classes: Hugging Face id or folder
    of a detector (Grounding DINO, OWLv2), or clip:<model> for everything mode ranked by CLIP. Needs
    pip install 'samurai-batch[text]'."""

    detector_threshold: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Score from 0 to 1 that a detection must exceed to be tracked."""

    everything: EverythingSettings = EverythingSettings()
    """Settings of everything mode by SAM's names, where they differ from the defaults."""

    detections: Text | None = None
    """Detections for prompts of kind discover: path or URI of a table (.parquet, .csv, .jsonl), or of what ultralytics,
    YOLO, supervision, COCO or MOTChallenge programs write. {video_id} in it stands for each video's id. Default: the
    job detects itself, with the detector for classes, and with everything mode without classes."""

    discovery: DiscoverySettings = DiscoverySettings()
    """Settings of prompts of kind discover, by name, where they differ from the defaults."""

    pool: Literal["ray", "local"] = "ray"
    """Where replicas run: ray for Ray actors, local for threads of this process. Those threads share the first GPU and
    Python's lock, so on GPUs more than one of them gains little; ray gives each replica a process, and a GPU if there
    are several."""

    ray_address: Text | None = None
    """Address of a running Ray cluster; auto for the one on this machine. Default: a Ray started for the job."""

    replicas: Positive | None = None
    """Number of replicas, which are copies of the model. Default: as many as the cluster has room for."""

    num_cpus_per_replica: Amount = 1.0
    """CPUs that Ray reserves for one replica."""

    num_gpus_per_replica: Amount | None = None
    """GPUs that Ray reserves for one replica, at most 1; below 1, replicas share a GPU, each with that share of its
    memory (0.4 reserves 0.5, as no third replica fits). Default: 1 if device is cuda, or if it is auto and the cluster
    has GPUs; otherwise 0. A replica that reserves none computes on the CPU."""

    threads_per_replica: Positive | None = None
    """CPU threads that the network of one replica uses. Default: one less than num_cpus_per_replica (with pool: local,
    than its share of the machine), but at least 1; the remaining CPU decodes frames and writes rows meanwhile."""

    chunk_frames: Positive = 200
    """Frames between two checkpoints of a track. A crash costs at most this many frames per replica."""

    frame_step: Positive = 1
    """Track every n-th frame only: those whose index is a multiple of n, and those with a prompt. Frames between have
    no rows, and chunk_frames counts the frames that are tracked."""

    interpolate_boxes: bool = False
    """With frame_step, also write rows for the frames between, with interpolated boxes and without masks: true or
    false."""

    on_cut: OnCut | None = None
    """What becomes of tracks at a scene cut: ignore, continue or end. With continue and end, cuts are measured in a
    pass over the whole video before it is tracked, and rows say their shot. With end, a track has rows only from a
    prompt to the cut after it, and again from its next prompt on. Default: ignore."""

    max_tracks_per_shard: Positive = 8
    """Maximum number of tracks of one video that one replica propagates together."""

    split_shards: bool = True
    """Move tracks of a running shard to idle replicas when that ends the job sooner: true or false. Which tracks run
    together then depends on measured times, so masks differ by rounding from run to run. With false, a job has the same
    bits every time on the same CPU; on GPUs that is untested, and between types of GPUs it cannot be expected."""

    frames_per_batch: Positive = 1
    """Frames of a video that go through the image encoder together. More are faster on GPUs and with small models, need
    more memory, and change masks by rounding."""

    pictures_per_batch: Positive = 8
    """Pictures that go through the image encoder together, for task: segment."""

    keep_partial: bool = False
    """Publish the rows of a truncated video up to where it ends: true or false."""

    keep_memories: bool = False
    """Keep the memories of every track at its end (at most 4 MB each), so that tracks of other videos can begin with
    them in later runs: true or false. Those that a prompt of kind from_video names are kept in any case."""

    max_attempts: Positive = 3
    """Number of times that a chunk may fail or kill its replica before its tracks are marked as failed. A replica lost
    together with its node counts a third; a node that is drained or preempted does not count."""

    chunks_per_replica: Positive | None = None
    """Number of chunks after which a replica is replaced by a new process, as a guard against leaking libraries.
    Default: never."""

    decoder: Literal["auto", "pyav", "decord", "torchcodec"] = "auto"
    """Decoder of video files: pyav, decord, torchcodec, or auto for pyav. decord refuses files that it would not decode
    exactly, but does not notice damaged ones. torchcodec decodes on the GPU (device: cuda), whose pixels differ, so
    tracks of another decoder become stale; it has never been run here. auto uses neither."""

    cache_dir: Text | None = None
    """Local folder for copies of remote videos. Default: samurai_batch in the user's cache folder."""

    cache_limit_gb: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 50.0
    """Maximum size of cache_dir in 10^9 bytes. The least recently used files are removed first."""

    @property
    def frame_sampling(self) -> FrameSampling:
        """Which frames of a video are tracked."""
        return FrameSampling(every=self.frame_step, interpolates=self.interpolate_boxes, on_cut=self.on_cut or "ignore")

    @property
    def tracker_settings(self) -> TrackerSettings:
        """The settings of the tracker, with the job's mode."""
        return TrackerSettings(mode=self.mode, rescue=self.rescue, **self.tracker.overrides())

    @field_validator("prompts", "output", "weights", "detections", "cache_dir")
    @classmethod
    def _check_variables(cls, path: str | None) -> str | None:
        if path is not None and _VARIABLE.search(path):
            raise ValueError("environment variables are not filled in; write the path out")
        return path

    @field_validator("weights")
    @classmethod
    def _check_seed(cls, weights: str | None) -> str | None:
        if weights is not None and weights.startswith("untrained") and not _UNTRAINED.fullmatch(weights):
            raise ValueError("the seed of untrained weights is missing or no whole number, as in untrained:0")
        return weights

    @field_validator("image_size")
    @classmethod
    def _check_image_size(cls, image_size: int | None) -> int | None:
        if image_size is not None and image_size % _IMAGE_SIZE_STEP:
            raise ValueError(f"it should be a multiple of {_IMAGE_SIZE_STEP}")
        return image_size

    @field_validator("num_gpus_per_replica")
    @classmethod
    def _check_num_gpus(cls, num_gpus: float | None) -> float | None:
        if num_gpus is not None and num_gpus > 1:
            raise ValueError("a replica computes on one GPU, so it should be at most 1; for more GPUs, set replicas")
        return num_gpus

    @model_validator(mode="after")
    def _check_contradictions(self) -> "JobConfig":
        if self.pool == "local" and self.ray_address is not None:
            raise contradiction("ray_address", "pool is local, which uses no Ray; remove one of them")
        if self.decoder == "torchcodec" and self.device != "cuda":
            raise contradiction("decoder", "torchcodec decodes on a GPU; set device: cuda, or remove it")
        if self.device == "cpu" and self.num_gpus_per_replica:
            raise contradiction("num_gpus_per_replica", "device is cpu, which uses no GPU; remove one of them")
        if self.task == "segment" and self.tracker.overrides():
            raise contradiction("tracker", "task is segment, which tracks nothing; remove one of them")
        if self.task == "segment" and self.detections is not None:
            raise contradiction("detections", "task is segment, which discovers nothing; remove one of them")
        if misplaced := misplaced_setting(self.mode, self.rescue, self.tracker):
            raise contradiction(f"tracker.{misplaced[0]}", misplaced[1])
        if reason := refused_rescue(self.mode, self.rescue):
            raise contradiction("rescue", reason)
        if self.task == "segment" and self.rescue != "none":
            raise contradiction("rescue", "task is segment, which tracks nothing; remove one of them")
        if self.task == "segment" and self.frame_step > 1:
            raise contradiction("frame_step", "task is segment, whose pictures have one frame; remove one of them")
        if self.task == "segment" and self.frame_sampling.on_cut != "ignore":
            raise contradiction("on_cut", "task is segment, whose pictures have one shot; remove one of them")
        if self.interpolate_boxes and self.frame_step == 1:
            raise contradiction("interpolate_boxes", "frame_step is 1, which leaves no frame out; raise frame_step")
        for name in ("compile", "cuda_graphs"):
            if self.task == "segment" and getattr(self, name):
                raise contradiction(name, "task is segment, whose batches have many sizes; remove one of them")
        if self.device == "cpu" and self.cuda_graphs:
            raise contradiction("cuda_graphs", "device is cpu, which has none; remove one of them")
        if self.pool == "ray" and self.device == "cuda" and self.num_gpus_per_replica == 0:
            raise contradiction(
                "num_gpus_per_replica", "device is cuda, and replicas see only GPUs that are reserved; reserve one"
            )
        return self

    @field_serializer("tracker", "everything", "discovery")
    def _serialize_overrides(self, settings: Settings) -> dict[str, Any]:
        return settings.overrides()

    @model_validator(mode="wrap")
    @classmethod
    def _raise_config_error(
        cls, values: object, validate: ModelWrapValidatorHandler[Self], info: ValidationInfo
    ) -> Self:
        """Must be the last validator, so that it wraps all others."""
        try:
            return validate(values)
        except ValidationError as error:
            where = info.context or {"source": "job"}
            raise ConfigError(describe_mistakes(error, cls, **where)) from None  # pydantic's text may show secrets
