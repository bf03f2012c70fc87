"""A whole job against an object store that fails now and then leaves the tables it leaves without that."""

from pathlib import Path

import pandas as pd
import pytest

from samurai_batch import storage
from samurai_batch.ledger.status import exit_code
from samurai_batch.manifest import write_prompts
from samurai_batch.runtime.run import run_job
from samurai_batch.storage import retry
from tests.runtime.faulty_proxy import FAULTS, faulty_proxy
from tests.runtime.test_jobs import make_config, make_tracks, rows_of

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many retries, sooner: ours and those of S3's own client."""
    monkeypatch.setattr(retry, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr("botocore.retryhandler.delay_exponential", lambda **wait: 0.01)


def test_a_job_over_a_failing_store_leaves_the_same_tables(
    s3_endpoint: str, s3_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_prompts(f"{s3_uri}/prompts.parquet", make_tracks(s3_uri))
    quiet = make_config(s3_uri, "quiet", cache_dir=str(tmp_path / "quiet"))
    assert exit_code(run_job(quiet)) == 0
    disturbed = make_config(s3_uri, "disturbed", cache_dir=str(tmp_path / "disturbed"))
    with faulty_proxy(s3_endpoint) as proxy, monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", proxy.url)
        summary = run_job(disturbed)
        assert exit_code(summary) == 0
        assert {fault for fault in FAULTS if proxy.num_faults[fault] >= 3} == set(FAULTS)
    pd.testing.assert_frame_equal(rows_of(disturbed), rows_of(quiet))
    assert not storage.list_names(f"{disturbed.output}/_work")


def test_a_lost_answer_to_a_conditional_put_is_not_taken_for_another_writer(
    s3_endpoint: str, s3_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faulty_proxy(s3_endpoint) as proxy, monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", proxy.url)
        uris = [f"{s3_uri}/{number}" for number in range(30)]
        assert all(storage.create_bytes(uri, b"ours") for uri in uris)
        assert not any(storage.create_bytes(uri, b"theirs") for uri in uris)
        assert proxy.num_faults["cut after"] + proxy.num_faults["busy after"] >= 4
