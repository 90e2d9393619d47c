"""Local and remote files: paths and URLs, atomic writes, locks, locations of a study."""
