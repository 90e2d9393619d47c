"""Images in: data-set layouts, corruption recipes, checksums, downloads."""
