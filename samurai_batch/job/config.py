"""The fields of a job. Each description is what ``--help`` and the documentation print."""

import re
from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from samurai_batch.errors import ConfigError
from samurai_batch.images.settings import EverythingSettings
from samurai_batch.job.explaining import explained
from samurai_batch.tracking.settings import TrackerSettings

_IMAGE_SIZE_STEP = 32  # the coarsest features have one cell for so many pixels
_UNTRAINED = re.compile(r"untrained:\d{1,18}", re.ASCII)

Setting = bool | int | float | str | None


class JobConfig(BaseModel):
    """One job: what to follow, with which model, on what, and where the tables go.

    A mistake raises ConfigError, with field, value and remedy of each; `make_job` says as well where the value was
    given, `load_job` reads a YAML file.

        config = JobConfig(prompts="prompts.csv", output="out", model="nano", replicas=2)
        run_job(config)
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    prompts: str = Field(min_length=1, description="prompts table: path or URI of a .parquet, .csv or .jsonl file")
    output: str = Field(min_length=1, description="output folder: path or URI; tables go to <output>/masks")
    model: str = Field(
        default="nano",
        min_length=1,
        description="name of the model; `samurai-batch models` lists them",
    )
    weights: str | None = Field(
        default=None,
        min_length=1,
        description="weights: path or URI of a checkpoint, or untrained:<seed> for weights drawn from a seed, whose"
        " masks mean nothing; left out, those that ship inside the package",
    )
    image_size: int | None = Field(
        default=None,
        gt=0,
        description="side in pixels to which frames are scaled for the model, a multiple of 32; left out, the"
        " model's own",
    )
    dtype: Literal["float32", "bfloat16", "float64"] = Field(
        default="float32", description="number format of the model: float32, bfloat16 or float64"
    )
    compile: bool = Field(
        default=False,
        description="encode frames by torch.compile, for GPUs: true or false; each replica takes one or two minutes"
        " more to start, and masks differ by rounding; on CPUs it is mostly slower than without",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="where the model runs: cpu, cuda, or auto for cuda where there is one"
    )
    task: Literal["track", "segment"] = Field(
        default="track",
        description="track: follow objects through videos; segment: find them on pictures, each by itself, when prompts"
        " may also be a folder of pictures, or a .txt file of their URIs, one a line",
    )
    mode: Literal["samurai", "sam2"] = Field(
        default="samurai", description="tracker: samurai, or plain sam2 without motion model and memory selection"
    )
    tracker: dict[str, Setting] = Field(
        default_factory=dict, description="tracker settings that differ from their defaults, by name"
    )
    detector: str | None = Field(
        default=None,
        min_length=1,
        description="for prompts of kind text: model id or folder of an open-vocabulary detector of transformers"
        " (Grounding DINO, OWLv2), or clip:<model> for everything mode ranked by CLIP; needs the extra"
        " samurai-batch[text]",
    )
    detector_threshold: float = Field(
        default=0.25, ge=0, le=1, description="score above which a detected object is followed, 0 to 1"
    )
    everything: dict[str, Setting] = Field(
        default_factory=dict,
        description="for prompts of kind everything: settings that differ from their defaults, by SAM's names",
    )
    pool: Literal["ray", "local"] = Field(
        default="ray", description="where replicas run: as ray actors, or local in this one process"
    )
    ray_address: str | None = Field(
        default=None,
        min_length=1,
        description="address of an existing Ray cluster, auto for the one of this machine; left out, a local one is"
        " started",
    )
    replicas: int | None = Field(
        default=None, ge=1, description="number of model copies; left out, as many as there is room for"
    )
    num_cpus_per_replica: float = Field(
        default=1.0, ge=0, allow_inf_nan=False, description="CPUs that Ray reserves for one replica"
    )
    num_gpus_per_replica: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="GPUs that Ray reserves for one replica, below 1 to share one; left out, 1 if device asks for"
        " cuda, or is auto and the cluster has GPUs, otherwise 0",
    )
    threads_per_replica: int | None = Field(
        default=None,
        ge=1,
        description="CPU threads one replica's network computes with; left out, one less than"
        " num_cpus_per_replica, or in a local pool than its share of the machine, but at least 1; with as many as it"
        " has CPUs, it decodes and makes rows in turn with the network, otherwise beside it",
    )
    chunk_frames: int = Field(
        default=200, ge=1, description="frames between two checkpoints; a crash costs at most so many per replica"
    )
    max_tracks_per_shard: int = Field(
        default=8, ge=1, description="tracks of one video that one replica follows together at most"
    )
    split_shards: bool = Field(
        default=True,
        description="between two chunks, give some of a shard's tracks to idle replicas where the job ends sooner; who"
        " is followed together then depends on measured times, and masks differ by rounding from run to run",
    )
    frames_per_batch: int = Field(
        default=1,
        ge=1,
        description="frames of a video that go through the image encoder together, which GPUs and small models are"
        " faster with; each takes memory, and masks differ by rounding",
    )
    pictures_per_batch: int = Field(
        default=8, ge=1, description="with task segment: pictures that go through the image encoder together"
    )
    keep_partial: bool = Field(
        default=False, description="publish the rows up to where a truncated video ends: true or false"
    )
    max_attempts: int = Field(
        default=3,
        ge=1,
        description="how often a chunk may kill its replica, or fail, before its tracks are given up; a replica that is"
        " lost with its node counts a third, and nothing where the node was taken away on purpose",
    )
    chunks_per_replica: int | None = Field(
        default=None,
        ge=1,
        description="chunks after which a replica is replaced by a new process, against libraries that leak; left out,"
        " never: starting one costs loading the model, and memory is constant as far as it is ours",
    )
    decoder: Literal["auto", "pyav", "decord"] = Field(
        default="auto",
        description="what decodes video files: pyav, decord, or auto for pyav; both give the same frames, but decord"
        " does not notice damaged ones, so auto never takes it, and it refuses files that it would not read exactly",
    )
    cache_dir: str | None = Field(
        default=None,
        min_length=1,
        description="local folder for copies of remote videos; left out, samurai_batch in the user's cache folder",
    )
    cache_limit_gb: float = Field(
        default=50.0,
        gt=0,
        allow_inf_nan=False,
        description="size that cache_dir is kept below, in 10^9 bytes, by removing what was unused longest",
    )

    @field_validator("weights")
    @classmethod
    def _seed_is_a_number(cls, weights: str | None) -> str | None:
        if weights is not None and weights.startswith("untrained") and not _UNTRAINED.fullmatch(weights):
            raise ValueError("the seed of untrained weights is missing or no whole number, as in untrained:0")
        return weights

    @field_validator("image_size")
    @classmethod
    def _size_fits_the_model(cls, image_size: int | None) -> int | None:
        if image_size is not None and image_size % _IMAGE_SIZE_STEP:
            raise ValueError(f"it should be a multiple of {_IMAGE_SIZE_STEP}")
        return image_size

    @field_validator("num_gpus_per_replica")
    @classmethod
    def _only_one_gpu_is_shared(cls, num_gpus: float | None) -> float | None:
        if num_gpus is not None and num_gpus > 1 and not num_gpus.is_integer():
            raise ValueError("above 1 it should be a whole number")
        return num_gpus

    @model_validator(mode="after")
    def _fields_agree(self) -> "JobConfig":
        if self.pool == "local" and self.ray_address is not None:
            raise _contradiction("ray_address", "pool is local, which uses no Ray; remove one of them")
        if self.device == "cpu" and self.num_gpus_per_replica:
            raise _contradiction("num_gpus_per_replica", "device is cpu, which uses no GPU; remove one of them")
        if self.task == "segment" and self.tracker:
            raise _contradiction("tracker", "task is segment, which follows nothing; remove one of them")
        if self.task == "segment" and self.compile:
            raise _contradiction("compile", "task is segment, whose batches have many sizes; remove one of them")
        if self.pool == "ray" and self.device == "cuda" and self.num_gpus_per_replica == 0:
            raise _contradiction(
                "num_gpus_per_replica", "device is cuda, and Ray hides GPUs not asked for; ask for one"
            )
        return self

    @model_validator(mode="after")
    def _settings_exist(self) -> "JobConfig":
        problems = TrackerSettings.problems(self.mode, self.tracker) | EverythingSettings.problems(self.everything)
        if problems:
            named = {text.partition(":")[0]: text for text in problems.values()}
            raise PydanticCustomError("settings", "settings are wrong", {"problems": named})
        return self

    @model_validator(mode="wrap")
    @classmethod
    def _mistakes_are_told_in_the_users_terms(
        cls, values: object, validate: "ModelWrapValidatorHandler[JobConfig]", info: ValidationInfo
    ) -> "JobConfig":
        """Has to stand last, around all other checks."""
        try:
            return validate(values)
        except ValidationError as error:
            where = info.context or {"source": "job", "places": {}}
            raise ConfigError(
                explained(error, cls.model_fields, where["source"], where["places"])
            ) from None  # pydantic shows values, secrets too


def _contradiction(field: str, reason: str) -> PydanticCustomError:
    """An error of the whole configuration that can still be shown at the field to change."""
    return PydanticCustomError("contradiction", "{reason}", {"field": field, "reason": reason})
