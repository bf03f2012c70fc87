"""Training of the embedded model `nano` on generated video: batches, losses, schedule, resumable state."""
