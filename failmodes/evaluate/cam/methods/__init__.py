"""CAM methods: each class with a keyword `name` is one of a study's; docs/extending.md has a complete file."""
