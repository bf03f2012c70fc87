"""Decisions: what belongs together, what goes where, what follows a failure. Values in, values out.

Nothing here knows a clock, a disk, a network or Ray; measured rates come in as numbers.
"""
