"""Output formats: one module each, found by `render.documents`.

Each has `SUFFIX` and `render(document, width)`, which returns the document as text ending in a line break, wrapped at
`width` characters if the format wraps lines.
"""
