"""The network: torch modules only, without any memory of a video, and the loading of their weights."""
