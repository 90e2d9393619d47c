"""Clean image datasets: layouts on disk, decoding, masks; `open_dataset` opens any of them."""
