-- One row per evaluation, corruption, severity from clean (0) on and class that occurs as label or as prediction.
-- Source: cell_confusion, cell_predictions, curve_points, classes.
with parts as (
    select
        evaluation_id,
        corruption,
        severity,
        label as class_index,
        image_count,
        case when predicted = label then image_count else 0 end as correct_count,
        0 as predicted_count
    from cell_confusion
    union all by name
    select
        evaluation_id,
        corruption,
        severity,
        predicted as class_index,
        0 as image_count,
        0 as correct_count,
        image_count as predicted_count
    from cell_confusion
    where predicted is not null
),

counts as (
    select
        evaluation_id,
        corruption,
        severity,
        class_index,
        sum(image_count)::bigint as image_count,
        sum(correct_count)::bigint as correct_count,
        sum(predicted_count)::bigint as predicted_count
    from parts
    group by evaluation_id, corruption, severity, class_index
),

intervals as (
    select
        counts.*,
        coalesce(cell_predictions.independent_share, 1) as independent_share, -- below 1 where images are duplicates
        counts.correct_count / nullif(counts.image_count, 0) as accuracy,
        power(1.959963984540054, 2) / nullif(counts.image_count * independent_share, 0) as z2_n, -- z: of 97.5%
        (accuracy + z2_n / 2) / (1 + z2_n) as center,
        sqrt(z2_n * (accuracy * (1 - accuracy) + z2_n / 4)) / (1 + z2_n) as half_width,
        center - half_width as accuracy_low,
        center + half_width as accuracy_high,
        sum(counts.image_count) over (
            partition by counts.evaluation_id, counts.corruption, counts.severity
        ) as cell_image_count,
        counts.correct_count / nullif(counts.predicted_count, 0) as class_precision,
        counts.image_count / cell_image_count as label_share,
        counts.predicted_count / cell_image_count as predicted_share
    from counts
    left join cell_predictions
        on
            counts.evaluation_id = cell_predictions.evaluation_id
            and counts.corruption = cell_predictions.corruption
            and counts.severity = cell_predictions.severity
)

select
    curve_points.corruption,
    curve_points.severity,
    classes.class_name,
    intervals.accuracy, -- share of the images of this class that are correct, 0-1; null without any
    intervals.accuracy_low, -- lower end of the Wilson 95% interval of accuracy, 0-1
    intervals.accuracy_high, -- upper end of the Wilson 95% interval of accuracy, 0-1
    max(intervals.accuracy) filter (where curve_points.severity = 0) over curve - intervals.accuracy
        as accuracy_drop, -- accuracy of the class on clean images minus accuracy, -1 to 1
    intervals.image_count, -- images of this class
    curve_points.model_label,
    intervals.class_index,
    intervals.correct_count, -- images of this class that are correct
    intervals.predicted_count, -- images predicted as this class
    intervals.class_precision, -- share of the images predicted as this class that are of it, 0-1; null where it is
    -- never predicted
    intervals.label_share, -- share of the cell's images that are of this class, 0-1
    intervals.predicted_share, -- share of the cell's images that are predicted as this class, 0-1
    curve_points.corruption_label,
    curve_points.dataset_label,
    curve_points.evaluation_id
from curve_points
inner join intervals
    on
        curve_points.evaluation_id = intervals.evaluation_id
        and curve_points.cell_corruption = intervals.corruption
        and curve_points.severity = intervals.severity
inner join evaluations on curve_points.evaluation_id = evaluations.evaluation_id
left join classes
    on evaluations.dataset_id = classes.dataset_id and intervals.class_index = classes.class_index
window curve as (partition by curve_points.evaluation_id, curve_points.corruption, intervals.class_index)
