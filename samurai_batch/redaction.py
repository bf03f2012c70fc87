"""Removes secrets (user info of URIs, signatures, tokens, keys) from every text that is shown, logged or stored.

`redact` takes any text: a message, a log record, a traceback. `redact_uri` takes one whole URI or path, which may
contain spaces. Both replace secrets by ``***`` and are idempotent.

Callers need not redact again: the errors of this package do it when they are created (`errors`), and so do loggers
from `get_logger`, failures, ledger entries, the report, and the command line for all its output. Log records of other
packages are redacted in processes that call `redact_logging`.

Not covered: secrets that look like ordinary words, such as a password in a sentence.
"""

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

HIDDEN = "***"

_WORDS = (
    r"(?:token|secret|password|passwd|pwd|passphrase|signature|sig|credentials?|api[_-]?key|access[_-]?key(?:[_-]?id)?"
    r"|account[_-]?key|secret[_-]?key|shared[_-]?access[_-]?(?:key|signature)|private[_-]?key|google[_-]?access[_-]?id"
    r"|key[_-]pair[_-]id|connection[_-]?string|subscription[_-]?key|jsessionid)"
)
_NAME = rf"(?<![\w.%-])(?P<name>[\w.-]*{_WORDS})"
_QUOTED_VALUE = r"b?(?P<quote>\\*[\"'])(?:(?!(?P=quote)).)*(?P=quote)"  # in JSON within JSON, quotes have backslashes
_END = r"(?![\s,)\]}:;]|$)"  # a quote before one of these is a closing quote; elsewhere it is part of the query
_QUERY = rf"(?:[^\s\"'<>]|[\"'<>]{_END})*"
_CLOSING = ":;,.)]}>\"'!"  # punctuation after a URI that belongs to the sentence
_PERCENT = r"%(?:25)*"  # in a text that was percent-encoded once or several times
_QUOTED = r"[\w.~+*!()%-]"
_LOCAL = r"(?<!file)(?<!local)"

_KEYS = re.compile(  # keys with a known prefix
    r"(?<![A-Za-z0-9])(?:(?:AKIA|ASIA|ABIA|ACCA|AROA|AIDA|AGPA|ANPA)[A-Z0-9]{16}(?![A-Za-z0-9])|hf_[A-Za-z0-9]{20,}"
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|xox[abprs]-[\w-]{10,}|AIza[\w-]{35}"
    r"|ya29\.[\w-]{10,}|1//0[\w-]{20,}|GOCSPX-[\w-]{10,}|sk-[\w-]{20,}|dapi[0-9a-f]{32}|npm_[A-Za-z0-9]{30,}"
    r"|(?:IQoJb3JpZ2lu|F[wQ]oGZXIvYXdz)[\w+/=]{10,}"  # session tokens of AWS
    r"|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?)"
)

# Every secret contains one of these; most texts contain none and are returned at once.
_HINT = re.compile(
    r"//|[?%=@]|[A-Z0-9]{16}|\b(?:hf|gh[a-z]|github_pat|glpat|xox[a-z]|ya29|eyJ|sk-|dapi|npm_|F[wQ]oG|IQoJ|GOCSPX)|-----BEGIN|(?:token|secret|pass|pwd|key"
    r"|sig|credential|bearer|auth|cookie|canonicalrequest|stringtosign)",
    re.IGNORECASE,
)


_SECRET_NAME = re.compile(rf"[\w.-]*{_WORDS}", re.IGNORECASE)
_PUBLIC_HEADERS = frozenset({"date", "retry-after", "content-type", "content-length", "server"})
_SIGNS = frozenset("@?#=%:<")  # every secret except a key contains one of them


def _replace_query(found: "re.Match[str]") -> str:
    """The query as ``?***``, followed by the punctuation of the sentence around it."""
    query = found["query"]
    if query is None:
        return found[0]
    return f"{found['before']}{found['mark']}{HIDDEN}{query[len(query.rstrip(_CLOSING)) :]}"


def _replace_value(found: "re.Match[str]") -> str:
    quote = found["quote"] or ""
    prefix = "b" if quote and found["value"].startswith("b") else ""
    return f"{found['name']}{found['between']}{prefix}{quote}{HIDDEN}{quote}"


_Rule = tuple["re.Pattern[str]", "str | Callable[[re.Match[str]], str]"]

_USER_INFO: tuple[_Rule, ...] = (
    # Each pattern backtracks little, so that long hostile texts take no longer than others.
    # A password may contain an unquoted slash, as AWS keys do; then what follows the colon is no port.
    (re.compile(r"(://)[^\s/?#@:\[\]]*:(?!:)(?!\d{0,5}(?:[/?#\s:,;)\]}'\"]|$))\S{0,4096}@"), rf"\1{HIDDEN}@"),
    (re.compile(r"(://)[^\s/?#]*@"), rf"\1{HIDDEN}@"),
    (re.compile(r"((?<!:)//)[^\s/?#@]+:[^\s/?#]*@"), rf"\1{HIDDEN}@"),
)
# Without the scheme, which s3fs removes: Invalid bucket name "user:password@bucket".
_BARE_USER_INFO = (
    re.compile(r"((?:^|[\s/'\"(<=,]))[^\s:/@'\"(<=,\[]+:(?![/:\s]|\d{1,5}(?:[/\s]|$))[^\s'\"]{1,4096}@(?=[\w.-])"),
    rf"\1{HIDDEN}@",
)
_QUERIES: tuple[_Rule, ...] = (
    (re.compile(rf"(?P<before>{_LOCAL}://[^\s?]*)(?:(?P<mark>\?)(?P<query>{_QUERY}))?"), _replace_query),
    (re.compile(rf"(?P<before>{_LOCAL}://[^\s?#]*)(?:(?P<mark>#)(?P<query>[^\s\"'<>=]*={_QUERY}))?"), _replace_query),
    # After a path with spaces, or the path of a local copy that is named after a URI.
    (re.compile(rf"(?P<before>)(?P<mark>\?)(?P<query>&*[\w.\[\]%~-]{{1,64}}={_QUERY})"), _replace_query),
    (re.compile(r"(?P<before>)(?P<mark>\?)(?P<query>[\w%+/=&.~-]{40,})"), _replace_query),
)
_SECRETS: tuple[_Rule, ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), HIDDEN),
    (re.compile(r"(\bDigest\s+)\w+=[^\r\n]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (
        re.compile(
            r"(\b(?:(?:proxy-)?authorization|x-(?:auth-token|api-key)|(?:set-)?cookie)(?:\\*[\"']?\s*[:=]|\\*[\"']\s*,)"
            r"\s*(?:b?\\*[\"'])?)(?:[^\r\n\"'\\]|\\(?![\"']))+",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(\bBearer\s+)[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"(\bauth\s*[:=]\s*\()[^)]*", re.IGNORECASE), rf"\1{HIDDEN}"),
    # options of commands, and lines below a name in YAML
    (re.compile(rf"(--[\w-]*{_WORDS}[ ]+)(?![-(])\S+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"(\s(?:-u|--user)[ =])[^\s:]+:\S+"), rf"\1{HIDDEN}"),
    (
        re.compile(rf"{_NAME}(:[ \t]*[|>][-+\d]*[ \t]*\n)[ \t]+[^\n]*(?:\n[ \t]+[^\n]*)*", re.IGNORECASE),
        rf"\g<name>\2  {HIDDEN}",
    ),
    # name=value of a query, a connection string or a header; name: value of a printed mapping; a pair of texts
    (
        re.compile(rf"{_NAME}(?P<between>\s?=\s?)(?P<value>{_QUOTED_VALUE}|[^\s&,;\"'<>)\]}}]+)", re.I | re.S),
        _replace_value,
    ),
    (
        re.compile(
            rf"{_NAME}(?P<between>\\*[\"']?\s*:\s*)"
            rf"(?P<value>{_QUOTED_VALUE}|(?=\S*\d)[\w+/=.~%-]{{6,}}|[\w+/=.~%-]{{16,}})",
            re.I | re.S,
        ),
        _replace_value,
    ),
    (re.compile(rf"{_NAME}(?P<between>\\*[\"']\s*,\s*)(?P<value>{_QUOTED_VALUE})", re.I | re.S), _replace_value),
    (
        re.compile(
            r"((?<![\w.%-])[\w.-]*(?:password|passwd|pwd|secret):[ \t]*)(?![|>][-+\d]*[ \t]*\n)[^\s\"']\S*", re.I
        ),
        rf"\1{HIDDEN}",
    ),
    (
        re.compile(
            rf"(<(?:\w+:)?\w*(?:SignatureProvided|StringToSign\w*|CanonicalRequest\w*|{_WORDS})>)[^<]*", re.IGNORECASE
        ),
        rf"\1{HIDDEN}",
    ),
    (_KEYS, HIDDEN),
)  # fmt: skip
_ENCODED: tuple[_Rule, ...] = (
    (
        re.compile(
            rf"({_PERCENT}3A{_PERCENT}2F{_PERCENT}2F)(?:(?!{_PERCENT}(?:2F|3A|3F|23|40)){_QUOTED})*{_PERCENT}3A"
            rf"(?!\d{{0,5}}(?:{_PERCENT}(?:2F|3F|23)|[^\w%]|$)){_QUOTED}{{0,4096}}({_PERCENT}40)",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}\2",
    ),
    (
        re.compile(
            rf"({_PERCENT}3A{_PERCENT}2F{_PERCENT}2F)(?:(?!{_PERCENT}(?:2F|3F|23)){_QUOTED})*({_PERCENT}40)", re.I
        ),
        rf"\1{HIDDEN}\2",
    ),
    (
        re.compile(
            rf"(?P<before>{_PERCENT}3A{_PERCENT}2F{_PERCENT}2F(?:(?!{_PERCENT}3F){_QUOTED})*)"
            rf"(?:(?P<mark>{_PERCENT}3F)(?P<query>{_QUOTED}*))?",
            re.IGNORECASE,
        ),
        _replace_query,
    ),
    (re.compile(rf"({_PERCENT}3F)[\w.-]+{_PERCENT}3D{_QUOTED}*", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(rf"(?<![\w.-])([\w.-]*{_WORDS}{_PERCENT}3D){_QUOTED}*", re.IGNORECASE), rf"\1{HIDDEN}"),
)


def redact(text: str) -> str:
    """``text`` with every secret replaced by ``***``."""
    if not _HINT.search(text):
        return text
    return _without(text, (*_USER_INFO, *_QUERIES, *_ENCODED, *_SECRETS, _BARE_USER_INFO))


def redact_uri(uri: str) -> str:
    """One whole URI without user, password and query; a local path keeps all but named secrets.

    A video of several files has their URIs, one a line; so has the text that is returned.
    """
    if "\n" in uri:
        return "\n".join(map(redact_uri, uri.split("\n")))
    if not _SIGNS.intersection(uri.replace("://", "", 1)):
        return _KEYS.sub(HIDDEN, uri)  # fast path for most URIs, of which there may be millions
    if is_local(uri):
        return _without(uri, _USER_INFO + _ENCODED + _SECRETS)
    path, mark, _ = _without(uri, _USER_INFO).partition("?")
    return redact(path) + (mark and mark + HIDDEN)


def redact_about(text: str, uri: str) -> str:
    """As `redact`, and also removes every part of the URI's user info, which a library may show on its own.

    For example, s3fs takes ``token@bucket``, or the part of a password before a slash, for the name of a bucket.
    """
    user = re.match(r"(?:.*::)?[^:]*://(\S*@)", uri.partition("?")[0])
    pieces = re.split(r"[:/@]", user[1]) if user and redact_uri(user[0]) != user[0] else []
    for piece in sorted((piece for piece in pieces if piece), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(piece)}(?!\w)", HIDDEN, text)
    return redact(text)


def redact_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of ``values`` in which every text, also in nested mappings and lists, is redacted as a URI."""
    return {name: _redact_value(value) for name, value in values.items()}


def holds_secret(text: str) -> bool:
    """Whether a text contains a recognisable secret; a query alone does not count."""
    return _without(text, _USER_INFO + _ENCODED + _SECRETS) != text


def is_local(uri: str) -> bool:
    """Whether a URI is a path on this machine."""
    return "://" not in uri or uri.startswith(("file://", "local://"))


def redact_error(error: BaseException, uri: str = "") -> None:
    """Redact an error and its causes in place, because tracebacks show them all.

    ``uri`` is the URI that they are about, if known: see `redact_about`. Texts that other packages' exceptions compose
    only when they are printed cannot be redacted.
    """
    pending, seen = [error], set[int]()
    while pending:
        link = pending.pop()
        if id(link) in seen:
            continue
        seen.add(id(link))
        pending += [cause for cause in (link.__cause__, link.__context__) if cause is not None]
        pending += getattr(link, "exceptions", ())
        pending += _redact_one(link, uri)


def get_logger(name: str) -> logging.Logger:
    """The logger of a module of this package. Its records are redacted before any handler sees them."""
    logger = logging.getLogger(name)
    logger.addFilter(_FILTER)
    return logger


def redact_logging() -> None:
    """Redact all log records of this process, those of other packages included. For processes that we start."""
    for handler in [*logging.getLogger().handlers, logging.lastResort]:
        if handler is not None:
            handler.addFilter(_FILTER)


class _RedactingFilter(logging.Filter):
    """Redacts every record and drops none."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_info, record.exc_text = None, redact(record.exc_text)
        return True


_FILTER = _RedactingFilter()


def _without(text: str, rules: tuple[_Rule, ...]) -> str:
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text


def _redact_value(value: Any) -> Any:
    if isinstance(value, str):
        return redact_uri(value)
    if isinstance(value, Mapping):
        return redact_values(value)
    return [_redact_value(one) for one in value] if isinstance(value, list | tuple) else value


def _redact_one(error: BaseException, uri: str) -> list[BaseException]:
    """Redact what an error itself holds, and return the errors among it."""
    inner: list[BaseException] = []
    args = tuple(_redact_part(one, uri, inner) for one in error.args)
    if args != error.args:
        error.args = args
    for name in ("filename", "filename2", "strerror", *vars(error)):
        value = getattr(error, name, None)
        if isinstance(value, str | bytes | BaseException | list):
            clean = _redact_part(value, uri, inner)
            if clean != value:
                setattr(error, name, clean)
    if hasattr(getattr(error, "request_info", None), "_replace"):
        _redact_request(error)
    return inner


def _redact_request(error: Any) -> None:
    """Redact what an error of aiohttp shows of a request, its answer, and the redirections before."""
    request = error.request_info
    url = type(request.real_url)(redact_uri(str(request.real_url)))
    error.request_info = request._replace(url=url, real_url=url, headers={})
    error.history = ()
    error.args = (error.request_info, ())
    headers = getattr(error, "headers", None) or {}
    error.headers = {name: value for name, value in headers.items() if name.lower() in _PUBLIC_HEADERS}


def _redact_part(value: Any, uri: str, inner: list[BaseException]) -> Any:
    """What an error holds, redacted; errors among it are added to ``inner``."""
    if isinstance(value, BaseException):
        inner.append(value)
    if type(value) is str:
        return redact_about(value, uri)
    if type(value) is bytes:
        return redact_about(value.decode("latin-1"), uri).encode("latin-1")
    if type(value) in (list, tuple):
        return type(value)(_redact_part(one, uri, inner) for one in value)
    if type(value) is dict:
        return {name: HIDDEN if _names_secret(name) else _redact_part(one, uri, inner) for name, one in value.items()}
    return value


def _names_secret(name: object) -> bool:
    return isinstance(name, str) and _SECRET_NAME.fullmatch(name) is not None
