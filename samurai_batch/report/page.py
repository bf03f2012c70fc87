"""The page itself: HTML without script or outside resource."""

import datetime
import math
from collections.abc import Iterable
from html import escape as escape_html
from importlib import resources

from samurai_batch.redaction import redact
from samurai_batch.report.gather import Report, TrackReport, VideoReport
from samurai_batch.report.timeline import timeline
from samurai_batch.storage import redact as redact_uri


def escape(text: str) -> str:
    """Any text as it may stand on the page: redacted, and in HTML."""
    return escape_html(redact(text))


SYMBOLS = {"done": "✓ done", "partial": "◐ partial", "failed": "✗ failed"}


def render_page(report: Report) -> str:
    """The whole page as text."""
    style = resources.files("samurai_batch.report").joinpath("style.css").read_text(encoding="utf-8")
    title = f"Report of {redact_uri(report.output)}"
    body = [
        f"<header><h1>{_breakable(title)}</h1></header><main>",
        _totals(report),
        _run(report),
        _problems(report),
        "<h2 id='videos'>Videos</h2>",
        *(_video(number, video) for number, video in enumerate(report.videos)),
        "</main>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{style}</style></head>'
        f"<body>{''.join(body)}</body></html>\n"
    )


def _totals(report: Report) -> str:
    facts = [(SYMBOLS[status], f"{count:,}") for status, count in report.num_tracks.items()]
    facts += [("videos", f"{len(report.videos):,}"), ("rows", f"{report.num_rows:,}")]
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in facts)
    return f"<h2>What there is</h2><dl class='totals' aria-label='Tracks, videos and rows'>{cells}</dl>"


def _run(report: Report) -> str:
    run = report.run
    if run is None:
        return "<h2>The newest run</h2><p>Its record is not there.</p>"
    totals, started = run.totals, datetime.datetime.fromtimestamp(run.started_at_s, datetime.UTC)
    seconds = max(totals.seconds, 1e-9)
    facts = [
        ("Run", run.run_id),
        ("Ended", run.status),
        ("Started", f"{started:%Y-%m-%d %H:%M:%S} UTC"),
        ("Host", run.host),
        ("Took", f"{totals.seconds:,.1f} s"),
        ("Tracks", f"{totals.tracks_done} done, {totals.tracks_partial} partial, {totals.tracks_failed} failed, "
                   f"{totals.tracks_skipped} done before"),
        ("Frames encoded", f"{totals.frames_encoded:,} ({totals.frames_encoded / seconds:.1f} per second)"),
        ("Track frames", f"{totals.track_frames:,} ({totals.track_frames / seconds:.1f} per second)"),
        ("Replicas' time", f"{totals.encode_s:,.1f} s encoding, {totals.follow_s:,.1f} s following, "
                           f"{totals.decode_s:,.1f} s waiting for frames, {totals.write_s:,.1f} s for writes"),
        ("Replicas lost", str(totals.replicas_lost)),
        ("Failed orders", ", ".join(f"{count} {kind}" for kind, count in totals.failures.items()) or "none"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in run.versions.items())),
    ]  # fmt: skip
    if run.rates is not None:
        rates = run.rates
        facts.append(("Rates", f"{_s(rates.encode_s)} to encode a frame, {_s(rates.follow_s)} to follow a track on it"))
    config = [(name, redact_uri(str(value))) for name, value in run.config.items() if value is not None]
    return (
        f"<h2>The newest run</h2>{_pairs(facts)}<details><summary>Its configuration</summary>{_pairs(config)}</details>"
    )


def _s(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if math.isfinite(seconds) else "unknown"


def _problems(report: Report) -> str:
    rows = [
        f"<tr><td><a href='#v{number}'>{_breakable(video.ledger.video_id)}</a></td>"
        f"<td>{_breakable(track.object_id)}</td><td>{SYMBOLS[track.entry.status]}</td>"
        f"<td>{_breakable(track.entry.error or '')}</td><td>{track.entry.attempts}</td></tr>"
        for number, video in enumerate(report.videos)
        for track in video.tracks
        if track.entry.status != "done"
    ]
    if not rows:
        return "<h2>What failed</h2><p>Nothing.</p>"
    head = "".join(f"<th scope='col'>{name}</th>" for name in ("Video", "Object", "Ended", "Why", "Attempts"))
    table = f"<table><caption>Tracks that are not done</caption><thead><tr>{head}</tr></thead>"
    return (
        f"<h2>What failed</h2><div class='wide' role='region' aria-label='Tracks that are not done' tabindex='0'>"
        f"{table}<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _video(number: int, video: VideoReport) -> str:
    ledger, pictures = video.ledger, video.pictures
    facts = [("File", redact_uri(ledger.video_uri))]
    if ledger.facts is not None:
        facts.append(("Size", f"{ledger.facts.width} x {ledger.facts.height}, {ledger.facts.num_frames:,} frames"))
    parts = [f"<section><h3 id='v{number}'>{_breakable(ledger.video_id)}</h3>{_pairs(facts)}"]
    if pictures.sheet is not None:
        shown = ", ".join(str(index) for index in pictures.sheet_frames)
        alt = escape(f"{len(pictures.sheet_frames)} frames of {ledger.video_id} with masks drawn: {shown}")
        parts.append(f"<img class='sheet' src='{pictures.sheet}' alt='{alt}'>")
    elif pictures.problem is not None:
        parts.append(f"<p>No pictures: {_breakable(pictures.problem)}</p>")
    open_attribute = " open" if len(video.tracks) <= 2 else ""
    parts += [_track(f"v{number}t{place}", one, video, open_attribute) for place, one in enumerate(video.tracks)]
    return "".join([*parts, "</section>"])


def _track(anchor: str, track: TrackReport, video: VideoReport, open_attribute: str) -> str:
    entry = track.entry
    moments = f", {len(track.moments)} moment(s) to look at" if track.moments else ""
    summary = f"Object {track.object_id}: {SYMBOLS[entry.status]}, {entry.rows:,} rows, {entry.seconds:.1f} s{moments}"
    parts = [f"<details id='{anchor}'{open_attribute}><summary>{_breakable(summary)}</summary>"]
    if entry.error:
        parts.append(f"<p>{_breakable(entry.error)}</p>")
    if len(track.rows):
        drawing = timeline(track.rows, track.moments, anchor, f"Object {track.object_id}")
        parts.append(f"<div class='wide' tabindex='0' role='region' aria-label='Timeline'>{drawing}</div>")
    parts.append(_moments(anchor, track, video))
    return "".join([*parts, "</details>"])


def _moments(anchor: str, track: TrackReport, video: VideoReport) -> str:
    figures = []
    for number, moment in enumerate(track.moments, start=1):
        picture = video.pictures.moments.get((track.object_id, moment.frame_index))
        alt = escape(f"{video.ledger.video_id}, frame {moment.frame_index}: {moment.text}")
        image = f"<img src='{picture}' alt='{alt}'>" if picture else ""
        caption = f"<figcaption><b>{number}. {moment.kind}</b>: {escape(moment.text)}</figcaption>"
        figures.append(f"<figure id='{anchor}-{number}' tabindex='-1'>{image}{caption}</figure>")
    return f"<div class='moments'>{''.join(figures)}</div>" if figures else ""


def _pairs(facts: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{_breakable(value)}</dd>" for name, value in facts)
    return f"<dl class='facts'>{rows}</dl>"


def _breakable(text: str) -> str:
    """Text whose long paths may break at their slashes."""
    return escape(text).replace("/", "/<wbr>")
