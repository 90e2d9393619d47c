"""A comparison of two networks as people and programs read it: text, Markdown, HTML, JSON and data frames."""
