// Make wide tables scrollable by keyboard
addEventListener("load", () => document.querySelectorAll(".md-typeset__scrollwrap").forEach((each) => (each.tabIndex = 0)));
