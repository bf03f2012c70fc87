"""Video with alpha: what PyAV decodes has the masks as alpha, frame by frame."""

from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from samurai_batch.exports import FORMATS
from tests.exports.made_masks import Masks, video_masks, write_frames

SIZE = 48, 65


def disc(frame: int) -> np.ndarray:
    mask = np.zeros(SIZE, np.bool_)
    mask[8:40, 10 + 4 * frame : 40 + 4 * frame] = True
    return mask


MASKS: Masks = {("a b", 1): disc(1), ("a b", 2): np.zeros(SIZE, np.bool_), ("a b", 3): disc(3), ("c", 0): disc(0)}


def alpha_of(picture: Any) -> np.ndarray:
    """The alpha plane, 0 to 1; converting to RGBA is left out, which may read beyond the edge of a plane."""
    plane, bits = picture.planes[3], picture.format.components[3].bits
    values = np.frombuffer(plane, np.uint8 if bits == 8 else np.uint16)
    return np.asarray(values.reshape(plane.height, -1)[: SIZE[0], : SIZE[1]] / (2**bits - 1))


@pytest.mark.parametrize(
    ("name", "suffix", "decoder"), [("prores4444", "mov", "prores"), ("vp9-alpha", "webm", "libvpx-vp9")]
)
def test_alpha_is_the_mask_and_frames_are_those_of_the_track(
    tmp_path: Path, name: str, suffix: str, decoder: str
) -> None:
    uri = write_frames(tmp_path / "clip", SIZE)
    files = dict(FORMATS[name]([video_masks("clip", MASKS, uri)]))
    assert files.keys() == {f"clip/a%20b.{suffix}", f"clip/c.{suffix}"}
    with av.open(BytesIO(files[f"clip/a%20b.{suffix}"]), "r") as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name.startswith(("prores", "vp9", "libvpx"))
        codec: Any = av.codec.CodecContext.create(decoder, "r")
        codec.extradata = stream.codec_context.extradata
        codec.codec_tag = stream.codec_context.codec_tag
        pictures = [frame for packet in container.demux(stream) for frame in codec.decode(packet)]
    assert len(pictures) == 3, "from the first row to the last one"
    times = [picture.time for picture in pictures]
    np.testing.assert_allclose(np.diff(times), 1 / 25, atol=2e-3)
    for index, picture in enumerate(pictures, start=1):
        assert (picture.height, picture.width) == (48, 66), "an odd width is padded"
        alpha = alpha_of(picture)
        expected = MASKS["a b", index]
        assert (alpha[expected] > 0.98).mean() > 0.99 if expected.any() else alpha.max() < 0.02
        assert (alpha[~expected] < 0.02).mean() > 0.99
        if expected.any():
            colour = picture.to_ndarray(format="rgb24")[: SIZE[0], : SIZE[1]][expected].astype(int)
            assert np.abs(np.median(colour, axis=0) - (30 * index, 60, 90)).max() <= 4


def test_a_cut_out_has_the_same_bytes_every_time(tmp_path: Path) -> None:
    uri = write_frames(tmp_path / "clip", SIZE)
    made = {dict(FORMATS["prores4444"]([video_masks("clip", MASKS, uri)]))["clip/c.mov"] for _ in range(20)}
    assert len(made) == 1
