-- One row per corrupted cell of paired evaluations: what became of the outcomes of the clean images.
-- Source: outcomes, evaluations.
select
    corrupted.evaluation_id,
    corrupted.corruption,
    corrupted.severity,
    count(*) as image_count,
    count(*) filter (where clean.correct and corrupted.correct) as stayed_correct_count,
    count(*) filter (where clean.correct and not corrupted.correct) as became_incorrect_count,
    count(*) filter (where not clean.correct and corrupted.correct) as became_correct_count,
    count(*) filter (where not clean.correct and not corrupted.correct) as stayed_incorrect_count,
    count(*) filter (
        where coalesce(corrupted.predicted_output, corrupted.predicted)
        is distinct from coalesce(clean.predicted_output, clean.predicted)
    ) as changed_count -- the prediction differs from the clean one
from outcomes as corrupted
inner join outcomes as clean
    on
        corrupted.evaluation_id = clean.evaluation_id
        and corrupted.image_id = clean.image_id
        and clean.corruption = 'none'
inner join evaluations on corrupted.evaluation_id = evaluations.evaluation_id and evaluations.paired
where corrupted.corruption <> 'none'
group by corrupted.evaluation_id, corrupted.corruption, corrupted.severity
