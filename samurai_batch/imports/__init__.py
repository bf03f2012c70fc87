"""``samurai-batch prompts --from``: prompts from the files of annotation tools, and corrections of an output.

files.py          the format of a file by its content; FORMATS
prompts.py        what an import finds, and the videos that it may name
cvat.py, label_studio.py, coco.py, text_formats.py     one reader for each format
corrections.py    what differs from the exported masks, and the tracks of a job with it
"""

from samurai_batch.imports.corrections import Import, corrections, to_tracks
from samurai_batch.imports.files import FORMATS, read_annotations
from samurai_batch.imports.prompts import ImportedPrompt, ImportedPrompts, Videos

__all__ = [
    "FORMATS",
    "Import",
    "ImportedPrompt",
    "ImportedPrompts",
    "Videos",
    "corrections",
    "read_annotations",
    "to_tracks",
]
