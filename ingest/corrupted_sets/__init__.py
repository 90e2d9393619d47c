"""Writing corrupted sets in the published layouts, so that any other tool can read them."""
