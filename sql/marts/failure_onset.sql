-- One row per evaluation, corruption and image, of paired evaluations: where along the curve it first is wrong.
-- Source: image_onsets, evaluation_labels, corruptions.
select
    image_onsets.evaluation_id,
    evaluation_labels.model_label,
    evaluation_labels.dataset_label,
    image_onsets.corruption,
    coalesce(corruptions.corruption_label, image_onsets.corruption) as corruption_label,
    image_onsets.image_id,
    image_onsets.label,
    image_onsets.clean_correct,
    image_onsets.onset_severity, -- first wrong severity, 0 if wrong when clean; null if never wrong (right-censored)
    image_onsets.last_right_severity, -- lower end of the interval that holds the onset; null if wrong when clean
    image_onsets.correctness_pattern, -- 1 right, 0 wrong, by severity from clean
    image_onsets.wrong_count, -- zeros of the pattern
    image_onsets.recovered -- right again at some severity after the onset
from image_onsets
inner join evaluation_labels on image_onsets.evaluation_id = evaluation_labels.evaluation_id
left join corruptions on image_onsets.corruption = corruptions.corruption
where evaluation_labels.paired
