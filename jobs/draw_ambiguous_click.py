"""Draw the three masks that a model predicts for one click, side by side, best first.

    python jobs/draw_ambiguous_click.py --picture photo.jpg --click 320,200 --output click.png

Without a picture, one is generated, and the click is on the centre of its first object.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from samurai_batch.images.networks import load_network
from samurai_batch.images.predictor import ImagePredictor
from samurai_batch.rendering.annotate import Annotation, annotate
from samurai_batch.rendering.output import contact_sheet
from samurai_batch.synthetic import demo_clip

Pixels = NDArray[np.uint8]
Point = tuple[float, float]


def draw(predictor: ImagePredictor, pixels: Pixels, click: Point, tile_width_px: int) -> Image.Image:
    """The picture with the click, and with each of the three masks, captioned with their predicted IoUs."""
    predictor.set_image(pixels)
    prediction = predictor.predict(points_xy=[click], labels=[1])
    tiles = [("one click", _with_click(pixels, click))]
    for number, index in enumerate(np.argsort(-prediction.ious), start=1):
        tinted = annotate(pixels, [Annotation(0, "", prediction.masks[index])])
        tiles.append((f"mask {number}: predicted IoU {prediction.ious[index]:.2f}", _with_click(tinted, click)))
    return contact_sheet(tiles, columns=4, tile_width_px=tile_width_px)


def _with_click(pixels: Pixels, click: Point) -> Pixels:
    image = Image.fromarray(pixels)
    radius = max(image.width, image.height) / 60
    x, y = click
    ImageDraw.Draw(image).ellipse(
        (x - radius, y - radius, x + radius, y + radius), fill=(220, 40, 40), outline=(255, 255, 255), width=2
    )
    return np.asarray(image)


def generated() -> tuple[Pixels, Point]:
    """The first frame of the demo clip, and the pixel of its first object that is nearest to the object's centre."""
    clip = demo_clip()
    rows, columns = np.nonzero(clip.masks[0, 0])
    centre = np.array([columns.mean(), rows.mean()])
    nearest = np.argmin(np.hypot(columns - centre[0], rows - centre[1]))
    return clip.frames[0], (float(columns[nearest]), float(rows[nearest]))


def main() -> None:
    """Draw the picture and save it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="the PNG to write")
    parser.add_argument("--picture", type=Path, help="a picture; default: a generated one")
    parser.add_argument("--click", help="x,y in pixels of the picture")
    parser.add_argument("--model", default="nano", help="a model's name")
    parser.add_argument("--weights", help="a path, a URI or untrained:<seed>; default: those that ship")
    parser.add_argument("--tile-width-px", type=int, default=280)
    arguments = parser.parse_args()
    if (arguments.picture is None) != (arguments.click is None):
        parser.error("--picture and --click must be given together")
    if arguments.picture is None:
        pixels, click = generated()
    else:
        pixels = np.asarray(Image.open(arguments.picture).convert("RGB"))
        x, y = arguments.click.split(",")
        click = float(x), float(y)
    predictor = ImagePredictor(load_network(arguments.model, arguments.weights))
    draw(predictor, pixels, click, arguments.tile_width_px).save(arguments.output)


if __name__ == "__main__":
    main()
