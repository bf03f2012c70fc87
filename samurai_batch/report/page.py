"""The page itself: HTML without script, and without any resource but the pictures beside it."""

import datetime
import math
from collections.abc import Iterable
from html import escape as escape_html
from importlib import resources

from samurai_batch.redaction import redact
from samurai_batch.report.gather import Report, TrackReport, VideoReport
from samurai_batch.report.pictures import MAX_MOMENTS_OF_VIDEO, Picture
from samurai_batch.report.timeline import timeline
from samurai_batch.storage import redact as redact_uri


def escape(text: str) -> str:
    """Any text as it may stand on the page: redacted, and in HTML."""
    return escape_html(redact(text))


MAX_PROBLEMS = 1000
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
        _others(report),
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
    facts += [("videos", f"{len(report.videos) + len(report.others):,}"), ("rows", f"{report.num_rows:,}")]
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
        ("Replicas' time", f"{totals.encode_s:,.1f} s encoding, {totals.propagate_s:,.1f} s following, "
                           f"{totals.decode_s:,.1f} s waiting for frames, {totals.write_s:,.1f} s for writes"),
        ("Replicas lost", str(totals.replicas_lost)),
        ("Failed orders", ", ".join(f"{count} {kind}" for kind, count in totals.failures.items()) or "none"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in run.versions.items())),
    ]  # fmt: skip
    if run.rates is not None:
        rates = run.rates
        facts.append(
            ("Rates", f"{_s(rates.encode_s)} to encode a frame, {_s(rates.propagate_s)} to follow a track on it")
        )
    config = [(name, redact_uri(str(value))) for name, value in run.config.items() if value is not None]
    return (
        f"<h2>The newest run</h2>{_pairs(facts)}<details><summary>Its configuration</summary>{_pairs(config)}</details>"
    )


def _s(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if math.isfinite(seconds) else "unknown"


def _problems(report: Report) -> str:
    links = [f"<a href='#v{number}'>{_breakable(one.ledger.video_id)}</a>" for number, one in enumerate(report.videos)]
    links += [_breakable(one.ledger.video_id) for one in report.others]
    ledgers = [one.ledger for one in report.videos] + [one.ledger for one in report.others]
    rows = [
        [link, _breakable(object_id), SYMBOLS[entry.status], _breakable(entry.error or ""), str(entry.attempts)]
        for link, ledger in zip(links, ledgers, strict=True)
        for object_id, entry in sorted(ledger.tracks.items(), key=lambda item: (len(item[0]), item[0]))
        if entry.status != "done"
    ]
    if not rows:
        return "<h2>What failed</h2><p>Nothing.</p>"
    head = ("Video", "Object", "Ended", "Why", "Attempts")
    left_out = len(rows) - MAX_PROBLEMS
    more = f"<p>And {left_out:,} more: samurai-batch status lists all of them.</p>" if left_out > 0 else ""
    return f"<h2>What failed</h2>{_table('Tracks that are not done', head, rows[:MAX_PROBLEMS])}{more}"


def _others(report: Report) -> str:
    """The videos that are not told in detail, and that they are not."""
    if not report.others:
        return ""
    rows = [
        [
            _breakable(one.ledger.video_id),
            f"{len(one.ledger.tracks) - one.num_not_done:,} of {len(one.ledger.tracks):,}",
            f"{one.num_rows:,}",
            f"{one.num_moments:,}",
        ]
        for one in report.others
    ]
    total = len(report.videos) + len(rows)
    sentence = (
        f"{len(report.videos):,} of {total:,} videos have timelines and pictures on this page, "
        f"those with failed tracks and then with the most moments first. {len(rows):,} are left out and listed here; "
        "a higher --max-videos shows more of them."
    )
    head = ("Video", "Tracks done", "Rows", "Moments to look at")
    return f"<h2 id='others'>Other videos</h2><p>{sentence}</p>{_table('Videos without details', head, rows)}"


def _table(caption: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Cells are HTML already."""
    names = "".join(f"<th scope='col'>{name}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    table = f"<table><caption>{caption}</caption><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div class='wide' role='region' aria-label='{caption}' tabindex='0'>{table}</div>"


def _video(number: int, video: VideoReport) -> str:
    ledger, pictures = video.ledger, video.pictures
    facts = [("File", redact_uri(ledger.video_uri))]
    if ledger.facts is not None:
        facts.append(("Size", f"{ledger.facts.width} x {ledger.facts.height}, {ledger.facts.num_frames:,} frames"))
    parts = [f"<section><h3 id='v{number}'>{_breakable(ledger.video_id)}</h3>{_pairs(facts)}"]
    if pictures.sheet is not None:
        shown = ", ".join(str(index) for index in pictures.sheet_frames)
        alt = escape(f"{len(pictures.sheet_frames)} frames of {ledger.video_id} with masks drawn: {shown}")
        parts.append(_image(pictures.sheet, alt, "sheet"))
    elif pictures.problem is not None:
        parts.append(f"<p>No pictures: {_breakable(pictures.problem)}</p>")
    if pictures.num_left_out:
        limit = f"a video has {MAX_MOMENTS_OF_VIDEO} at most"
        parts.append(f"<p>{pictures.num_left_out:,} more moments have no picture: {limit}.</p>")
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
        image = _image(picture, alt, "moment") if picture else ""
        caption = f"<figcaption><b>{number}. {moment.kind}</b>: {escape(moment.text)}</figcaption>"
        figures.append(f"<figure id='{anchor}-{number}' tabindex='-1'>{image}{caption}</figure>")
    return f"<div class='moments'>{''.join(figures)}</div>" if figures else ""


def _image(picture: Picture, alt: str, kind: str) -> str:
    size = f"width='{picture.width}' height='{picture.height}'"
    return f"<img class='{kind}' src='{escape(picture.src)}' alt='{alt}' {size} loading='lazy'>"


def _pairs(facts: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{_breakable(value)}</dd>" for name, value in facts)
    return f"<dl class='facts'>{rows}</dl>"


def _breakable(text: str) -> str:
    """Text whose long paths may break at their slashes."""
    return escape(text).replace("/", "/<wbr>")
