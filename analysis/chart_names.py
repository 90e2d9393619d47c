"""Names of charts with what each shows, and none of what draws them: all that help and completion ask for."""

# In the order of the help; `charts.drawing` has the functions
CHART_MEANINGS = {
    "ranking": "mean accuracy under corruption, with intervals",
    "curves": "accuracy along severity, a panel a corruption",
    "drops": "the accuracy that each corruption costs at each severity",
    "shapes": "how much a corruption costs, and whether early or late",
    "distortion-shapes": "bow over measured distortion against bow over severity",
    "differences": "accuracy of the second network named minus the first's",
    "answers": "how much of all answers is the commonest one",
    "confusion": "what images are taken for in each network's worst cell",
    "attention": "how far attention drifts, against accuracy",
    "object-attention": "the share of attention inside the object masks",
    "exemplars": "images from clean to the last severity, with attention",
    "onset": "how many images have not failed yet, by severity",
    "calibration": "how often the network is right at each confidence",
    "failure-prediction": "how well each score tells failures from right answers",
    "risk-coverage": "the error that is left where the least sure abstain",
    "seen-coming": "whether scores tell which image fails next",
    "distortion": "how far corrupted images lie from clean ones",
}
IMAGE_CHART_MEANINGS = {
    "contact-sheet": "one image under every corruption",
    "distortion": CHART_MEANINGS["distortion"],
}


def complete_chart(incomplete: str) -> list[tuple[str, str]]:
    """Charts, for a shell that completes a line."""
    every = CHART_MEANINGS | IMAGE_CHART_MEANINGS
    return [(name, meaning) for name, meaning in every.items() if name.startswith(incomplete)]
