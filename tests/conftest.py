"""Shared fixtures: real servers of object stores on loopback, with a bucket or container for each test."""

import os
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import hypothesis
import pytest

from tests.storage.servers import (
    azure_connection,
    azure_server,
    gcs_server,
    make_gcs_bucket,
    moto_server,
)

S3_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}

# No time decides a test: on a busy machine any example may take long.
hypothesis.settings.register_profile(
    "no deadline", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("no deadline")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadgroup`, files with tests of one group go to one worker: of "ray", one cluster at a time.

    Groups come first, the largest before the others. pytest-xdist 3.8 does not recognise groups under pytest 9.2, which
    builds test ids differently.
    """
    if config.getoption("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class FilesByGroup(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return groups.get(nodeid.partition("::")[0], nodeid)

    root = Path(config.rootpath)
    groups = {
        path.relative_to(root).as_posix(): found[1]
        for path in (root / "tests").rglob("test_*.py")
        if (found := re.search(r'xdist_group\("(\w+)"\)', path.read_text(encoding="utf-8")))
    }
    return FilesByGroup(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What uses a server is marked `server`, so that `make unit` leaves it out, whoever forgets it."""
    servers = {"s3_endpoint", "gcs_endpoint", "azure_endpoint"}
    for item in items:
        if isinstance(item, pytest.Function) and servers & set(item.fixturenames):
            item.add_marker("server")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch uses one thread: small networks are slower with more."""
    import torch  # not for tests that do without

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a moto server process, which the environment of this process and its children points to."""
    with moto_server(tmp_path_factory.mktemp("moto") / "log") as url, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in {**S3_VARIABLES, "AWS_ENDPOINT_URL": url}.items():
            patch.setenv(name, value)
        yield url


@pytest.fixture(scope="session")
def make_bucket(s3_endpoint: str) -> Callable[[], str]:
    """Creates an empty bucket and returns its ``s3://`` URI."""
    client = boto3.client("s3", endpoint_url=s3_endpoint)

    def make() -> str:
        name = f"bucket-{uuid.uuid4().hex}"
        client.create_bucket(Bucket=name)
        return f"s3://{name}"

    return make


@pytest.fixture
def s3_uri(make_bucket: Callable[[], str]) -> str:
    """A folder in a new bucket."""
    return make_bucket() + "/folder"


@pytest.fixture(scope="session")
def gcs_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Google Cloud Storage emulator, as `s3_endpoint`."""
    with gcs_server(tmp_path_factory.mktemp("gcs") / "log") as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", url)
        yield url


@pytest.fixture
def gcs_uri(gcs_endpoint: str) -> str:
    """A folder in a new bucket."""
    name = f"bucket-{uuid.uuid4().hex}"
    make_gcs_bucket(gcs_endpoint, name)
    return f"gs://{name}/folder"


@pytest.fixture(scope="session")
def azure_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an account of an Azurite process, as `s3_endpoint`."""
    with azure_server(tmp_path_factory.mktemp("azure") / "log") as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AZURE_STORAGE_CONNECTION_STRING", azure_connection(url))
        yield url


@pytest.fixture
def azure_uri(azure_endpoint: str) -> str:
    """A folder in a new container."""
    from azure.storage.blob import BlobServiceClient  # not for tests that do without

    name = f"container-{uuid.uuid4().hex}"
    with BlobServiceClient.from_connection_string(azure_connection(azure_endpoint)) as client:
        client.create_container(name)
    return f"az://{name}/folder"
