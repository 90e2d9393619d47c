"""Files, local and remote: paths and URLs, atomic writes, locks, where a study keeps them."""
