-- One row per evaluation, corruption and severity above clean (paired evaluations): correctness changes since clean.
-- Source: curve_metrics.
select
    corruption,
    severity,
    round(max(value * n) filter (where metric = 'stayed_correct_share'))::bigint
        as stayed_correct_count, -- images correct when clean and here
    round(max(value * n) filter (where metric = 'became_incorrect_share'))::bigint
        as became_incorrect_count, -- images correct when clean, incorrect here
    round(max(value * n) filter (where metric = 'became_correct_share'))::bigint
        as became_correct_count, -- images incorrect when clean, correct here
    round(max(value * n) filter (where metric = 'stayed_incorrect_share'))::bigint
        as stayed_incorrect_count, -- images incorrect when clean and here
    round(max(value * n) filter (where metric = 'changed_share'))::bigint
        as changed_count, -- images whose prediction differs from the clean one
    max(value) filter (where metric = 'changed_share')
        as changed_share, -- share of the images whose prediction differs from the clean one, 0-1
    max(n) filter (where metric = 'changed_share') as image_count, -- images
    model_label,
    corruption_label,
    dataset_label,
    evaluation_id
from curve_metrics
where paired and severity > 0
group by all
