-- One row per evaluation, corruption and severity from clean (0) on: how the predictions spread over the classes,
-- beside the labels (one class for nearly all images is prediction collapse), and the class of the lowest accuracy.
-- Source: cell_metrics, cell_confusion, curve_points, classes.
with cells as (
    pivot cell_metrics
    on metric in ('accuracy', 'balanced_accuracy', 'worst_class_accuracy', 'top_prediction_share', 'mean_confidence')
    using max(value) as value, max(low) as low, max(high) as high, max(n) as n
    group by evaluation_id, corruption, severity
),

predicted as (
    select
        evaluation_id,
        corruption,
        severity,
        predicted as class_index,
        sum(image_count)::bigint as image_count,
        sum(image_count) / sum(sum(image_count)) over of_cell as predicted_share
    from cell_confusion
    where predicted is not null
    group by evaluation_id, corruption, severity, predicted
    window of_cell as (partition by evaluation_id, corruption, severity)
),

labels as (
    select
        evaluation_id,
        corruption,
        severity,
        label as class_index,
        coalesce(sum(image_count) filter (where predicted = label), 0) / sum(image_count) as accuracy,
        sum(image_count) / sum(sum(image_count)) over of_cell as label_share
    from cell_confusion
    group by evaluation_id, corruption, severity, label
    window of_cell as (partition by evaluation_id, corruption, severity)
),

of_predictions as ( -- of equally frequent predictions the first class
    select
        evaluation_id,
        corruption,
        severity,
        sum(image_count)::bigint as predicted_count,
        count(*) as predicted_class_count,
        arg_max(class_index, (predicted_share, -class_index)) as top_prediction,
        -sum(predicted_share * ln(predicted_share)) as prediction_entropy_nats
    from predicted
    group by evaluation_id, corruption, severity
),

of_labels as (
    select
        evaluation_id,
        corruption,
        severity,
        count(*) as class_count,
        arg_min(class_index, (accuracy, class_index)) as worst_class,
        -sum(label_share * ln(label_share)) as label_entropy_nats
    from labels
    group by evaluation_id, corruption, severity
)

select
    curve_points.corruption,
    curve_points.severity,
    commonest.class_name as top_prediction_name, -- name of the most frequent predicted class
    cells.top_prediction_share_value
        as top_prediction_share, -- share of the predictions that the most frequent class has, 0-1
    case
        when of_predictions.top_prediction is not null then coalesce(same.label_share, 0)
    end as top_prediction_label_share, -- share of the labels that the most frequent predicted class has, 0-1
    cells.accuracy_value as accuracy, -- share of images that are correct, 0-1
    cells.balanced_accuracy_value as balanced_accuracy, -- mean of the classes' accuracies, 0-1
    worst.class_name as worst_class_name, -- name of the class of the lowest accuracy
    cells.worst_class_accuracy_value
        as worst_class_accuracy, -- accuracy of the worst class, 0-1; the lowest of several, so by chance lower than
    -- each of them is expected
    cells.worst_class_accuracy_low, -- lower end of its 95% interval, which allows for that, 0-1
    cells.worst_class_accuracy_high, -- upper end of its 95% interval, which allows for that, 0-1
    cells.accuracy_n as image_count, -- images
    curve_points.model_label,
    of_labels.class_count, -- classes that occur as label
    of_predictions.top_prediction, -- class index of the most frequent prediction; null where no class of the dataset
    -- was predicted
    of_predictions.prediction_entropy_nats, -- entropy of the predictions over classes, nats; 0: one class for all
    of_labels.label_entropy_nats, -- entropy of the labels over classes, nats
    cells.mean_confidence_value as mean_confidence, -- mean of the largest softmax probability, 0-1
    of_labels.worst_class, -- class index of the class of the lowest accuracy; of equal ones the first
    coalesce(of_predictions.predicted_count, 0) as predicted_count, -- images for which a class of the dataset is
    -- predicted
    coalesce(of_predictions.predicted_class_count, 0) as predicted_class_count, -- classes that are predicted
    curve_points.corruption_label,
    curve_points.corruption_group,
    curve_points.corruption_order,
    curve_points.headline,
    curve_points.dataset_label,
    curve_points.evaluation_id
from curve_points
inner join cells
    on
        curve_points.evaluation_id = cells.evaluation_id
        and curve_points.cell_corruption = cells.corruption
        and curve_points.severity = cells.severity
inner join of_labels
    on
        curve_points.evaluation_id = of_labels.evaluation_id
        and curve_points.cell_corruption = of_labels.corruption
        and curve_points.severity = of_labels.severity
left join of_predictions
    on
        curve_points.evaluation_id = of_predictions.evaluation_id
        and curve_points.cell_corruption = of_predictions.corruption
        and curve_points.severity = of_predictions.severity
left join labels as same
    on
        of_predictions.evaluation_id = same.evaluation_id
        and of_predictions.corruption = same.corruption
        and of_predictions.severity = same.severity
        and of_predictions.top_prediction = same.class_index
inner join evaluations on curve_points.evaluation_id = evaluations.evaluation_id
left join classes as commonest
    on evaluations.dataset_id = commonest.dataset_id and of_predictions.top_prediction = commonest.class_index
left join classes as worst
    on evaluations.dataset_id = worst.dataset_id and of_labels.worst_class = worst.class_index
