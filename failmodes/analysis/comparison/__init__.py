"""A comparison of two models as people and programs read it: text, Markdown, HTML, JSON and data frames."""
