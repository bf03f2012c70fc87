"""Single images: prompts answered by SAM or SAM 2, everything mode, and prompts by words."""
