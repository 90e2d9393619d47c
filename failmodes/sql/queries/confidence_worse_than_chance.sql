-- Where is confidence worse than chance at finding failures? Cells by AUROC, with its interval of 95 % for one cell.
-- Parameter model: only these models, by label.
-- Parameter corruption: only these corruptions, by name.
-- Parameter rows: how many; 40 without it.
select
    corruption_label,
    severity,
    auroc,
    auroc_low,
    auroc_high,
    failures,
    n,
    model_label
from failure_prediction
where
    score = 'confidence'
    and auroc is not null
    and coalesce(list_contains(getvariable('model'), model_label), true)
    and coalesce(list_contains(getvariable('corruption'), corruption), true)
order by auroc asc, model_label asc, corruption_label asc, severity asc
limit coalesce(getvariable('rows'), 40)
