-- One row per pair of evaluations of the same images and cell that both have: on which images they are right.
-- Source: outcomes, evaluations.
select
    one.evaluation_id as evaluation_id_a, -- the first of the two by evaluation_id
    other.evaluation_id as evaluation_id_b,
    outcomes_a.corruption,
    outcomes_a.severity,
    count(*) as image_count,
    count(*) filter (where outcomes_a.correct and outcomes_b.correct) as both_correct_count,
    count(*) filter (where outcomes_a.correct and not outcomes_b.correct) as only_a_correct_count,
    count(*) filter (where not outcomes_a.correct and outcomes_b.correct) as only_b_correct_count,
    count(*) filter (where not outcomes_a.correct and not outcomes_b.correct) as both_incorrect_count,
    count(*) filter (where outcomes_a.predicted = outcomes_b.predicted) as agree_count
from evaluations as one
inner join evaluations as other
    on
        one.dataset_id = other.dataset_id
        and one.source_id = other.source_id
        and one.subset_id = other.subset_id
        and one.evaluation_id < other.evaluation_id
inner join outcomes as outcomes_a on one.evaluation_id = outcomes_a.evaluation_id
inner join outcomes as outcomes_b
    on
        other.evaluation_id = outcomes_b.evaluation_id
        and outcomes_a.corruption = outcomes_b.corruption
        and outcomes_a.severity = outcomes_b.severity
        and outcomes_a.image_id = outcomes_b.image_id
group by one.evaluation_id, other.evaluation_id, outcomes_a.corruption, outcomes_a.severity
