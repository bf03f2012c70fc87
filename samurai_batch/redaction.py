"""What is secret in a text: user info, signatures, tokens, keys. Everything that is told or kept goes through here.

`redact` takes any text: a message, a log record, a traceback. `redact_uri` takes one whole URI or path, which may hold
blanks. Both leave ``***`` where something was, and change nothing when called again.

Who calls them, so that no caller has to think of it: errors of this package when they are made (`errors`), records of
loggers from `get_logger`, failures and ledger entries when they are made, the report, and the command line for all that
it prints. What others log is covered in processes that call `redact_logging`.

Not covered: secrets that nothing tells from other words, such as a password in a sentence.
"""

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

HIDDEN = "***"

_WORDS = (
    r"(?:token|secret|password|passwd|pwd|passphrase|signature|sig|credentials?|api[_-]?key|access[_-]?key(?:[_-]?id)?"
    r"|account[_-]?key|secret[_-]?key|shared[_-]?access[_-]?(?:key|signature)|private[_-]?key|google[_-]?access[_-]?id"
    r"|key[_-]pair[_-]id|connection[_-]?string)"
)
_NAME = rf"(?<![\w.%-])(?P<name>[\w.-]*{_WORDS})"
_END = r"(?![\s,)\]}:;]|$)"  # a quote before one of these closes what it opened, elsewhere it is part of the query
_QUERY = rf"(?:[^\s\"'<>]|[\"'<>]{_END})*"
_CLOSING = ":;,.)]}>\"'!"  # signs after a URI that belong to the sentence
_PERCENT = r"%(?:25)*"  # of a text that was percent-encoded once, or several times
_QUOTED = r"[\w.~+*!()%-]"
_LOCAL = r"(?<!file)(?<!local)"

_KEYS = re.compile(  # that say what they are by how they begin
    r"(?<![A-Za-z0-9])(?:(?:AKIA|ASIA|ABIA|ACCA|AROA|AIDA|AGPA|ANPA)[A-Z0-9]{16}(?![A-Za-z0-9])|hf_[A-Za-z0-9]{20,}"
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|xox[abprs]-[\w-]{10,}|AIza[\w-]{35}"
    r"|ya29\.[\w-]{10,}|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?)"
)

# Something that every secret has; texts without it, nearly all, are left at once.
_HINT = re.compile(
    r"//|[?%=@]|[A-Z0-9]{16}|\b(?:hf|gh[a-z]|github_pat|glpat|xox[a-z]|ya29|eyJ)|-----BEGIN|(?:token|secret|pass|pwd|key"
    r"|sig|credential|bearer|authorization|cookie|canonicalrequest|stringtosign)",
    re.IGNORECASE,
)


_SIGNS = frozenset("@?#=%:<")  # one of them is in every secret but a key


def _kept_sentence(found: "re.Match[str]") -> str:
    """A query as ``?***``, and what stands behind it because it stands in a sentence."""
    query = found["query"]
    if query is None:
        return found[0]
    return f"{found['before']}{found['mark']}{HIDDEN}{query[len(query.rstrip(_CLOSING)) :]}"


def _kept_quotes(found: "re.Match[str]") -> str:
    value = found["value"]
    quote = value[0] if value[0] in "\"'" else ""
    return f"{found['name']}{found['between']}{quote}{HIDDEN}{quote}"


_Rule = tuple["re.Pattern[str]", "str | Callable[[re.Match[str]], str]"]

_USER_INFO: tuple[_Rule, ...] = (
    # Each pattern takes what it has looked at, or little of it: long hostile texts cost no more than others.
    # A password may hold an unquoted slash, as AWS keys do: what follows the colon is no port then.
    (re.compile(r"(://)[^\s/?#@:\[\]]*:(?!:)(?!\d{0,5}(?:[/?#\s:,;)\]}'\"]|$))\S{0,4096}@"), rf"\1{HIDDEN}@"),
    (re.compile(r"(://)[^\s/?#]*@"), rf"\1{HIDDEN}@"),
    (re.compile(r"((?<!:)//)[^\s/?#@]+:[^\s/?#]*@"), rf"\1{HIDDEN}@"),
)
# A library may have taken the scheme away, as s3fs does: Invalid bucket name "user:password@bucket".
_BARE_USER_INFO = (
    re.compile(r"((?:^|[\s/'\"(<=,]))[^\s:/@'\"(<=,\[]+:(?![/:\s]|\d{1,5}(?:[/\s]|$))[^\s'\"]{1,4096}@(?=[\w.-])"),
    rf"\1{HIDDEN}@",
)
_QUERIES: tuple[_Rule, ...] = (
    (re.compile(rf"(?P<before>{_LOCAL}://[^\s?]*)(?:(?P<mark>\?)(?P<query>{_QUERY}))?"), _kept_sentence),
    (re.compile(rf"(?P<before>{_LOCAL}://[^\s?#]*)(?:(?P<mark>#)(?P<query>[^\s\"'<>=]*={_QUERY}))?"), _kept_sentence),
    # Behind a path with blanks, or the path of a local copy that is named after a URI.
    (re.compile(rf"(?P<before>)(?P<mark>\?)(?P<query>&*[\w.\[\]%~-]{{1,64}}={_QUERY})"), _kept_sentence),
    (re.compile(r"(?P<before>)(?P<mark>\?)(?P<query>[\w%+/=&.~-]{40,})"), _kept_sentence),
)
_SECRETS: tuple[_Rule, ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), HIDDEN),
    (
        re.compile(
            r"(\b(?:(?:proxy-)?authorization|x-(?:auth-token|api-key)|(?:set-)?cookie)[\"']?\s*[:=]\s*[\"']?)[^\r\n\"']+",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(\bBearer\s+)[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1{HIDDEN}"),
    # name=value of a query, a connection string, a header; name: value where somebody printed a mapping
    (
        re.compile(rf"{_NAME}(?P<between>\s?=\s?)(?P<value>\"[^\"]*\"|'[^']*'|[^\s&,;\"'<>)\]}}]+)", re.IGNORECASE),
        _kept_quotes,
    ),
    (
        re.compile(rf"{_NAME}(?P<between>[\"']?\s*:\s*)(?P<value>\"[^\"]*\"|'[^']*'|(?=\S*\d)[\w+/=.~%-]{{6,}})", re.I),
        _kept_quotes,
    ),
    (
        re.compile(r"(?<![\w.%-])(?P<name>[\w.-]*(?:password|passwd|pwd|secret))(?P<between>:\s*)(?P<value>\S+)", re.I),
        _kept_quotes,
    ),
    (re.compile(r"(<\w*(?:AccessKeyId|SignatureProvided|StringToSign\w*|CanonicalRequest\w*|Token)>)[^<]*", re.I),
     rf"\1{HIDDEN}"),
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
        _kept_sentence,
    ),
    (re.compile(rf"({_PERCENT}3F)[\w.-]+{_PERCENT}3D{_QUOTED}*", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(rf"(?<![\w.-])([\w.-]*{_WORDS}{_PERCENT}3D){_QUOTED}*", re.IGNORECASE), rf"\1{HIDDEN}"),
)


def redact(text: str) -> str:
    """``text`` without what is secret in it: fit for a log, a message, a report."""
    if not _HINT.search(text):
        return text
    return _without(text, (*_USER_INFO, *_QUERIES, *_ENCODED, *_SECRETS, _BARE_USER_INFO))


def redact_uri(uri: str) -> str:
    """One whole URI without user, password and query; a local path stays, but for what is named as secret in it."""
    if not _SIGNS.intersection(uri.replace("://", "", 1)):
        return _KEYS.sub(HIDDEN, uri)  # nearly all URIs, and there may be millions
    if is_local(uri):
        return _without(uri, _USER_INFO + _ENCODED + _SECRETS)
    path, mark, _ = _without(uri, _USER_INFO).partition("?")
    return redact(path) + (mark and mark + HIDDEN)


def redact_about(text: str, uri: str) -> str:
    """As `redact`, where the text is about this URI: a library may show any piece of what is secret in it.

    s3fs takes ``token@bucket``, or what a password has before a slash, for the name of a bucket.
    """
    user = re.match(r"(?:.*::)?[^:]*://(\S*@)", uri.partition("?")[0])
    pieces = re.split(r"[:/@]", user[1]) if user and redact_uri(user[0]) != user[0] else []
    for piece in sorted((piece for piece in pieces if piece), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(piece)}(?!\w)", HIDDEN, text)
    return redact(text)


def redact_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields by name, with every text among them, also in groups of fields, redacted as one URI."""
    return {name: _redact_value(value) for name, value in values.items()}


def holds_secret(text: str) -> bool:
    """Whether there is anything in a text that says itself that it is secret; a plain query does not."""
    return _without(text, _USER_INFO + _ENCODED + _SECRETS) != text


def is_local(uri: str) -> bool:
    """Whether a URI is a path on this machine."""
    return "://" not in uri or uri.startswith(("file://", "local://"))


def redact_error(error: BaseException, uri: str = "") -> None:
    """Take what is secret out of an error and of those that led to it, where they stand: tracebacks show them all.

    ``uri`` is what they are about, if that is known: see `redact_about`. Texts of errors that code of other packages
    makes when they are shown are beyond reach.
    """
    pending, seen = [error], set[int]()
    while pending:
        one = pending.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        pending += [other for other in (one.__cause__, one.__context__) if other is not None]
        pending += getattr(one, "exceptions", ())
        _redact_one(one, uri)


def get_logger(name: str) -> logging.Logger:
    """The logger of a module of this package: nothing secret leaves it, whoever handles its records."""
    logger = logging.getLogger(name)
    logger.addFilter(_FILTER)
    return logger


def redact_logging() -> None:
    """Let nothing secret out of this process's log, whoever writes it; for processes of our own."""
    for handler in [*logging.getLogger().handlers, logging.lastResort]:
        if handler is not None:
            handler.addFilter(_FILTER)


class _RedactingFilter(logging.Filter):
    """Changes records, and lets all of them pass."""

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


def _redact_one(error: BaseException, uri: str) -> None:
    args = tuple(redact_about(one, uri) if isinstance(one, str) else one for one in error.args)
    if args != error.args:
        error.args = args
    for name in ("filename", "filename2", "strerror"):
        value = getattr(error, name, None)
        if isinstance(value, str) and redact_about(value, uri) != value:
            setattr(error, name, redact_about(value, uri))
    request: Any = getattr(error, "request_info", None)  # aiohttp shows its URL
    if hasattr(request, "_replace") and hasattr(request, "real_url"):
        clean = type(request.real_url)(redact_uri(str(request.real_url)))
        error.request_info = request._replace(url=clean, real_url=clean)  # type: ignore[attr-defined]
