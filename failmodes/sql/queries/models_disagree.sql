-- Where do two models fail on different images? Cells by the share of images that only one of them predicts correctly.
-- Parameter model: only pairs with one of these models, by label.
-- Parameter corruption: only these corruptions, by name.
-- Parameter rows: maximum number of rows; default: 20.
select
    corruption_label,
    severity,
    only_a_correct_count,
    only_b_correct_count,
    both_incorrect_count,
    error_consistency,
    (only_a_correct_count + only_b_correct_count) / image_count as only_one_correct_share,
    model_label_a,
    model_label_b
from model_disagreement
where
    severity > 0
    and (
        coalesce(list_contains(getvariable('model'), model_label_a), true)
        or list_contains(getvariable('model'), model_label_b)
    )
    and coalesce(list_contains(getvariable('corruption'), corruption), true)
order by only_one_correct_share desc, corruption_label asc, severity asc
limit coalesce(getvariable('rows'), 20)
