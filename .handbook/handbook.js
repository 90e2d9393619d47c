// Tables that are wider than the screen are scrolled by keyboard too
addEventListener("load", () => document.querySelectorAll(".md-typeset__scrollwrap").forEach((each) => (each.tabIndex = 0)));
