"""The tracker: SAMURAI and plain SAM 2 over the network of :mod:`samurai_batch.modeling`."""
