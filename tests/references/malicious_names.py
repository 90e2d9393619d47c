"""Names of models, classes and data sets as whoever means harm would choose them."""

MALICIOUS = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    "{{7*7}} ${7*7} {% raise %}",
    "`backticks` \"double\" 'single' \\back\\slash",
    "\N{GRINNING FACE} \N{FAMILY} \N{REGIONAL INDICATOR SYMBOL LETTER J}\N{REGIONAL INDICATOR SYMBOL LETTER P} emoji",
    "\u202eright to left override\u202c",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 (right to left)",
    "W" * 60,
    "--></style><style>*{display:none}</style>",
    "&lt;b&gt; &amp; &#x3c;i> \u2028 end",
)
