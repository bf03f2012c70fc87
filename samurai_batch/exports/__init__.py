"""Mask tables in the formats that other tools read."""

from samurai_batch.exports.export import FORMATS, export_masks

__all__ = ["FORMATS", "export_masks"]
