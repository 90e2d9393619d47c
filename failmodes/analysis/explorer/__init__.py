"""The explorer: a page in the browser, from accuracy curves to a cell to its images; `app` is the marimo notebook."""
