"""Which URIs can be used, and what is said of those that cannot."""

import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from samurai_batch import read_masks, storage
from samurai_batch.errors import StoreError, UsageError
from samurai_batch.runtime.dry_run import plan_job
from samurai_batch.runtime.run import run_job
from samurai_batch.tasks import Video
from tests.runtime.fakes import NoProgress, box_track
from tests.runtime.test_jobs import make_config

MODULES = {"gs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "hf": "huggingface_hub"}
EXTRAS = {"gs": "gcs", "az": "azure", "abfs": "azure", "hf": "hf"}


@pytest.fixture(params=MODULES)
def missing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A protocol whose client is not installed."""
    monkeypatch.setitem(sys.modules, MODULES[request.param], None)
    loaded = sys.modules["fsspec.registry"]._registry  # fsspec.registry itself cannot be changed
    monkeypatch.delitem(loaded, request.param, raising=False)
    return str(request.param)


def test_the_error_for_a_missing_client_names_the_extra_to_install(missing: str, tmp_path: Path) -> None:
    uri = f"{missing}://bucket/folder"
    message = rf"{missing}:// needs {MODULES[missing]}: pip install 'samurai-batch\[{EXTRAS[missing]}\]'"
    with pytest.raises(StoreError, match=message):
        storage.read_bytes(uri)
    track = box_track(Video("a", f"{uri}/a.mp4"), "x")
    with pytest.raises(UsageError, match=message):
        run_job(make_config(str(tmp_path), "out"), tracks=[track], progress=NoProgress())
    with pytest.raises(UsageError, match=message):
        plan_job(make_config(str(tmp_path), "out"), tracks=[track])
    assert not (tmp_path / "out").exists()


def test_the_command_line_prints_a_store_error_in_one_line_and_exits_with_2(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['gcsfs'] = None; from samurai_batch.cli import main;"
        "sys.argv = ['samurai-batch', 'track', 'clip.mp4', '--box', '1,2,30,40', '-o', 'gs://bucket/out']; main()"
    )
    (tmp_path / "clip.mp4").touch()
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert run.returncode == 2
    said = "".join(run.stderr.splitlines())
    assert "gs:// needs gcsfs: pip install 'samurai-batch[gcs]'" in said.replace("  ", " ")
    assert "Traceback" not in said


@pytest.mark.parametrize("uri", ["carrier-pigeon://coop/7", "sftp://host/file"])
def test_unknown_protocols_and_missing_packages_are_reported(uri: str) -> None:
    with pytest.raises(StoreError, match=r"is an unknown protocol|needs a package that is not installed"):
        storage.read_bytes(uri)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("http://host/out", "a web server does not accept files"),
        ("https://host/out?sig=secret", r"out\?\*\*\*: https:// cannot be an output"),
        ("ftp://host/out", "ftp:// cannot be an output"),
        ("sftp://host/out", "sftp:// cannot be an output: it cannot replace files atomically"),
        ("hdfs://host/out", "hdfs:// cannot be an output: it cannot replace files atomically"),
        ("github://org:repo@main/out", "it is read-only"),
        ("zip://out::s3://bucket/a.zip", "archives cannot be written to"),
        ("simplecache::s3://bucket/out", "a chain of stores cannot be an output"),
        ("hf://datasets/org/name", "a repository cannot be an output"),
        ("s3://", "the bucket is missing"),
        ("s3:///out", "the bucket is missing"),
        ("gs:///out", "the bucket is missing"),
        ("az:///out", "the bucket is missing"),
        ("s3://bucket//out", "the path contains //"),
        ("gs://bucket/a//b", "the path contains //"),
        ("carrier-pigeon://coop/7", "is an unknown protocol"),
        ("s3:/bucket/out", "one slash after s3: makes it a folder of this machine; write s3://bucket/out"),
        ("file:/data/out", "write file:///data/out"),
        ("~no-such-user/out", "~ names no home folder here"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_beforehand(uri: str, message: str, tmp_path: Path) -> None:
    config = make_config(str(tmp_path), "out").model_copy(update={"output": uri})
    with pytest.raises(StoreError, match=message) as caught:
        run_job(config, tracks=[], progress=NoProgress())
    assert isinstance(caught.value, UsageError)
    assert "secret" not in str(caught.value)
    with pytest.raises(StoreError, match=message):
        plan_job(config, tracks=[])


def test_a_video_whose_uri_has_lost_a_slash_is_refused_beforehand(tmp_path: Path) -> None:
    track = box_track(Video("a", str(Path("gs://bucket/a.mp4"))), "x")
    with pytest.raises(StoreError, match=r"gs:/bucket/a\.mp4: one slash .* write gs://bucket/a\.mp4"):
        run_job(make_config(str(tmp_path), "out"), tracks=[track], progress=NoProgress())
    assert not (tmp_path / "out").exists()


def test_a_relative_path_in_a_folder_that_was_deleted_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for call in (storage.read_bytes, storage.list_names, read_masks):
        with pytest.raises(StoreError, match="out: the current folder has been deleted"):
            call("out")
    storage.write_bytes(str(tmp_path / "whole" / "path"), b"x")


@pytest.mark.parametrize(
    "uri", ["/data/out", "out", "file:///data/out", "s3://bucket", "s3://bucket/out/", "memory://o", "./s3:/a"]
)
def test_outputs_that_can_be_written_are_not_refused(uri: str) -> None:
    storage.check_output(uri, in_one_process=True)


def test_memory_uris_are_refused_for_replicas_on_ray(tmp_path: Path) -> None:
    config = make_config(str(tmp_path), "out", pool="ray")
    with pytest.raises(StoreError, match=r"memory:// is not shared between processes.*pool: local"):
        run_job(config.model_copy(update={"output": "memory://out"}), tracks=[], progress=NoProgress())
    track = box_track(Video("a", "memory://videos/a.mp4"), "x")
    with pytest.raises(StoreError, match=r"memory:// is not shared between processes"):
        run_job(config, tracks=[track], progress=NoProgress())


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
@pytest.mark.parametrize("value", ["host:9000", "host", "ftp://host", "http://", "user:pass@host:9000"])
def test_an_endpoint_that_is_no_url_is_named_by_its_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    for call in (storage.read_bytes, storage.list_names, read_masks):
        with pytest.raises(StoreError, match=rf"{name}.* is no URL; begin it with http:// or https://"):
            call("s3://bucket/folder")


# -- an S3 whose puts know no conditions


@pytest.mark.server
@pytest.mark.parametrize("code", ["NotImplemented", "InvalidArgument"])
def test_a_store_without_conditional_writes_is_read_before_the_write_with_one_warning(
    code: str, s3_uri: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import s3fs

    from samurai_batch.storage import objects

    put = s3fs.S3FileSystem._call_s3

    async def refuse_conditions(self: object, method: str, *arguments: object, **options: object) -> object:
        if method == "put_object" and options.get("IfNoneMatch"):
            import botocore.exceptions
            from s3fs.errors import translate_boto_error

            answer = {"Error": {"Code": code, "Message": "A header you provided implies functionality ..."}}
            status = {"ResponseMetadata": {"HTTPStatusCode": 501 if code == "NotImplemented" else 400}}
            raise translate_boto_error(botocore.exceptions.ClientError(answer | status, "PutObject"))
        return await put(self, method, *arguments, **options)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", refuse_conditions)
    objects._warn_of_unconditional_writes.cache_clear()
    assert storage.create_bytes(f"{s3_uri}/lease", b"ours")
    assert storage.create_bytes(f"{s3_uri}/lease", b"ours")
    assert not storage.create_bytes(f"{s3_uri}/lease", b"theirs")
    assert storage.read_bytes(f"{s3_uri}/lease") == b"ours"
    assert caplog.text.count("no conditional writes") == 1


@pytest.mark.server
def test_a_public_bucket_is_read_without_credentials(s3_uri: str, s3_endpoint: str, tmp_path: Path) -> None:
    storage.write_bytes(f"{s3_uri}/file", b"public")
    bucket, _, _ = s3_uri.removeprefix("s3://").partition("/")
    boto3.client("s3", endpoint_url=s3_endpoint).put_object_acl(Bucket=bucket, Key="folder/file", ACL="public-read")
    code = f"from samurai_batch import storage; print(storage.read_bytes('{s3_uri}/file'))"
    clean = {"PATH": "/usr/bin:/bin", "AWS_ENDPOINT_URL": s3_endpoint, "AWS_EC2_METADATA_DISABLED": "true"}
    clean |= {"HOME": str(tmp_path), "PYTHONPATH": str(Path(storage.__file__).parents[2])}
    for more in ({"FSSPEC_S3_ANON": "true"}, {"FSSPEC_S3": '{"anon": true}'}):
        run = subprocess.run([sys.executable, "-c", code], env=clean | more, capture_output=True, timeout=600)
        assert run.stdout == b"b'public'\n", run.stderr
    run = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, timeout=600)
    assert b"FSSPEC_S3_ANON=true" in run.stderr


@pytest.mark.parametrize(
    "uri", ["https://host/report.html?sig=secret", "zip://a::s3://bucket/b.zip", "hf://org/name/a"]
)
def test_every_write_to_a_read_only_store_is_refused(uri: str) -> None:
    for write in (storage.write_bytes, storage.create_bytes):
        with pytest.raises(StoreError, match="cannot be an output") as caught:
            write(uri, b"x")
        assert "secret" not in str(caught.value)
