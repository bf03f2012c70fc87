"""Unusual videos as they occur in datasets: without frames, without a key frame."""

from pathlib import Path

import av

from tests.video.movies import write_movie


def write_without_frames(path: Path) -> Path:
    """A container whose video stream has no packets."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    return path


def write_without_key_frame(path: Path) -> Path:
    """A recording that lacks its key frame, because it begins in the middle."""
    whole = write_movie(path.with_name(f"whole-{path.name}"), num_frames=30, options={"g": "1000", "bf": "0"})
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None and not packet.is_keyframe:
                packet.stream = stream
                target.mux(packet)
    whole.unlink()
    return path
