"""SENTRY: a rescue that verifies other masks by tracking them back in time, where the host seems to have failed.

Source: https://arxiv.org/abs/2606.24449, and the numbers of the authors' program, github.com/HamadYA/SENTRY at dd4486c.

    gate ──> candidates ──> reverse test of each, and of the host's mask ──> verified? ──> it is the mask of the frame
    (gate)   (candidates)   (reverse)                                       (verification)

It needs a host with one path: with several (`mode: sam2long`), rows and memories of a frame are decided later.

Where ours differs from the authors' program, which tests every frame:

- Masks are tested on frames alone whose gate is open, and only where at least ``sentry_reverse_min_history`` of the
  last frames have a box: without, nothing can be verified. The pool therefore holds the trajectories of the last frame
  that was tested, instead of the frame before; those that have no frame in common with the ones at hand are dropped.
- The reverse test's tracker is plain SAM 2, whatever the host.
- A prompted frame, of which there may be several, is accepted as it is, and all but the appearance of the object on
  the first frame starts anew there. Boxes on it are those of its mask.
- The first frame is the first one with a mask, also of a track that began with the memories of another video.
"""
