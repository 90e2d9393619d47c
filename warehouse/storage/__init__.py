"""Files, wherever they lie: paths and URLs, atomic writes, locks."""
