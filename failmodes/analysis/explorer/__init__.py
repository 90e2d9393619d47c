"""The explorer: one page in the browser, from curves to a cell to its pictures; `app` arranges what the others read."""
