"""Results as others read them: tables of papers and leaderboards, dataset descriptions, cards, experiment trackers."""

from typing import Literal

FormatName = Literal["robustbench", "croissant", "model-card", "latex", "timm", "every-eval-ever"]
