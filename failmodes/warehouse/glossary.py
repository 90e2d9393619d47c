"""The glossary: the meaning of each term, its column, formula and source.

The handbook's glossary and the one at the end of a report are made from this list. A term that is a metric takes its
formula and source from the registry of metrics, which is loaded only when terms are shown.
"""

from typing import NamedTuple


class Term(NamedTuple):
    """A term of the glossary.

    Attributes:
        term: as in texts and charts.
        meaning: one sentence.
        column: `table.column`, or a table or view, where it can be queried; empty if there is none.
        formula: in plain characters; empty if the meaning suffices, and for a metric, which has its own.
        source: paper or standard that defines it; empty for plain words, and for a metric, which has its own.
        metric: name of the metric, whose formula and source are in the registry.
    """

    term: str
    meaning: str
    column: str = ""
    formula: str = ""
    source: str = ""
    metric: str = ""


def glossary() -> tuple[Term, ...]:
    """All terms, those that are metrics with the formula and source of their metric."""
    from failmodes.warehouse.metrics.metric import all_metrics

    metrics = all_metrics()
    return tuple(
        term._replace(formula=metrics[term.metric].formula, source=metrics[term.metric].source) if term.metric else term
        for term in GLOSSARY
    )


_HENDRYCKS = "Hendrycks & Dietterich 2019"

GLOSSARY = (
    Term(
        "model",
        "a classifier as the study names it; training runs with several seeds share its name",
        column="evaluation_labels.model_name",
    ),
    Term(
        "training run",
        "one checkpoint of a model, trained with one seed",
        column="models.model_label",
    ),
    Term(
        "evaluation",
        "one training run on one subset of a dataset and one source of corrupted images",
        column="evaluations.evaluation_id",
    ),
    Term(
        "corruption",
        "a way to degrade images, such as fog",
        column="corruptions.corruption",
        source=_HENDRYCKS,
    ),
    Term(
        "severity",
        "strength of a corruption, 1 to 5 as published, 0 for clean images; levels are ordinal, not equally spaced",
        column="accuracy_by_severity.severity",
        source=_HENDRYCKS,
    ),
    Term(
        "cell",
        "the images of one evaluation under one corruption at one severity; the clean images are one cell, with "
        "corruption 'none' and severity 0",
        column="cell_metrics",
    ),
    Term(
        "metric",
        "a number that is computed from the images of a cell, with an interval over images",
        column="metrics.metric",
    ),
    Term(
        "headline corruptions",
        "the 15 corruptions that published means average over; the others are extras",
        column="corruptions.headline",
        source=_HENDRYCKS,
    ),
    Term(
        "shared noise",
        "the random numbers of an image are the same at every severity (common random numbers), so that only "
        "the severity changes along its curve; independent noise takes new ones at each",
        column="sources.noise",
    ),
    Term(
        "distortion",
        "difference of corrupted images from their clean originals, as root mean square (RMSE)",
        column="distortion_by_severity.mean_rmse",
        metric="mean_rmse",
    ),
    Term(
        "structural similarity (SSIM)",
        "similarity of corrupted images to their clean originals in brightness, contrast and structure",
        column="distortion_by_severity.mean_ssim",
        metric="mean_ssim",
    ),
    Term(
        "prediction",
        "the class of the largest logit",
        column="predictions.predicted_name",
        formula="argmax_c logit_c",
    ),
    Term(
        "correct",
        "the prediction is the label; an image without finite logits is incorrect",
        column="predictions.correct",
        formula="predicted = label",
    ),
    Term(
        "accuracy",
        "share of images that are correct, with the exact 95% interval",
        column="accuracy_by_severity.accuracy",
        metric="accuracy",
    ),
    Term(
        "error",
        "share of images that are incorrect",
        column="accuracy_by_severity.error",
        metric="error",
    ),
    Term(
        "top-5 accuracy",
        "share of images whose label is among the five largest logits",
        column="accuracy_by_severity.top5_accuracy",
        metric="top5_accuracy",
    ),
    Term(
        "accuracy drop",
        "accuracy lost from the clean images to a cell",
        column="accuracy_by_severity.accuracy_drop",
        formula="clean accuracy - accuracy",
    ),
    Term(
        "mean corruption error (mCE)",
        "error of a model relative to a baseline's, averaged over corruptions; 1 is as many errors",
        column="mce_by_baseline.mce",
        formula="mean over corruptions of sum_s error / sum_s baseline error",
        source=_HENDRYCKS,
    ),
    Term(
        "relative mCE",
        "the same of the errors above the clean error",
        column="mce_by_baseline.relative_mce",
        formula="mean over corruptions of sum_s (error - clean error) / sum_s (baseline's)",
        source=_HENDRYCKS,
    ),
    Term(
        "balanced accuracy",
        "mean of the classes' accuracies",
        column="predictions_by_severity.balanced_accuracy",
        metric="balanced_accuracy",
    ),
    Term(
        "worst-class accuracy",
        "the lowest accuracy of a class",
        column="predictions_by_severity.worst_class_accuracy",
        metric="worst_class_accuracy",
    ),
    Term(
        "class precision",
        "share of the images predicted as a class that are of it",
        column="accuracy_by_class.class_precision",
        formula="correct / predicted as the class",
    ),
    Term(
        "confusion matrix",
        "images by true class and predicted class",
        column="confusion_by_severity",
    ),
    Term(
        "prediction collapse",
        "one class dominates the predictions (mode collapse)",
        column="predictions_by_severity.top_prediction_share",
        metric="top_prediction_share",
    ),
    Term(
        "confidence",
        "largest softmax probability",
        column="predictions.confidence",
        formula="max_c p_c",
    ),
    Term(
        "margin",
        "largest minus second largest softmax probability",
        column="predictions.margin",
        formula="p_(1) - p_(2)",
    ),
    Term(
        "entropy",
        "entropy of the softmax",
        column="predictions.entropy_nats",
        formula="-sum_c p_c ln p_c",
    ),
    Term(
        "negative log-likelihood (NLL)",
        "mean cross-entropy against the label",
        column="calibration_by_severity.nll_nats",
        metric="nll_nats",
    ),
    Term(
        "Brier score",
        "squared distance of the probabilities from the label, over all classes",
        column="calibration_by_severity.brier",
        metric="brier",
    ),
    Term(
        "expected calibration error (ECE)",
        "gap between confidence and accuracy in bins of equal width, weighted by their images",
        column="calibration_by_severity.ece",
        metric="ece",
    ),
    Term(
        "ECE noise floor",
        "ECE that a calibrated model with these confidences exceeds in 5% of samples",
        column="calibration_by_severity.ece_noise_floor",
        metric="ece_noise_floor",
    ),
    Term(
        "smooth ECE",
        "calibration error without bins, by a kernel as wide as the error itself",
        column="calibration_by_severity.smooth_ece",
        metric="smooth_ece",
    ),
    Term(
        "overconfidence",
        "mean confidence above accuracy",
        column="calibration_by_severity.overconfidence",
        metric="overconfidence",
    ),
    Term(
        "temperature scaling",
        "logits divided by a temperature that minimizes the NLL of clean images, fitted on one half and applied "
        "to the other",
        column="temperature_by_severity.scaled_ece",
        formula="softmax(logits / T)",
        source="Guo et al. 2017",
    ),
    Term(
        "failure prediction",
        "how well a score ranks incorrect predictions below correct ones (misclassification detection), as AUROC",
        column="failure_prediction.auroc",
        metric="auroc",
    ),
    Term(
        "AURC",
        "area under the risk-coverage curve: mean error rate of the images kept, over all coverages",
        column="failure_prediction.aurc",
        metric="aurc",
    ),
    Term(
        "AUGRC",
        "mean risk of an undetected failure over all coverages",
        column="failure_prediction.augrc",
        metric="augrc",
    ),
    Term(
        "risk and coverage",
        "error rate among the most confident share of images",
        column="risk_coverage.selective_risk",
    ),
    Term(
        "onset",
        "first severity at which an image is incorrect; unknown beyond the last one (right-censored)",
        column="failure_onset.onset_severity",
        formula="min {s : incorrect at s}",
    ),
    Term(
        "recovery",
        "an image is correct again at a severity after its onset",
        column="failure_onset.recovered",
    ),
    Term(
        "mean onset",
        "mean of the onset over images, restricted to the severities up to a cell",
        column="cell_metrics.value",
        metric="onset_severity",
    ),
    Term(
        "surviving share",
        "share of the images correct when clean that stay correct up to a severity",
        column="onset_by_corruption.surviving_share",
        metric="surviving_share",
    ),
    Term(
        "early warning",
        "a score predicts which images fail at the next severity, beyond corruption and severity",
        column="findings.kind",
        formula="share of log-loss saved by the score in a discrete-time hazard model",
    ),
    Term(
        "error consistency",
        "agreement of two models on which images are correct, beyond chance",
        column="model_disagreement.error_consistency",
        formula="Cohen's kappa of correctness",
        source="Geirhos et al. 2020",
    ),
    Term(
        "attention",
        "Grad-CAM map of a class, rectified; not an explanation of the prediction",
        column="attention",
        source="Selvaraju et al. 2017",
    ),
    Term(
        "centroid shift",
        "distance between the centers of mass of an image's map and its clean map, in image widths",
        column="attention_drift.mean_centroid_shift",
        metric="mean_centroid_shift",
    ),
    Term(
        "attention drift",
        "change of an image's map against its clean map, beside the change against another image's map (the null)",
        column="attention_drift",
    ),
    Term(
        "null map",
        "the clean map of another image, of any class or of the same: drift without any relation to the image",
        column="attention_drift.null_class_mean_centroid_shift",
        metric="null_class_mean_centroid_shift",
    ),
    Term(
        "attention consistency",
        "where the prediction stays, the map stays closer to its own clean map than to another of the class",
        column="attention_by_prediction.attention_consistency",
        metric="attention_consistency",
    ),
    Term(
        "attention responsiveness",
        "where the prediction changes, the map moves farther than where it stays",
        column="attention_by_prediction.attention_responsiveness",
        metric="attention_responsiveness",
    ),
    Term(
        "attention on the object",
        "share of a map's mass inside the object mask",
        column="attention_on_object.mean_mask_share",
        metric="mean_mask_share",
    ),
    Term(
        "pointing game",
        "whether a map's maximum lies inside the object mask",
        column="attention_on_object.pointing_accuracy",
        metric="pointing_accuracy",
    ),
    Term(
        "curvature",
        "how early or late accuracy drops: mean height of a curve above the straight line between its ends, as "
        "a share of the drop; positive is late",
        column="shapes.curvature",
        formula="mean over inner severities of (accuracy - chord) / total drop, weighted by the span of each",
    ),
    Term(
        "shape",
        "how a curve goes from clean to the last severity, in one word: flat, near_linear, early, late, middle, "
        "abrupt, two_steps, recovers, up_and_down or rise",
        column="shapes.shape",
    ),
    Term(
        "stability",
        "share of resamples of a curve that have the shape of the sample",
        column="shapes.stability",
    ),
    Term(
        "finding",
        "a statement about the data that failmodes proposes, with its verdict",
        column="findings.sentence",
    ),
    Term(
        "claim",
        "a statement that the study file makes, judged on the data",
        column="claims.claim",
    ),
    Term(
        "verdict",
        "supported: the whole interval agrees with the statement; contradicted: it is on the other side; "
        "inconclusive: neither, so more images are needed",
        column="findings.verdict",
    ),
    Term(
        "gate rule",
        "a requirement on a candidate model, alone or against a baseline: pass, fail or inconclusive; missing "
        "where its cells were not evaluated",
    ),
)
