-- One row per evaluation, corruption and image, of paired evaluations: the first severity at which it is incorrect.
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
    onset_severity, -- first severity at which it is incorrect, 0 to 999; 0 if incorrect when clean, null if never
    -- incorrect on the grid (right-censored)
    last_correct_severity, -- severity before the onset, 0 to 999: lower end of the interval that holds it; null if
    -- incorrect when clean
    clean_correct, -- whether it is correct when clean
    correctness_pattern, -- a digit a severity, from clean on: 1 correct, 0 incorrect
    incorrect_count, -- severities at which it is incorrect
    recovered, -- whether it is correct again at some severity after the onset
    model_label,
    label,
    corruption_label,
    dataset_label,
    evaluation_id
from onsets
