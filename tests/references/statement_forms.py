"""Every form of a claim: its keys, and what it says in English."""

from typing import Any

FOG: dict[str, Any] = {"metric": "accuracy", "corruptions": ["fog"]}
NOISE = {"corruptions": ["gaussian_noise"]}
LIMITED: dict[str, Any] = FOG | {"relation": "at_least", "limit": 0.3}
SHIFTED: dict[str, Any] = {"metric": "accuracy", "shift": "CIFAR-10.1"}
FLAT: dict[str, Any] = {"shape": "flat", "corruptions": ["fog"]}

FORMS: list[tuple[dict[str, Any], str]] = [
    (LIMITED | {"severities": [5]}, "accuracy under fog at severity 5 is at least 30%"),
    (FOG | {"relation": "at_most", "limit": 0.875}, "accuracy under fog on average over severities is at most 87.5%"),
    ({"metric": "ece", "relation": "at_most", "limit": 0.05, "over": "each", "severities": [1.5, 3]},
     "calibration error (ECE) under each corruption at severities 1.5 and 3 is at most 5%"),
    ({"metric": "accuracy", "corruptions": ["none"], "relation": "more_than", "limit": 0.9},
     "accuracy on clean images is more than 90%"),
    (FOG | {"relation": "less_than", "other": NOISE, "severities": "last"},
     "accuracy is lower under fog than under Gaussian noise at the last severity"),
    (FOG | {"relation": "more_than", "other": {"severities": [1]}, "severities": [5], "limit": 0.02},
     "accuracy under fog at severity 5 minus that under fog at severity 1 is more than 2 points"),
    (FOG | {"relation": "drop_at_most", "limit": 0.1, "severities": [5]},
     "accuracy drops by at most 10 points under fog at severity 5"),
    ({"metric": "augrc", "score": "margin", "corruptions": ["headline"], "relation": "drop_at_least", "limit": 0.1},
     "AUGRC by margin worsens from clean images by at least 0.1 on average over the headline corruptions"),
    ({"metric": "error_accepted", "threshold": 0.93, "corruptions": ["fog"], "relation": "at_most", "limit": 0.05},
     "error among images accepted at 0.93 under fog on average over severities is at most 5%"),
    (FOG | {"relation": "largest_drop", "model": "Net A"},
     'accuracy of "Net A" drops most under fog on average over severities'),
    ({"metric": "accuracy", "model": "A", "baseline": "B", "relation": "better_by_at_least"},
     'accuracy of "A" on average over corruptions is better than that of "B"'),
    (FOG | {"baseline": "B", "relation": "better_by_at_most", "limit": 0.01},
     'accuracy under fog on average over severities is at most 1 point better than that of "B"'),
    (FOG | {"baseline": "B", "relation": "worse_by_at_most", "limit": 0.01},
     'accuracy under fog on average over severities is at most 1 point worse than that of "B"'),
    (FOG | {"relation": "worse_than_rest", "filter": "camera = 'B'", "severities": [3]},
     "accuracy (images where camera = 'B') under fog at severity 3 is worse than on all other images"),
    (FOG | {"relation": "worse_than_rest", "filter": "camera = 'B'", "limit": 0.05, "severities": [3]},
     "accuracy (images where camera = 'B') under fog at severity 3 is more than 5 points worse than on all other "
     "images"),
    (SHIFTED | {"relation": "gap_at_most", "limit": 0.05},
     "accuracy is at most 5 points worse under the shift CIFAR-10.1 than on clean images"),
    (SHIFTED | {"relation": "gap_at_least", "limit": 0.01, "model": "A"},
     'accuracy of "A" is at least 1 point worse under the shift CIFAR-10.1 than on clean images'),
    (SHIFTED | {"relation": "at_least", "limit": 0.8}, "accuracy under the shift CIFAR-10.1 is at least 80%"),
    (SHIFTED | {"relation": "worse_by_at_most", "baseline": "B"},
     'accuracy under the shift CIFAR-10.1 is no worse than that of "B"'),
    (FLAT, "the accuracy curve under fog is flat"),
    ({"kind": "attention_on_object", "corruptions": ["none"]}, "attention on clean images is on the object"),
    ({"kind": "attention_drift", "corruptions": ["fog"], "negate": True},
     "attention under fog loses its clean location"),
    ({"kind": "overconfidence", "corruptions": ["fog", "snow"]}, "overconfidence under fog and snow"),
]  # fmt: skip
