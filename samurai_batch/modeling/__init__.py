"""The networks of SAM and SAM 2 as torch modules, which hold no state of a video, and the loading of weights."""
