-- Does attention drift further where the model is wrong? Drift for right and wrong apart, and the null.
select
    evaluation_labels.model_label,
    attention.corruption,
    attention.severity,
    count(*) filter (where outcomes.correct) as right_count,
    count(*) filter (where not outcomes.correct) as wrong_count,
    median(attention.centroid_shift) filter (where outcomes.correct) as right_median_centroid_shift,
    median(attention.centroid_shift) filter (where not outcomes.correct) as wrong_median_centroid_shift,
    median(attention.null_centroid_shift) as null_median_centroid_shift,
    avg(attention.cosine) filter (where outcomes.correct) as right_mean_cosine,
    avg(attention.cosine) filter (where not outcomes.correct) as wrong_mean_cosine
from attention
inner join outcomes
    on
        attention.evaluation_id = outcomes.evaluation_id
        and attention.corruption = outcomes.corruption
        and attention.severity = outcomes.severity
        and attention.image_id = outcomes.image_id
inner join evaluation_labels on attention.evaluation_id = evaluation_labels.evaluation_id
where attention.target = 'clean' and attention.corruption <> 'none' and evaluation_labels.paired
group by evaluation_labels.model_label, attention.evaluation_id, attention.corruption, attention.severity
order by evaluation_labels.model_label, attention.corruption, attention.severity
