"""Pictures of results: masks, boxes, predictions and scores drawn over their frames."""

from samurai_batch.rendering.render import render

__all__ = ["render"]
