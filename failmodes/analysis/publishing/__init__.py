"""Results as others read them: tables of papers and leaderboards, dataset descriptions, cards, experiment trackers."""

from typing import Literal

TrackerName = Literal["mlflow", "wandb", "tensorboard"]
FileFormat = Literal["robustbench", "croissant", "model-card", "latex", "timm", "every-eval-ever"]
FormatName = FileFormat | TrackerName

# Metrics of each cell that trackers and leaderboards receive
METRICS_OF_CELLS = ("accuracy", "top5_accuracy", "ece", "nll_nats", "aurc", "worst_class_accuracy")
