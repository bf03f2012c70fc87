"""The report as HTML: ``page.html`` with the table of all tracks, and videos on it or on pages of their own.

A page loads nothing but the pictures beside it. Its script is in the page, and so is the table's data.
"""

import datetime
import math
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup, escape

from samurai_batch.ledger.schema import RunRecord, VideoLedger
from samurai_batch.redaction import redact
from samurai_batch.report.gather import Report, VideoReport
from samurai_batch.report.jpegs import MAX_MOMENTS_OF_VIDEO
from samurai_batch.report.timeline import timeline
from samurai_batch.report.track_table import COLUMNS, table_json
from samurai_batch.stats import STAGES
from samurai_batch.storage import redact_uri

MAX_PROBLEMS = 1000
SYMBOLS = {"done": "✓ done", "partial": "◐ partial", "failed": "✗ failed"}

Facts = list[tuple[str, str]]


def render_page(
    report: Report, addresses: Mapping[str, str] | None = None, *, is_worst: bool = False, has_other: bool = False
) -> str:
    """The whole page. Every text that the template inserts is redacted and then escaped, by the environment.

    ``addresses`` are those of the pages of videos, by id; None: the videos are on this page. ``is_worst`` tells that
    worst moments were requested, ``has_other`` that they include the disagreement with another output.
    """
    is_one_page = addresses is None
    ids = [video.ledger.video_id for video in report.videos]
    addresses = {video_id: f"#v{number}" for number, video_id in enumerate(ids)} if addresses is None else addresses
    links = dict(_links(report.videos, addresses, is_one_page))
    pictures = {
        (video.ledger.video_id, *key): picture
        for video in report.videos
        for key, picture in video.pictures.moments.items()
    }
    configuration = [] if report.run is None else list(report.run.config.items())
    return _render(
        "page.html",
        title=f"Report of {redact_uri(report.output)}",
        report=report,
        run_facts=[] if report.run is None else _run_facts(report.run),
        configuration=[(name, redact_uri(str(value))) for name, value in configuration if value is not None],
        problems=report.problems,
        max_problems=MAX_PROBLEMS,
        addresses=addresses,
        links=links,
        worst_pictures=pictures,
        is_worst=is_worst,
        has_other=has_other,
        is_one_page=is_one_page,
        columns=COLUMNS,
        tracks_json=table_json(report.lines, links),
        script=Markup(_file("tracks.js")),  # noqa: S704 - a file of this package
    )


def render_video(video: VideoReport, back: str) -> str:
    """The page of one video; ``back`` is the address of the report."""
    return _render("video.html", title=video.ledger.video_id, video=video, back=back)


def _links(
    videos: Iterable[VideoReport], addresses: Mapping[str, str], is_one_page: bool
) -> Iterable[tuple[tuple[str, str], str]]:
    """The address of each track with details."""
    for video in videos:
        address = addresses[video.ledger.video_id]
        page = address if is_one_page else f"{address}#v0"
        for number, track in enumerate(video.tracks):
            yield (video.ledger.video_id, track.object_id), f"{page}t{number}"


def _render(template: str, **values: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_file),
        autoescape=True,
        finalize=_redacted,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"breakable": _breakable, "thousands": "{:,}".format}
    environment.globals |= {
        "style": Markup(_file("style.css")),  # noqa: S704 - a file of this package
        "symbols": SYMBOLS,
        "video_facts": _video_facts,
        "timeline": timeline,
        "max_moments_of_video": MAX_MOMENTS_OF_VIDEO,
    }
    return environment.get_template(template).render(**values)


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
        *([("Rescue", f"tested other masks on {stats.rescue_tests:,} frames, replaced {stats.rescues:,}")]
          if stats.rescue_tests else []),
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


def _video_facts(ledger: VideoLedger) -> Facts:
    facts = [("File", redact_uri(ledger.video_uri))]
    if ledger.facts is not None:
        facts.append(("Size", f"{ledger.facts.width} x {ledger.facts.height}, {ledger.facts.num_frames:,} frames"))
    return facts
