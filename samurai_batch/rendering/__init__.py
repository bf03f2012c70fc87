"""Drawing results: masks, boxes, Kalman predictions and scores on the frames of a video."""

from samurai_batch.rendering.render import render

__all__ = ["render"]
