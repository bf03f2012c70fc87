"""What is secret leaves every text, and what is not stays."""

import io
import logging
import pickle
import subprocess
import traceback
import urllib.error
import urllib.parse

import aiohttp
import google.auth.exceptions
import pytest
import yarl
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from samurai_batch import errors
from samurai_batch.redaction import (
    get_logger,
    holds_secret,
    redact,
    redact_about,
    redact_error,
    redact_uri,
    redact_values,
)
from samurai_batch.storage.failures import read_failure

KEY_ID = "AKIAIOSFODNN7EXAMPLE"
TOKEN = "hf_" + "aB3" * 10


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("reading 'https://u:p4ss@h/x.mp4?sig=abc&b=c': failed", "reading 'https://***@h/x.mp4?***': failed"),
        ("(https://h/x?sig=abc, then s3://k:a/b+c@bucket/k)", "(https://h/x?***, then s3://***@bucket/k)"),
        ("https://h/a b.mp4?sig=abc does not exist", "https://h/a b.mp4?*** does not exist"),
        ("zip://a::https://u:p@h/x?sig=1#f", "zip://a::https://***@h/x?***"),
        ("zip://*::simplecache::gcs://k:s@b/f", "zip://*::simplecache::gcs://***@b/f"),
        ("https://u:p@ss@h/x", "https://***@h/x"),
        ("https://token@h/x", "https://***@h/x"),
        ("hf://token@datasets/x", "hf://***@datasets/x"),
        ("https://h/#access_token=abc&x=1", "https://h/#***"),
        ("https%3A%2F%2Fuser%3Apass%40host%2Fx%3Fsig%3Dabc", "https%3A%2F%2F***%40host%2Fx%3F***"),
        ("https%253A%252F%252Fu%253Ap%2540h%252Fx", "https%253A%252F%252F***%2540h%252Fx"),
        ("AccountName=x;AccountKey=ab/c==;EndpointSuffix=core", "AccountName=x;AccountKey=***;EndpointSuffix=core"),
        ("SharedAccessSignature=sv%3D1", "SharedAccessSignature=***"),
        ("Authorization: Bearer abcdefghi", "Authorization: ***"),
        ("sent Bearer abcdefghi to h", "sent Bearer *** to h"),
        ("AWS4-HMAC-SHA256 Credential=k/2026, Signature=zzz", "AWS4-HMAC-SHA256 Credential=***, Signature=***"),
        (f"the key {KEY_ID} is not known", "the key *** is not known"),
        (f"InvalidAccessKeyId: {KEY_ID}", "InvalidAccessKeyId: ***"),
        (f"as {TOKEN}.", "as ***."),
        ("{'key': 1, 'secret': 'a/b c', 'x': 2}", "{'key': 1, 'secret': '***', 'x': 2}"),
        ('{"SessionToken": "a b", "x": 1}', '{"SessionToken": "***", "x": 1}'),
        ("<AWSAccessKeyId>x</AWSAccessKeyId>", "<AWSAccessKeyId>***</AWSAccessKeyId>"),
        ("password: hunter2", "password: ***"),
        ('Invalid bucket name "k:a/b+c@bucket": it', 'Invalid bucket name "***@bucket": it'),
        ("/cache/ab/clip.mp4?X-Amz-Signature=abc: too long", "/cache/ab/clip.mp4?***: too long"),
        ("-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY----- x", "*** x"),
        ('{\\"token\\": \\"a b\\", \\"x\\": 1}', '{\\"token\\": \\"***\\", \\"x\\": 1}'),  # JSON within JSON
        ("{'X-Amz-Security-Token': b'a/b', 'x': 1}", "{'X-Amz-Security-Token': b'***', 'x': 1}"),
        (
            "[(b'authorization', b'Basic abc'), ('x-api-key', 'abc')]",
            "[(b'authorization', b'***'), ('x-api-key', '***')]",
        ),
        ('Authorization: Digest username="u", response="abc"\nnext', "Authorization: ***\nnext"),
        ("auth=('user', 'abc'), x", "auth=(***), x"),
        ("curl -u user:abc https://h/x", "curl -u *** https://h/x"),
        ("tool --api-key abc --other x --token", "tool --api-key *** --other x --token"),
        ("password: |\n  abc\n  def\nx: 1", "password: |\n  ***\nx: 1"),
        ("<SecretAccessKey>abc</SecretAccessKey>", "<SecretAccessKey>***</SecretAccessKey>"),
        ("AWS_SECRET_ACCESS_KEY: " + "abcDEF" * 7, "AWS_SECRET_ACCESS_KEY: ***"),
        ("Ocp-Apim-Subscription-Key: abc123", "Ocp-Apim-Subscription-Key: ***"),
        ("https://h/a;jsessionid=abc", "https://h/a;jsessionid=***"),
        ("with IQoJb3JpZ2luX2VjEJr//////////wEaCXVz", "with ***"),
        ("a GOCSPX-abcdefghijkl of 1//0abcdefghijklmnopqrstu", "a *** of ***"),
    ],
)
def test_secrets_in_a_text_are_redacted_and_the_rest_stays(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/a@b.mp4 does not exist",
        "s3://bucket: there is no such bucket",
        "http://h:9000/b/a@b.mp4",
        "https://h/@user/clip.mp4",
        "http://[::1]:8265/x@y",
        "ray://h:10001: no cluster answers",
        "/data/what?.mp4 and file:///data/what?.mp4",
        "s3://b/a#1.mp4, object o#0",
        "prompts.csv: row 3: a@b, out@20261122T010000.000Z-0123abcd",
        "memory://x/y",
        "1 track; 60% done, x=3, box [1, 2] key: 4",
        "No such option: --token (Possible options: --model)",
        "Option '--password' requires an argument.",
        "that cluster lets in only who has its token; set RAY_AUTH_MODE=token",
        "the credentials are missing or lack this permission: set AWS_PROFILE",
        "mask-abcdefghijklmnopqrstuvwxyz of task-abcdefghijklmnopqrstuvwxyz",
        "",
    ],
)
def test_texts_without_secrets_stay_unchanged(text: str) -> None:
    assert redact(text) == text
    assert not holds_secret(text)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://h/a.mp4?a b'c: d", "https://h/a.mp4?***"),
        ("/data/a?b=c.mp4", "/data/a?b=c.mp4"),
        ("/data/clip.mp4?X-Amz-Signature=abc", "/data/clip.mp4?X-Amz-Signature=***"),
        (f"s3://b/{KEY_ID}/a.mp4", "s3://b/***/a.mp4"),
    ],
)
def test_redact_uri_handles_uris_with_spaces(uri: str, shown: str) -> None:
    assert redact_uri(uri) == shown
    assert redact_uri(shown) == shown


# Long enough not to occur by chance, and of the signs that stand in passwords and signatures as they are.
secrets = st.text("abcXYZ0189+=-_.~!$&(*", min_size=10, max_size=40).map(lambda text: f"q7{text}7q")


@st.composite
def uris_with(draw: st.DrawFn, secret: str) -> str:
    """A URI that holds the secret as user, password, token, signature, or in a long query, perhaps chained."""
    scheme = draw(st.sampled_from(["http", "https", "s3", "gs", "az", "hf", "ftp", "sftp", "webdav"]))
    user = draw(st.sampled_from(["", f"{secret}@", f"u:{secret}@", f"{secret}:p@", f"u:a/{secret}@", f"u:a@{secret}@"]))
    names = st.sampled_from(["X-Amz-Signature", "X-Goog-Signature", "sig", "token", "AWSAccessKeyId", "se", "v", "x"])
    pairs = draw(st.lists(st.tuples(names, st.just(secret) | st.text("abc", max_size=300)), max_size=4))
    query = "&".join(f"{name}={value}" for name, value in pairs)
    if not user and secret not in query:
        query = f"{query}&{draw(names)}={secret}"
    path = draw(st.sampled_from(["a.mp4", "folder/a b.mp4", "é/[cam1]/:car:.mp4", "a@b.mp4", "", "x" * 300]))
    chain = draw(st.sampled_from(["", "simplecache::", "zip://in.zip::", "filecache::"]))
    return f"{chain}{scheme}://{user}host.example:8443/{path}{'?' if query else ''}{query}{draw(fragments)}"


fragments = st.sampled_from(["", "#frag", "#access_token=abc"])
pairs_of_both = secrets.flatmap(lambda secret: st.tuples(st.just(secret), uris_with(secret)))
sentences = st.sampled_from(
    ["{}", "{}: failed", "'{}' is not there", 'no "{}", or', "[Errno 2] File: ({}); <{}>", "{}\n{}."]
)


@given(pairs_of_both, sentences, st.integers(0, 3))
def test_no_uri_in_any_sentence_shows_its_secret(both: tuple[str, str], sentence: str, times_quoted: int) -> None:
    secret, uri = both
    assert secret not in redact_uri(uri)
    for _ in range(times_quoted):
        uri = urllib.parse.quote(uri, safe="")
    quoted = secret
    for _ in range(times_quoted):
        quoted = urllib.parse.quote(quoted, safe="")
    shown = redact(sentence.format(uri, uri))
    assert quoted not in shown
    assert redact(shown) == shown


@given(pairs_of_both)
def test_errors_and_their_causes_are_without_secrets(both: tuple[str, str]) -> None:
    secret, uri = both
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Exception)]
    for kind in kinds:
        with pytest.raises(errors.SamuraiBatchError) as caught:
            raise_because_of_another(kind, uri)
        assert type(caught.value) is kind
        shown = "".join(traceback.format_exception(caught.value)) + str(vars(caught.value)) + repr(caught.value)
        assert secret not in shown


def raise_because_of_another(kind: type[Exception], uri: str) -> None:
    try:
        raise FileNotFoundError(2, "No such file", uri)
    except OSError as error:
        raise made(kind, f"{uri}: cannot be read ({error})") from error


def made(kind: type[Exception], message: str) -> Exception:
    if kind is errors.PromptsError:
        return errors.PromptsError(message, [message, message])
    return errors.TruncatedVideoError(message, 3) if kind is errors.TruncatedVideoError else kind(message)


def test_errors_can_be_pickled() -> None:
    error = errors.ConfigError("https://u:p@h/x: no")
    assert pickle.loads(pickle.dumps(error)).args == ("https://***@h/x: no",)  # noqa: S301


@given(pairs_of_both)
def test_no_handler_sees_a_secret_in_a_log_record(both: tuple[str, str]) -> None:
    secret, uri = both
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    logger = get_logger("samurai_batch.test_redaction")
    logger.addHandler(handler)
    logger.propagate = False
    try:
        logger.warning("%s: reading failed (%s)", uri, OSError(5, "no", uri))
        logger.warning(uri)
        try:
            raise ValueError(uri)
        except ValueError:
            logger.exception("an order failed")
    finally:
        logger.removeHandler(handler)
    assert "reading failed" in written.getvalue()
    assert "Traceback" in written.getvalue()
    assert secret not in written.getvalue()


@pytest.mark.parametrize(
    ("uri", "text", "shown"),
    [
        ("s3://hunter2@bucket/a", 'Invalid bucket name "hunter2@bucket"', 'Invalid bucket name "***@bucket"'),
        ("s3://k1:hun/ter2+x@bucket/a", 'Invalid name "k1:hun": not ter2+x', 'Invalid name "***:***": not ***'),
        ("s3://bucket/a@b.mp4", "bucket/a@b.mp4: no", "bucket/a@b.mp4: no"),
        ("/data/a@b.mp4", "/data/a@b.mp4: no", "/data/a@b.mp4: no"),
        ("https://h:9000/a@b.mp4?x=1", "h:9000/a@b.mp4", "h:9000/a@b.mp4"),
        ("zip://a::https://to.k(en@h/x", "to.k(en is wrong", "*** is wrong"),
    ],
)
def test_redact_about_removes_every_part_of_a_uris_user_info(uri: str, text: str, shown: str) -> None:
    assert redact_about(text, uri) == shown
    error = OSError(2, "no", text)
    redact_error(error, uri)
    assert error.filename == shown


def test_an_error_of_aiohttp_shows_no_secret_of_the_request_and_its_answer() -> None:
    url = yarl.URL("https://h/a.mp4?X-Amz-Signature=hunter2")
    request = aiohttp.RequestInfo(url, "GET", headers_of(Authorization="Bearer hunter2"), url)
    answer = headers_of(**{"Set-Cookie": "session=hunter2", "Location": str(url), "Retry-After": "7"})
    error = aiohttp.ClientResponseError(request, (), status=429, message="Too Many Requests", headers=answer)
    outer = RuntimeError("reading", error)
    assert "hunter2" in str(error)
    redact_error(outer)
    assert "hunter2" not in f"{outer} {error!r} {error.args}"
    assert "429" in str(error)
    failure = read_failure(outer)
    assert failure is not None
    assert (failure.status, failure.retry_after_s) == (429, 7.0)


def headers_of(**values: str) -> "CIMultiDictProxy[str]":
    return CIMultiDictProxy(CIMultiDict(values))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("removing", "x", ValueError("https://h/a?sig=hunter2")),
        RuntimeError("x", ("https://u:hunter2@h",), {"refresh_token": "hunter2", "x": 1}, b"token=hunter2"),
        urllib.error.URLError(OSError("https://u:hunter2@h")),
        subprocess.CalledProcessError(1, ["curl", "https://u:hunter2@h"]),
        aiohttp.InvalidURL("https://u:hunter2@h:x"),
        google.auth.exceptions.RefreshError("invalid_grant", {"client_secret": "hunter2"}),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_an_error_holds_is_redacted_at_any_depth(error: Exception) -> None:
    error.add_note("tried https://h/a?sig=hunter2")
    assert "hunter2" in str(error)
    try:
        try:
            raise error
        except type(error) as cause:
            raise errors.StorageError("it failed") from cause
    except errors.StorageError as caught:
        shown = "".join(traceback.format_exception(caught)) + repr(error)
    assert "hunter2" not in shown
    assert "***" in shown


def test_fields_are_redacted_also_in_groups() -> None:
    values = {"prompts": "https://u:p@h/x", "tracker": {"a": 1.5, "b": "https://h/?sig=1"}, "names": ["s3://k:s@b"]}
    assert redact_values(values) == {
        "prompts": "https://***@h/x",
        "tracker": {"a": 1.5, "b": "https://h/?***"},
        "names": ["s3://***@b"],
    }


@pytest.mark.parametrize(
    "text",
    ["://", "a?", "sig", "%3A%2F%2F", "token=x ", "?a='", "//u:", 'token="', "token\\': ", "a_token: |\n ", "auth=("],
)
def test_redacting_a_long_hostile_text_finishes_and_leaves_nothing_to_redact(text: str) -> None:
    shown = redact(text * 5_000)
    assert redact(shown) == shown
