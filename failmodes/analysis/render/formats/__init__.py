"""Output formats: a module each, which `render.documents` finds.

Each has `SUFFIX`, and `render(document, width)`, which gives a document as text that ends in a line break, in lines of
at most `width` letters where it breaks any.
"""
