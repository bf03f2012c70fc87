"""The report as one HTML page, from the template ``page.html``.

The page has no script and loads nothing but the pictures beside it.
"""

import datetime
import math
from importlib import resources

import jinja2
from markupsafe import Markup, escape

from samurai_batch.ledger.schema import RunRecord, TrackEntry, VideoLedger
from samurai_batch.redaction import redact
from samurai_batch.report.gather import Report
from samurai_batch.report.jpegs import MAX_MOMENTS_OF_VIDEO
from samurai_batch.report.timeline import timeline
from samurai_batch.stats import STAGES
from samurai_batch.storage import redact as redact_uri

MAX_PROBLEMS = 1000
SYMBOLS = {"done": "✓ done", "partial": "◐ partial", "failed": "✗ failed"}

Facts = list[tuple[str, str]]


def render_page(report: Report) -> str:
    """The whole page. Every text that the template inserts is redacted and then escaped, by the environment."""
    environment = jinja2.Environment(
        autoescape=True, finalize=_redacted, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"breakable": _breakable, "thousands": "{:,}".format}
    configuration = [] if report.run is None else list(report.run.config.items())
    return environment.from_string(_file("page.html")).render(
        title=f"Report of {redact_uri(report.output)}",
        style=Markup(_file("style.css")),  # noqa: S704 - a file of this package
        report=report,
        num_videos=len(report.videos) + len(report.others),
        run_facts=[] if report.run is None else _run_facts(report.run),
        configuration=[(name, redact_uri(str(value))) for name, value in configuration if value is not None],
        problems=_problems(report),
        max_problems=MAX_PROBLEMS,
        max_moments_of_video=MAX_MOMENTS_OF_VIDEO,
        symbols=SYMBOLS,
        video_facts=_video_facts,
        timeline=timeline,
    )


def _file(name: str) -> str:
    return resources.files("samurai_batch.report").joinpath(name).read_text(encoding="utf-8")


def _redacted(value: object) -> object:
    return redact(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _breakable(text: str) -> Markup:
    """Redacted text in which a browser may break long paths at their slashes."""
    return escape(redact(text)).replace("/", Markup("/<wbr>"))


def _run_facts(run: RunRecord) -> Facts:
    totals, started = run.totals, datetime.datetime.fromtimestamp(run.started_at_s, datetime.UTC)
    seconds, stats = max(totals.seconds, 1e-9), totals.stats
    facts = [
        ("Run", run.run_id),
        ("Status", run.status),
        ("Started", f"{started:%Y-%m-%d %H:%M:%S} UTC"),
        ("Host", run.host),
        ("Duration", f"{totals.seconds:,.1f} s"),
        ("Tracks", f"{totals.tracks_done} done, {totals.tracks_partial} partial, {totals.tracks_failed} failed, "
                   f"{totals.tracks_skipped} done before"),
        ("Frames encoded", f"{stats.frames_encoded:,} ({stats.frames_encoded / seconds:.1f} per second)"),
        ("Track frames", f"{stats.track_frames:,} ({stats.track_frames / seconds:.1f} per second)"),
        ("Time of the replicas", ", ".join(f"{stats.stage_s[one]:,.1f} s {doing}" for one, doing in STAGES.items())),
        ("Replicas lost", str(totals.replicas_lost)),
        ("Failed orders", ", ".join(f"{count} {kind}" for kind, count in totals.failures.items()) or "none"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in run.versions.items())),
    ]  # fmt: skip
    if run.rates is not None:
        encode, propagate = _milliseconds(run.rates.encode_s), _milliseconds(run.rates.propagate_s)
        facts.append(("Rates", f"{encode} to encode a frame, {propagate} to propagate one track by one frame"))
    return facts


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if math.isfinite(seconds) else "unknown"


def _problems(report: Report) -> list[tuple[str | None, str, str, TrackEntry]]:
    """Tracks that failed or are partial: the anchor of the video's section if it has one, the ids, the entry."""
    ledgers: list[tuple[str | None, VideoLedger]] = [(f"v{n}", one.ledger) for n, one in enumerate(report.videos)]
    ledgers += [(None, one.ledger) for one in report.others]
    return [
        (anchor, ledger.video_id, object_id, entry)
        for anchor, ledger in ledgers
        for object_id, entry in sorted(ledger.tracks.items(), key=lambda item: (len(item[0]), item[0]))
        if entry.status != "done"
    ]


def _video_facts(ledger: VideoLedger) -> Facts:
    facts = [("File", redact_uri(ledger.video_uri))]
    if ledger.facts is not None:
        facts.append(("Size", f"{ledger.facts.width} x {ledger.facts.height}, {ledger.facts.num_frames:,} frames"))
    return facts
