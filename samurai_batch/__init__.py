"""samurai_batch: the SAMURAI tracker over datasets of long videos."""
