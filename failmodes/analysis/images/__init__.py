"""Single evaluated images: found in the warehouse, reproduced from their clean image, and checked."""
