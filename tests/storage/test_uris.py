"""URIs as text."""

import pytest

from samurai_batch.storage import without_signature

SIGNED = {
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F2026&X-Amz-Date=20261129T000000Z&X-Amz-Signature={}": "",
    "AWSAccessKeyId=AKIA&Expires=1&Signature={}": "",
    "X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Date=20261129&X-Goog-Signature={}": "",
    "sv=2025-01-05&se=2026-11-30&sp=r&sr=b&sig={}": "",
    "Policy=abc&Signature={}&Key-Pair-Id=K1": "",
    "versionId=7&X-Amz-Signature={}": "?versionId=7",
}


@pytest.mark.parametrize("query", SIGNED)
def test_a_url_that_is_signed_again_is_the_same_file(query: str) -> None:
    first, second = (without_signature(f"https://x.org/clip.mp4?{query.format(one)}") for one in ("abc", "def"))
    assert first == second == f"https://x.org/clip.mp4{SIGNED[query]}"


@pytest.mark.parametrize(
    "uri",
    [
        "https://x.org/clip.mp4",
        "https://x.org/get?id=7&se=1&policy=none",
        "s3://bucket/what?.mp4",
        "/data/clip?sig=1.mp4",
        "https://x.org/clip.mp4?",
    ],
)
def test_a_uri_without_a_signature_stays_as_it_is(uri: str) -> None:
    assert without_signature(uri) == uri
