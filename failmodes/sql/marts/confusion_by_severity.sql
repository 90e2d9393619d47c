-- One row per evaluation, corruption, severity from clean (0) on, label and prediction that occurred.
-- Source: cell_confusion, curve_points, classes.
with shares as (
    select
        evaluation_id,
        corruption,
        severity,
        label,
        predicted,
        finite,
        image_count,
        image_count / sum(image_count) over (partition by evaluation_id, corruption, severity, label) as share_of_label
    from cell_confusion
)

select
    curve_points.corruption,
    curve_points.severity,
    labels.class_name as label_name, -- name of the true class
    coalesce(predictions.class_name, case when shares.finite then 'another class' end) as predicted_name, -- name of the
    -- predicted class; 'another class' where the dataset does not have it, null where logits are not finite
    shares.image_count, -- images of the label with this prediction
    shares.share_of_label, -- share of the images of the label that have this prediction, 0-1
    curve_points.model_label,
    shares.label,
    shares.predicted, -- predicted class index; null where logits are not finite, or where the dataset does not have the
    -- class
    curve_points.corruption_label,
    curve_points.dataset_label,
    curve_points.evaluation_id
from curve_points
inner join shares
    on
        curve_points.evaluation_id = shares.evaluation_id
        and curve_points.cell_corruption = shares.corruption
        and curve_points.severity = shares.severity
inner join evaluations on curve_points.evaluation_id = evaluations.evaluation_id
left join classes as labels on evaluations.dataset_id = labels.dataset_id and shares.label = labels.class_index
left join classes as predictions
    on evaluations.dataset_id = predictions.dataset_id and shares.predicted = predictions.class_index
