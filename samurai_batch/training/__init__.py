"""Training a small model of the same code that tracks: losses, clips, schedule, resumable state."""
