-- One row per evaluation, corruption and severity above clean, of paired evaluations: what became of clean outcomes.
-- Source: outcomes.
with pairs as (
    select
        corrupted.evaluation_id,
        corrupted.corruption,
        corrupted.severity,
        count(*) as image_count,
        count(*) filter (where clean.correct and corrupted.correct) as stayed_right_count,
        count(*) filter (where clean.correct and not corrupted.correct) as broke_count,
        count(*) filter (where not clean.correct and corrupted.correct) as repaired_count,
        count(*) filter (where not clean.correct and not corrupted.correct) as stayed_wrong_count,
        count(*) filter (
            where coalesce(corrupted.predicted_output, corrupted.predicted)
            is distinct from coalesce(clean.predicted_output, clean.predicted)
        ) as changed_count
    from outcomes as corrupted
    inner join outcomes as clean
        on
            corrupted.evaluation_id = clean.evaluation_id
            and corrupted.image_id = clean.image_id
            and clean.corruption = 'none'
    where corrupted.corruption <> 'none'
    group by corrupted.evaluation_id, corrupted.corruption, corrupted.severity
)

select
    pairs.evaluation_id,
    curve_points.model_label,
    curve_points.dataset_label,
    pairs.corruption,
    curve_points.corruption_label,
    pairs.severity,
    pairs.image_count,
    pairs.stayed_right_count,
    pairs.broke_count,
    pairs.repaired_count,
    pairs.stayed_wrong_count,
    pairs.changed_count, -- the prediction differs from the clean one
    pairs.changed_count / pairs.image_count as changed_share -- 0-1
from pairs
inner join curve_points
    on
        pairs.evaluation_id = curve_points.evaluation_id
        and pairs.corruption = curve_points.corruption
        and pairs.severity = curve_points.severity
where curve_points.paired
