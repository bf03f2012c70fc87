"""``samurai-batch measure``: paths, speeds, presence, zones and line crossings of tracks, out of mask tables.

    zones.py       polygons and lines in a file
    paths.py       one track as points over time: path, speed, stays
    crossings.py   where a path crosses a line
    measure.py     all tracks of an output, into tables

The definitions are in the README beside this file.
"""

from samurai_batch.measuring.measure import Measurements, measure_tracks, write_measurements
from samurai_batch.measuring.zones import Line, Zone, Zones, read_zones

__all__ = ["Line", "Measurements", "Zone", "Zones", "measure_tracks", "read_zones", "write_measurements"]
