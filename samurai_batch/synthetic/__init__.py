"""Procedural video with exact masks: for training, demonstrations, tests and measuring."""
