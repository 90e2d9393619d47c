"""The terms of the project: what each means, the column that holds it, its formula and source.

The handbook's glossary and the one at the end of a report are made from this list.
"""

from typing import NamedTuple


class Term(NamedTuple):
    """A term of the glossary.

    Attributes:
        term: as texts and charts write it.
        meaning: in a sentence.
        column: `table.column`, or a table or view, where it can be queried; empty where nothing holds it.
        formula: in plain characters; empty where the meaning says all.
        source: paper or standard that defines it; empty for plain words.
    """

    term: str
    meaning: str
    column: str = ""
    formula: str = ""
    source: str = ""


_HENDRYCKS = "Hendrycks & Dietterich 2019"

GLOSSARY = (
    Term("model", "a classifier as the study names it; training runs with several seeds share its name",
         "evaluation_labels.model_name"),
    Term("training run", "one checkpoint of a model, trained with one seed", "models.model_label"),
    Term("evaluation", "one training run on one subset of a dataset and one source of corrupted images",
         "evaluations.evaluation_id"),
    Term("corruption", "a way to degrade images, such as fog", "corruptions.corruption", source=_HENDRYCKS),
    Term("severity", "strength of a corruption, 1 to 5 as published, 0 for clean images; levels are ordinal, not equally "
         "spaced", "accuracy_by_severity.severity", source=_HENDRYCKS),
    Term("cell", "the images of one evaluation under one corruption at one severity; the clean images are one cell, with "
         "corruption 'none' and severity 0", "cell_measures"),
    Term("headline corruptions", "the 15 corruptions that published means average over; the others are extras",
         "corruptions.headline", source=_HENDRYCKS),
    Term("shared noise", "the random numbers of an image are the same at every severity (common random numbers), so that "
         "only the severity changes along its curve; independent noise takes new ones at each", "sources.noise"),
    Term("distortion", "difference of corrupted images from their clean originals", "distortion_by_severity.mean_rmse",
         "RMSE = sqrt(mean((corrupted - clean)^2)) of values / 255; SSIM in 7x7 windows", "Wang et al. 2004 (SSIM)"),
    Term("prediction", "the class of the largest logit", "predictions.predicted_name", "argmax_c logit_c"),
    Term("correct", "the prediction is the label; an image without finite logits is incorrect", "predictions.correct",
         "predicted = label"),
    Term("accuracy", "share of images that are correct, with Wilson's 95 % interval", "accuracy_by_severity.accuracy",
         "correct / n", "Wilson 1927"),
    Term("error", "share of images that are incorrect", "accuracy_by_severity.error", "1 - accuracy"),
    Term("accuracy drop", "accuracy lost from the clean images to a cell", "accuracy_by_severity.accuracy_drop",
         "clean accuracy - accuracy"),
    Term("mean corruption error (mCE)", "error of a model relative to a baseline's, averaged over corruptions; 1 is as "
         "many errors", "mce_by_baseline.mce", "mean over corruptions of sum_s error / sum_s baseline error",
         _HENDRYCKS),
    Term("relative mCE", "the same of the errors above the clean error", "mce_by_baseline.relative_mce",
         "mean over corruptions of sum_s (error - clean error) / sum_s (baseline's)", _HENDRYCKS),
    Term("balanced accuracy", "mean of the classes' accuracies", "predictions_by_severity.balanced_accuracy",
         "mean over classes of accuracy"),
    Term("worst-class accuracy", "the lowest accuracy of a class", "predictions_by_severity.worst_class_accuracy",
         "min over classes of accuracy"),
    Term("class precision", "share of the images predicted as a class that are of it", "accuracy_by_class.class_precision",
         "correct / predicted as the class"),
    Term("confusion matrix", "images by true class and predicted class", "confusion_by_severity"),
    Term("prediction collapse", "one class dominates the predictions (mode collapse)",
         "predictions_by_severity.top_prediction_share", "max over classes of predicted / n"),
    Term("confidence", "largest softmax probability", "predictions.confidence", "max_c p_c"),
    Term("margin", "largest minus second largest softmax probability", "predictions.margin", "p_(1) - p_(2)"),
    Term("entropy", "entropy of the softmax", "predictions.entropy_nats", "-sum_c p_c ln p_c"),
    Term("negative log-likelihood (NLL)", "mean cross-entropy against the label", "calibration_by_severity.nll_nats",
         "mean(-ln p_label)"),
    Term("Brier score", "squared distance of the probabilities from the label, over all classes",
         "calibration_by_severity.brier", "mean(sum_c (p_c - [c = label])^2)", "Brier 1950"),
    Term("expected calibration error (ECE)", "gap between confidence and accuracy in bins of equal width, weighted by "
         "their images", "calibration_by_severity.ece", "sum_b n_b / n * |accuracy_b - confidence_b|",
         "Naeini et al. 2015"),
    Term("ECE noise floor", "ECE that a calibrated model with these confidences exceeds in 5 % of samples",
         "calibration_by_severity.ece_noise_floor"),
    Term("smooth ECE", "calibration error without bins, by a kernel as wide as the error itself",
         "calibration_by_severity.smooth_ece", source="Błasiok & Nakkiran 2024"),
    Term("overconfidence", "mean confidence above accuracy", "calibration_by_severity.overconfidence",
         "mean confidence - accuracy"),
    Term("temperature scaling", "logits divided by a temperature that minimizes the NLL of clean images, fitted on one "
         "half and applied to the other", "temperature_by_severity.scaled_ece", "softmax(logits / T)", "Guo et al. 2017"),
    Term("failure prediction", "how well a score ranks incorrect predictions below correct ones (misclassification "
         "detection)", "failure_prediction.auroc", "AUROC = P(score_correct > score_incorrect) + P(equal) / 2",
         "Hendrycks & Gimpel 2017"),
    Term("AURC", "area under the risk-coverage curve: mean error rate of the images kept, over all coverages",
         "failure_prediction.aurc", source="Geifman & El-Yaniv 2017"),
    Term("AUGRC", "mean risk of an undetected failure over all coverages", "failure_prediction.augrc",
         source="Traub et al. 2024"),
    Term("risk and coverage", "error rate among the most confident share of images", "risk_coverage.selective_risk"),
    Term("onset", "first severity at which an image is incorrect; unknown beyond the last one (right-censored)",
         "failure_onset.onset_severity", "min {s : incorrect at s}"),
    Term("recovery", "an image is correct again at a severity after its onset", "failure_onset.recovered"),
    Term("surviving share", "share of the images correct when clean that stay correct up to a severity",
         "onset_by_corruption.surviving_share", "Kaplan-Meier product over severities of 1 - failed / at risk",
         "Kaplan & Meier 1958"),
    Term("early warning", "a score predicts which images fail at the next severity, beyond corruption and severity",
         "findings.kind", "share of log-loss saved by the score in a discrete-time hazard model"),
    Term("error consistency", "agreement of two models on which images are correct, beyond chance",
         "model_disagreement.error_consistency", "Cohen's kappa of correctness", "Geirhos et al. 2020"),
    Term("attention", "Grad-CAM map of a class, rectified; not an explanation of the prediction", "attention",
         source="Selvaraju et al. 2017"),
    Term("centroid shift", "distance between the centers of mass of an image's map and its clean map, in image widths",
         "attention_drift.mean_centroid_shift"),
    Term("attention drift", "change of an image's map against its clean map, beside the change against another image's "
         "map (the null)", "attention_drift"),
    Term("null map", "the clean map of another image, of any class or of the same: drift without any relation to the "
         "image", "attention_drift.null_class_mean_centroid_shift"),
    Term("attention on the object", "share of a map's mass inside the object mask", "attention_on_object.mean_mask_share"),
    Term("pointing game", "whether a map's maximum lies inside the object mask", "attention_on_object.pointing_accuracy",
         source="Zhang et al. 2018"),
    Term("curvature", "how early or late accuracy drops: mean height of a curve above the straight line between its ends, "
         "as a share of the drop; positive is late", "shapes.curvature",
         "mean over inner severities of (accuracy - chord) / total drop, weighted by the span of each"),
    Term("shape", "class of a curve by its drop and curvature", "shapes.shape"),
    Term("abrupt drop", "one step loses more than twice its even share of the drop", "shapes.abrupt_drop"),
    Term("stability", "share of bootstrap resamples of the images that give the same shape", "shapes.stability"),
    Term("finding", "a statement about the data that failmodes proposes, with its verdict", "findings.sentence"),
    Term("claim", "a statement that the study file makes, judged on the data", "claims.claim"),
    Term("verdict", "supported: the whole interval agrees with the statement; contradicted: it lies on the other side; "
         "inconclusive: neither, so more images are needed", "findings.verdict"),
    Term("gate rule", "a requirement on a candidate model, alone or against a baseline: pass, fail or inconclusive; "
         "missing where its cells were not evaluated"),
)  # fmt: skip
