import copy
import pickle
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.job import JobConfig, load_job, make_job
from samurai_batch.tracking.settings import TrackerOptions

MINIMAL = "prompts: prompts.csv\noutput: out\n"


def load(text: str, **overrides: str) -> JobConfig:
    storage.write_bytes("memory://job/job.yaml", text.encode())
    return load_job("memory://job/job.yaml", overrides)


def problems_of(text: str, **overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text, **overrides)
    return str(caught.value).split("\n")


def test_prompts_and_output_are_all_a_job_needs() -> None:
    job = load(MINIMAL)
    assert job == JobConfig(prompts="prompts.csv", output="out")
    assert (job.model, job.mode, job.pool, job.chunk_frames) == ("nano", "samurai", "ray", 200)


def test_a_job_survives_yaml_and_json() -> None:
    job = make_job(
        {
            "prompts": "s3://b/p.parquet",
            "output": "s3://b/out",
            "weights": "untrained:7",
            "image_size": 256,
            "tracker": {"kf_score_weight": 0.15, "motion_state": "xywh", "min_obj_score_logits": None},
            "replicas": 2,
            "num_cpus_per_replica": 1,
            "keep_partial": True,
        }
    )
    assert load(yaml.safe_dump(job.model_dump(mode="json"))) == job
    assert JobConfig.model_validate_json(job.model_dump_json()) == job


def test_every_field_is_described() -> None:
    assert [name for name, field in JobConfig.model_fields.items() if not field.description] == []


def test_a_job_cannot_be_changed() -> None:
    job = load(MINIMAL)
    with pytest.raises(ValidationError, match="frozen"):
        job.output = "elsewhere"


def test_overrides_replace_single_fields_and_tracker_settings() -> None:
    job = load(
        MINIMAL + "replicas: 2\ntracker: {kf_score_weight: 0.1, fill_hole_area: 0}\n",
        replicas="none",
        output="2024",
        keep_partial="true",
        cache_limit_gb="1.5",
        image_size="512",
        **{"tracker.kf_score_weight": "0.25", "tracker.motion_state": "xywh"},
    )
    assert (job.replicas, job.output, job.keep_partial) == (None, "2024", True)
    assert (job.cache_limit_gb, job.image_size) == (1.5, 512)
    assert job.tracker == TrackerOptions(kf_score_weight=0.25, fill_hole_area=0, motion_state="xywh")


def test_blanks_around_texts_of_a_job_say_nothing_and_a_dollar_within_a_name_is_one() -> None:
    job = load("prompts: |\n  s3://b/p_$folder$.csv\noutput: ' o '\n")
    assert (job.prompts, job.output) == ("s3://b/p_$folder$.csv", "o")


@given(
    st.sampled_from(sorted(JobConfig.model_fields)), st.text(max_size=6) | st.sampled_from(["1", "0.5", "nan", "{}"])
)
def test_any_override_is_taken_or_refused_with_its_name(name: str, text: str) -> None:
    try:
        load(MINIMAL, **{name: text})
    except ConfigError as error:
        message = str(error)
        assert re.match(rf"command line: {name} is ", message), message


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("replicas: 0", "replicas is 0: it should be greater than or equal to 1 (number of replicas, which"),
        ("replicas: '4'", "replicas is '4': it should be a valid integer (number of replicas"),
        ("replicas: true", "replicas is True: it should be a valid integer"),
        (
            "keep_partial: 1",
            "keep_partial is 1: it should be a valid boolean (publish the rows of a truncated video",
        ),
        ("output: 3", "output is 3: it should be a valid string (output folder"),
        ("output: ''", "output is '': it should have at least 1 character (output folder"),
        (
            "dtype: float8",
            "dtype is 'float8': it should be 'auto', 'float32', 'bfloat16', 'float16' or 'float64' (number",
        ),
        ("device: gpu", "device is 'gpu': it should be 'auto', 'cpu' or 'cuda'"),
        ("image_size: 100", "image_size is 100: it should be a multiple of 32 (side in pixels"),
        ("image_size: -32", "image_size is -32: it should be greater than 0"),
        ("cache_limit_gb: .nan", "cache_limit_gb is nan: it should be a finite number"),
        ("weights: untrained", "weights is 'untrained': the seed of untrained weights is missing"),
        ("weights: untrained:-1", "weights is 'untrained:-1': the seed of untrained weights is missing or no whole"),
        ("num_gpus_per_replica: 1.5", "num_gpus_per_replica is 1.5: a replica computes on one GPU, so it should be"),
        (
            "num_gpus_per_replica: 2",
            "num_gpus_per_replica is 2: a replica computes on one GPU, so it should be at",
        ),
        (
            "tracker: samurai",
            "tracker is 'samurai': it should hold settings by name, as in {name: value} (settings",
        ),
        ("output: ${OUT}/run", "output is '${OUT}/run': environment variables are not filled in; write the path out"),
        ("output: $HOME/run", "output is '$HOME/run': environment variables are not filled in"),
        ("weights: s3://b/$(model).pt", "weights is 's3://b/$(model).pt': environment variables are not filled in"),
        ("cache_dir: /scratch/$USER", "cache_dir is '/scratch/$USER': environment variables are not filled in"),
        ("weight: a.pt", "weight is not a field of a job; did you mean weights?"),
        ("colour: red", "colour is not a field of a job; known are prompts, output, model"),
        ("frame_step: 0", "frame_step is 0: it should be greater than or equal to 1"),
        ("interpolate_boxes: true", "interpolate_boxes is given, but frame_step is 1, which leaves no frame out"),
        ("task: segment\nframe_step: 2", "frame_step is given, but task is segment"),
        ("task: segment\non_cut: end", "on_cut is given, but task is segment"),
        ("on_cut: stop", "on_cut is 'stop': it should be 'ignore', 'continue' or 'end' (what becomes"),
        ("chunk_frames: 2024-01-01", "chunk_frames is datetime.date(2024, 1, 1): it should be a valid integer"),
        ("pool: local\nray_address: auto", "ray_address is given, but pool is local, which uses no Ray; remove one"),
        ("num_gpus_per_replica: 1\ndevice: cpu", "num_gpus_per_replica is given, but device is cpu"),
        (
            "num_gpus_per_replica: 0\ndevice: cuda",
            "num_gpus_per_replica is given, but device is cuda, and replicas",
        ),
        (
            "compile: true\ntask: segment",
            "compile is given, but task is segment, whose batches have many sizes; remove",
        ),
        (
            "cuda_graphs: true\ntask: segment",
            "cuda_graphs is given, but task is segment, whose batches have many sizes; remove",
        ),
        ("cuda_graphs: true\ndevice: cpu", "cuda_graphs is given, but device is cpu, which has none; remove one"),
        ("weights: https://me:secret@host/w.pt?token=1\nreplicas: 0", "replicas is 0"),
    ],
)
def test_a_wrong_value_is_named_with_file_line_and_remedy(line: str, problem: str) -> None:
    text = "# a comment\n" + "".join(known for known in MINIMAL.splitlines(True) if known[:6] != line[:6])
    (found,) = problems_of(f"{text}{line}\n")
    field = problem.split(" ")[0]
    number = 1 + next(n for n, known in enumerate(f"{text}{line}".splitlines()) if known.startswith(f"{field}:"))
    assert found.startswith(f"memory://job/job.yaml:{number}: {problem}")
    assert "secret" not in found


def test_all_mistakes_are_told_each_on_its_line() -> None:
    found = problems_of(
        "output: out\nreplicas: -1\ntracker:\n  fill_hole_area: 1\n  mode: [a]\nmodle: x\n", max_attempts="none"
    )
    assert [line.split(" is ")[0] for line in found] == [
        "memory://job/job.yaml: prompts",
        "memory://job/job.yaml:5: tracker.mode",
        "memory://job/job.yaml:2: replicas",
        "command line: max_attempts",
        "memory://job/job.yaml:6: modle",
    ]
    assert found[0].endswith(
        "prompts is missing; add it (prompts table: path or URI of a .parquet, .csv or .jsonl file)"
    )
    assert "tracker.mode is not a setting; known are stable_frames_threshold," in found[1]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: &x [1]\nb: *x\n", ":2: aliases (*name) are not allowed in a job; write the value out"),
        ("a: " + "[" * 50_000, ":1: nested more than 10 deep; a job is a flat list of fields"),
        ("prompts: a\noutput: b\nprompts: c\n", ":3: prompts was given in line 1 already; remove one of them"),
        ("tracker:\n  mode: a\n  mode: b\n", ":3: tracker.mode was given in line 2 already; remove one of them"),
        ("- a\n- b\n", ":1: this is not a job; write lines of the form `field: value`"),
        ("just words", ":1: this is not a job"),
        ("prompts: [a\noutput: b\n", ":2: this is not YAML: "),
        ("prompts: a\n\toutput: b\n", ":2: this is not YAML: "),
        ("a: 1\n---\nb: 2\n", ":2: this is not YAML: but found another document"),
        ("prompts: !!python/object/apply:os.getcwd []\n", ":1: types (!name) are not allowed in a job"),
        ("prompts: p\noutput: !!bool perhaps\n", ":2: types (!name) are not allowed in a job"),
        ("prompts: p\noutput: !!timestamp never\n", ":2: types (!name) are not allowed in a job"),
        ("? [a, b]\n: c\n", ":1: the name of a field is a word"),
        ("prompts: \x07\n", ": this is not YAML text: "),
        ("prompts: 2024-99-99\n", ": a value cannot be read: "),
        ("replicas: " + "9" * 5000, ": a value cannot be read: "),
        ("#" * 1_000_001, ": 1000001 bytes are too many for a job's YAML file"),
    ],
)
def test_a_file_that_is_no_job_is_refused_with_the_line(text: str, problem: str) -> None:
    (found,) = problems_of(text)
    assert found.startswith(f"memory://job/job.yaml{problem}")


def test_an_empty_file_lacks_what_a_job_needs() -> None:
    assert [line.split(" is ")[0] for line in problems_of("# nothing yet\n")] == [
        "memory://job/job.yaml: prompts",
        "memory://job/job.yaml: output",
    ]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"job\.yaml: there is no such file; give the path"):
        load_job(str(tmp_path / "job.yaml"))


@given(st.text(max_size=30) | st.binary(max_size=30).map(lambda data: data.decode("latin-1")))
def test_junk_is_refused_as_a_wrong_configuration(text: str) -> None:
    with pytest.raises(ConfigError):
        load(text)


def test_keywords_are_checked_in_the_same_words() -> None:
    with pytest.raises(ConfigError, match=r"^flags: replicas is 0: it should be greater than or equal to 1"):
        make_job({"prompts": "p", "output": "o", "replicas": 0}, source="flags")


def test_a_job_that_is_made_directly_is_checked_in_the_same_words() -> None:
    with pytest.raises(ConfigError, match=r"^job: replicas is 0: it should be greater than or equal to 1"):
        JobConfig(prompts="p", output="o", replicas=0)
    with pytest.raises(ConfigError, match=r"^job: output is missing; add it"):
        JobConfig(prompts="p")  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match=r"^job: ray_address is given, but pool is local"):
        JobConfig(prompts="p", output="o", pool="local", ray_address="auto")
    with pytest.raises(ConfigError, match=r"^job: modle is not a field of a job; did you mean mode\?"):
        JobConfig(prompts="p", output="o", modle="nano")  # type: ignore[call-arg]


def test_a_job_is_a_value_that_travels() -> None:
    job = JobConfig(prompts="p", output="o", tracker=TrackerOptions(fill_hole_area=0))
    assert pickle.loads(pickle.dumps(job)) == job == copy.deepcopy(job)  # noqa: S301
    assert job.model_copy(update={"output": "elsewhere"}).output == "elsewhere"


def test_settings_that_do_not_exist_are_told_with_their_lines() -> None:
    found = problems_of(
        MINIMAL + "tracker:\n  fill_hole_area: 1\n  kf_weight: 0.1\neverything:\n  points_per_side: 0\n"
    )
    assert found == [
        "memory://job/job.yaml:5: tracker.kf_weight is not a setting; did you mean kf_score_weight?",
        "memory://job/job.yaml:7: everything.points_per_side is 0: it should be greater than or equal to 1 "
        "(number of point prompts along each side of the image)",
    ]


def test_typos_of_settings_are_told_from_a_file_and_from_the_command_line() -> None:
    meant = "is not a setting; did you mean stable_frames_threshold?"
    assert problems_of(MINIMAL + "tracker: {stable_frame_threshold: 3}\n") == [
        f"memory://job/job.yaml:3: tracker.stable_frame_threshold {meant}"
    ]
    assert problems_of(MINIMAL, **{"tracker.stable_frame_threshold": "3"}) == [
        f"command line: tracker.stable_frame_threshold {meant}"
    ]


def test_a_setting_that_is_given_as_a_field_is_told_where_it_belongs() -> None:
    found = problems_of(MINIMAL, kf_score_weight="0.2")
    assert found == ["command line: kf_score_weight is not a field of a job; did you mean tracker.kf_score_weight?"]


def test_only_settings_that_differ_from_their_defaults_are_written() -> None:
    job = load(MINIMAL + "tracker: {kf_score_weight: 1, fill_hole_area: 8}\n", **{"everything.box_nms_thresh": "1"})
    assert repr((job.model_dump()["tracker"], job.model_dump()["everything"])) == (
        "({'kf_score_weight': 1}, {'box_nms_thresh': 1})"
    )
