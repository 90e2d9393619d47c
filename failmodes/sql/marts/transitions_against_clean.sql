-- One row per evaluation, corruption and severity above clean (paired evaluations): correctness changes since clean.
-- Source: curve_metrics.
with points as (
    pivot (
        from curve_metrics
        where paired and severity > 0
    )
    on metric in (
        'stayed_correct_share', 'became_incorrect_share', 'became_correct_share', 'stayed_incorrect_share',
        'changed_share'
    )
    using max(value) as value, max(n) as n
    group by evaluation_id, corruption, severity, model_label, corruption_label, dataset_label
)

select
    corruption,
    severity,
    round(stayed_correct_share_value * stayed_correct_share_n)::bigint
        as stayed_correct_count, -- images correct when clean and here
    round(became_incorrect_share_value * became_incorrect_share_n)::bigint
        as became_incorrect_count, -- images correct when clean, incorrect here
    round(became_correct_share_value * became_correct_share_n)::bigint
        as became_correct_count, -- images incorrect when clean, correct here
    round(stayed_incorrect_share_value * stayed_incorrect_share_n)::bigint
        as stayed_incorrect_count, -- images incorrect when clean and here
    round(changed_share_value * changed_share_n)::bigint
        as changed_count, -- images whose prediction differs from the clean one
    changed_share_value
        as changed_share, -- share of the images whose prediction differs from the clean one, 0-1
    changed_share_n as image_count, -- images
    model_label,
    corruption_label,
    dataset_label,
    evaluation_id
from points
