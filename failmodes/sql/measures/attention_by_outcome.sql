-- One row per corrupted cell of paired evaluations: drift of attention where the model is right, and where wrong.
-- Source: attention, outcomes, evaluations.
select
    attention.evaluation_id,
    attention.corruption,
    attention.severity,
    count(*) filter (where outcomes.correct) as correct_count,
    count(*) filter (where not outcomes.correct) as incorrect_count,
    median(attention.centroid_shift) filter (where outcomes.correct) as correct_median_centroid_shift, -- image widths
    median(attention.centroid_shift) filter (where not outcomes.correct)
        as incorrect_median_centroid_shift, -- image widths
    median(attention.null_centroid_shift) as null_median_centroid_shift, -- image widths
    avg(attention.cosine) filter (where outcomes.correct) as correct_mean_cosine, -- 0-1
    avg(attention.cosine) filter (where not outcomes.correct) as incorrect_mean_cosine -- 0-1
from attention
inner join outcomes
    on
        attention.evaluation_id = outcomes.evaluation_id
        and attention.corruption = outcomes.corruption
        and attention.severity = outcomes.severity
        and attention.image_id = outcomes.image_id
inner join evaluations on attention.evaluation_id = evaluations.evaluation_id and evaluations.paired
where attention.target = 'clean' and attention.corruption <> 'none'
group by attention.evaluation_id, attention.corruption, attention.severity
