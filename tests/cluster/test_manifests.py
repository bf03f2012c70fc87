"""Everything in `cluster/` that a schema can speak of: KubeRay's CRDs, Ray's launcher, and what the files promise."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from samurai_batch.modeling.cuda_setup import MIN_DRIVERS, version_of

CLUSTER = Path(__file__).parents[2] / "cluster"
SCHEMAS = json.loads(Path(__file__).with_name("kuberay_v1.json").read_text())
RAY_VERSION = re.search(r"^ray==(\S+)", (CLUSTER.parent / "constraints.txt").read_text(), re.MULTILINE)


def manifests(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((CLUSTER / "kubernetes" / name).read_text()))


def validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({**schema, "$defs": SCHEMAS["$defs"]})


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = SCHEMAS["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


def under(schema: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        schema = resolved(schema)["properties"][name]
    return resolved(schema)


def cluster_specs() -> list[dict[str, Any]]:
    [cluster], [job], [nightly] = (manifests(f"{name}.yaml") for name in ("raycluster", "rayjob", "raycronjob"))
    return [cluster["spec"], job["spec"]["rayClusterSpec"], nightly["spec"]["jobTemplate"]["rayClusterSpec"]]


@pytest.mark.parametrize("name", ["raycluster", "rayjob", "raycronjob"])
def test_a_manifest_is_what_kuberay_takes(name: str) -> None:
    [manifest] = manifests(f"{name}.yaml")
    assert manifest["apiVersion"] == "ray.io/v1"
    validator(SCHEMAS["kinds"][manifest["kind"]]).validate(manifest)


@pytest.mark.parametrize(
    ("path", "value"),
    [(("spec", "entrypont"), "python"), (("spec", "backoffLimit"), "two"), (("spec", "submissionMode"), ["x"])],
)
def test_the_schemas_refuse_what_kuberay_refuses(path: tuple[str, str], value: object) -> None:
    [manifest] = manifests("rayjob.yaml")
    manifest[path[0]][path[1]] = value
    with pytest.raises(jsonschema.ValidationError):
        validator(SCHEMAS["kinds"]["RayJob"]).validate(manifest)


def test_the_three_ways_describe_one_cluster_of_the_pinned_ray() -> None:
    first, *others = cluster_specs()
    assert all(other == first for other in others)
    assert RAY_VERSION is not None
    assert first["rayVersion"] == RAY_VERSION[1]


def test_no_replica_is_placed_on_the_head_and_workers_come_with_the_work() -> None:
    spec = cluster_specs()[0]
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert [(group["minReplicas"], group["replicas"]) for group in spec["workerGroupSpecs"]] == [(0, 0)]


def test_the_plain_cron_job_forbids_overlapping_runs_and_has_minimal_rights() -> None:
    cron, account, role, binding = manifests("cronjob.yaml")
    assert cron["spec"]["concurrencyPolicy"] == "Forbid"
    assert cron["spec"]["startingDeadlineSeconds"] > 0
    pod = cron["spec"]["jobTemplate"]["spec"]["template"]
    template = under(SCHEMAS["kinds"]["RayCluster"], "spec", "headGroupSpec", "template")
    validator(template).validate(pod)
    assert pod["spec"]["serviceAccountName"] == account["metadata"]["name"] == binding["subjects"][0]["name"]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert role["rules"] == [
        {"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["create", "delete", "get", "list", "watch"]}
    ]
    [job] = manifests("rayjob.yaml")
    deleted, _, waited = pod["spec"]["initContainers"]
    assert job["metadata"]["name"] in deleted["args"]
    assert f"rayjob/{job['metadata']['name']}" in waited["args"]


def test_every_entry_point_that_a_manifest_names_is_there() -> None:
    entry_points = [manifests("rayjob.yaml")[0]["spec"], manifests("raycronjob.yaml")[0]["spec"]["jobTemplate"]]
    for spec in entry_points:
        python, path, _ = spec["entrypoint"].split()
        assert python == "python"
        assert (CLUSTER.parent / path).is_file()


@pytest.mark.parametrize("cloud", ["aws", "gcp"])
def test_a_launcher_file_passes_rays_own_validation(cloud: str) -> None:
    config = yaml.safe_load((CLUSTER / cloud / "cluster.yaml").read_text())
    prepared = prepare_config(config)
    validate_config(prepared)
    head = config["available_node_types"][config["head_node_type"]]
    assert head["resources"] == {"CPU": 0}
    assert "spot" not in json.dumps(head).lower()
    workers = [one for name, one in config["available_node_types"].items() if name != config["head_node_type"]]
    assert all("spot" in json.dumps(one["node_config"]).lower() for one in workers)
    assert all(one["min_workers"] == 0 for one in workers)


def test_images_of_nodes_have_a_driver_for_the_cuda_of_torch() -> None:
    """PyTorch 2.13 from PyPI is built with CUDA 13."""
    gcp = (CLUSTER / "gcp" / "cluster.yaml").read_text()
    families = re.findall(r"sourceImage: .*-nvidia-(\d+)\b", gcp)
    assert len(families) == 2
    assert all(int(driver) >= version_of(MIN_DRIVERS[13])[0] for driver in families)
    aws = yaml.safe_load((CLUSTER / "aws" / "cluster.yaml").read_text())
    images = {one["node_config"]["ImageId"] for one in aws["available_node_types"].values()}
    assert images == {"YOUR_AMI"}  # Ray's default is of 2023
    for name in ("README.md", "Dockerfile.cuda", "aws/cluster.yaml"):
        assert MIN_DRIVERS[13] in (CLUSTER / name).read_text(), name


def test_the_image_of_gpu_nodes_can_compile() -> None:
    assert {"gcc", "libc6-dev"} <= set((CLUSTER / "Dockerfile.cuda").read_text().split())


def test_the_image_of_gpu_nodes_is_given_what_computing_its_checks_and_decoding_take_of_the_driver() -> None:
    (given,) = re.findall(r"NVIDIA_DRIVER_CAPABILITIES=(\S+)", (CLUSTER / "Dockerfile.cuda").read_text())
    assert {"compute", "utility", "video"} <= set(given.split(","))


def test_the_iam_policy_grants_objects_and_listing_and_no_more() -> None:
    policy = json.loads((CLUSTER / "aws" / "iam-policy.json").read_text())
    actions = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert actions == {"s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"}
    for statement in policy["Statement"]:
        assert statement["Effect"] == "Allow"
        assert all(one.startswith("arn:aws:s3:::YOUR_BUCKET") for one in statement["Resource"])
        if {"s3:PutObject", "s3:DeleteObject"} & set(statement["Action"]):
            assert statement["Resource"] == ["arn:aws:s3:::YOUR_BUCKET/output/*"]


def test_the_iam_policy_lets_s3_say_that_an_object_does_not_exist() -> None:
    """Without s3:ListBucket, S3 answers 403 for a missing object; a request for one object has no s3:prefix."""
    policy = json.loads((CLUSTER / "aws" / "iam-policy.json").read_text())
    [listing] = [one for one in policy["Statement"] if "s3:ListBucket" in one["Action"]]
    assert all(operator.endswith("IfExists") for operator in listing["Condition"])


@pytest.mark.parametrize("name", ["Dockerfile.cpu", "Dockerfile.cuda"])
def test_hadolint_has_nothing_to_say_of_a_dockerfile(name: str) -> None:
    # DL3008 wants pinned versions of Debian's packages, which its mirrors drop when they are superseded.
    hadolint = Path(sys.executable).with_name("hadolint")
    found = subprocess.run([hadolint, "--ignore=DL3008", "--no-color", CLUSTER / name], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, ""), found.stdout + found.stderr


@pytest.mark.parametrize("name", ["Dockerfile.cpu", "Dockerfile.cuda"])
def test_a_dockerfile_copies_what_is_there_and_installs_the_tested_versions(name: str) -> None:
    steps = re.sub(r"\\\n\s*", "", (CLUSTER / name).read_text()).splitlines()
    assert [step for step in steps if step.startswith("USER ")] == ["USER 1000"]
    for step in steps:
        if step.startswith("RUN pip install"):
            assert "--constraint constraints.txt" in step
        if step.startswith("COPY "):
            assert all((CLUSTER.parent / source).exists() for source in step.split()[1:-1])
