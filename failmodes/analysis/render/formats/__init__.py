"""Output formats: a module each, with `SUFFIX` and `render(document, width)`; `render.documents` finds them."""
