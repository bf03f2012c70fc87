"""The tracker: SAMURAI's and SAM 2's rules on the network of :mod:`samurai_batch.modeling`."""
