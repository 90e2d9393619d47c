-- One row per evaluation of a natural shift: accuracy beside the clean accuracy on the same classes, and the gap.
-- The exact limits of both accuracies give the 95% interval of the gap of two independent samples, combined as Newcombe
-- combines Wilson's (1998, Statistics in Medicine 17, 873-890, method 10).
-- Effective robustness (Taori et al. 2020) is the accuracy above that which a line predicts from the clean accuracy; it
-- is fitted on the logits of both accuracies over all models of the shift, at least five.
-- Source: shifts, evaluations, models, datasets, cell_metrics, cell_predictions.
with cells as (
    select
        cell_metrics.evaluation_id,
        cell_metrics.value as accuracy,
        cell_metrics.low,
        cell_metrics.high,
        cell_metrics.n as image_count,
        cell_metrics.n * cell_predictions.independent_share as effective_count,
        least(greatest(accuracy, 0.5 / effective_count), 1 - 0.5 / effective_count) as inner_accuracy,
        ln(inner_accuracy / (1 - inner_accuracy)) as logit
    from cell_metrics
    inner join cell_predictions
        on
            cell_metrics.evaluation_id = cell_predictions.evaluation_id
            and cell_metrics.corruption = cell_predictions.corruption
            and cell_metrics.severity = cell_predictions.severity
    where cell_metrics.metric = 'accuracy' and cell_metrics.corruption = 'none'
),

paired as (
    select
        shifts.*,
        models.model_label,
        evaluations.model_id,
        evaluations.precision,
        clean_datasets.dataset_label,
        own.accuracy,
        own.low,
        own.high,
        own.image_count,
        own.logit,
        reference.accuracy as clean_accuracy,
        reference.low as clean_low,
        reference.high as clean_high,
        reference.image_count as clean_image_count,
        reference.logit as clean_logit,
        reference.accuracy - own.accuracy as gap,
        sqrt(pow(reference.accuracy - reference.low, 2) + pow(own.high - own.accuracy, 2)) as below,
        sqrt(pow(reference.high - reference.accuracy, 2) + pow(own.accuracy - own.low, 2)) as above,
        [evaluations.dataset_id, evaluations.subset_id, clean_evaluations.dataset_id, clean_evaluations.subset_id]
            as images
    from shifts
    inner join evaluations on shifts.evaluation_id = evaluations.evaluation_id
    inner join models on evaluations.model_id = models.model_id
    inner join evaluations as clean_evaluations on shifts.clean_evaluation_id = clean_evaluations.evaluation_id
    inner join datasets as clean_datasets on clean_evaluations.dataset_id = clean_datasets.dataset_id
    inner join cells as own on shifts.evaluation_id = own.evaluation_id
    inner join cells as reference on shifts.clean_evaluation_id = reference.evaluation_id
),

fitted as (
    select
        shift,
        images,
        restricted,
        regr_slope(logit, clean_logit) as slope,
        regr_intercept(logit, clean_logit) as intercept
    from paired
    group by shift, images, restricted
    having count(distinct model_id) >= 5
)

select
    paired.shift,
    paired.model_label,
    paired.accuracy, -- share of the shift's images that are correct, 0-1
    paired.low as accuracy_low, -- lower end of the exact 95% interval of accuracy (Clopper and Pearson), 0-1
    paired.high as accuracy_high, -- upper end of the exact 95% interval of accuracy (Clopper and Pearson), 0-1
    paired.clean_accuracy, -- accuracy of the clean images of the same classes, 0-1
    paired.clean_low as clean_accuracy_low, -- lower end of its exact 95% interval, 0-1
    paired.clean_high as clean_accuracy_high, -- upper end of its exact 95% interval, 0-1
    paired.gap, -- clean accuracy minus accuracy, -1 to 1
    paired.gap - paired.below as gap_low, -- lower end of its 95% interval (independent samples), -1 to 1
    paired.gap + paired.above as gap_high, -- upper end of its 95% interval (independent samples), -1 to 1
    paired.accuracy - 1 / (1 + exp(-(fitted.intercept + fitted.slope * paired.clean_logit)))
        as effective_robustness, -- accuracy above the line, -1 to 1; null for fewer than five models
    fitted.slope as line_slope, -- slope of the line, logit of accuracy per logit of clean accuracy, any number
    fitted.intercept as line_intercept, -- logit of accuracy on the line at a clean accuracy of 0.5, any number
    paired.image_count, -- images of the shift
    paired.clean_image_count, -- clean images of the same classes
    paired.class_count,
    paired.clean_class_count,
    paired.restricted,
    paired.clean,
    paired.source,
    paired.note,
    paired.shift_kind,
    paired.shift_order,
    paired.dataset_label, -- name of the clean images on charts
    paired.dataset_id,
    paired.model_id,
    paired.precision, -- precision of the model's forward pass
    paired.evaluation_id,
    paired.clean_evaluation_id
from paired
left join fitted
    on
        paired.shift = fitted.shift
        and paired.images = fitted.images
        and paired.restricted = fitted.restricted
