-- One row per evaluation, corruption and image, of paired evaluations: where along the curve it first is wrong.
-- Source: image_onsets, evaluation_labels, corruptions.
with onsets as (
    select
        image_onsets.*,
        evaluation_labels.model_label,
        evaluation_labels.dataset_label,
        coalesce(corruptions.corruption_label, image_onsets.corruption) as corruption_label
    from image_onsets
    inner join evaluation_labels on image_onsets.evaluation_id = evaluation_labels.evaluation_id
    left join corruptions on image_onsets.corruption = corruptions.corruption
    where evaluation_labels.paired
)

select
    corruption,
    image_id,
    onset_severity, -- first wrong severity, 0 if wrong when clean; null if never wrong on the grid (right-censored)
    last_correct_severity, -- severity before the onset, lower end of the interval that holds it; null if wrong when clean
    clean_correct, -- whether it is right when clean
    correctness_pattern, -- 1 right, 0 wrong, by severity from clean
    incorrect_count, -- severities at which it is wrong
    recovered, -- whether it is right again at some severity after the onset
    model_label,
    label,
    corruption_label,
    dataset_label,
    evaluation_id
from onsets
