"""Where the weights of each model come from, and under which licence their authors published them."""

from dataclasses import dataclass

REPOSITORIES = {
    "sam2": ("facebookresearch/sam2", "Apache-2.0"),
    "efficienttam": ("yformer/EfficientTAM", "Apache-2.0"),
    "edgetam": ("facebookresearch/EdgeTAM", "Apache-2.0"),
    "sam_": ("facebookresearch/segment-anything", "Apache-2.0"),
}
"""The authors' repository on GitHub, and its licence, by the beginning of a model's name."""

_SAM_FILES = {
    "sam_vit_b": "sam_vit_b_01ec64.pth",
    "sam_vit_l": "sam_vit_l_0b3195.pth",
    "sam_vit_h": "sam_vit_h_4b8939.pth",
}


@dataclass(frozen=True)
class Release:
    """A file of weights: its name as published, its authors' repository, and its licence."""

    file: str
    repository: str
    license: str


def release_of(model: str) -> Release | None:
    """The release of a model's weights; None for the model that ships with the package."""
    for prefix, (repository, license_name) in REPOSITORIES.items():
        if model.startswith(prefix):
            return Release(_SAM_FILES.get(model, f"{model}.pt"), repository, license_name)
    return None
