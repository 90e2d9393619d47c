-- Where is confidence worse than chance at finding failures? Cells by AUROC, with its interval of 95 % for one cell.
select
    model_label,
    corruption_label,
    severity,
    failures,
    n,
    auroc,
    auroc - 1.96 * auroc_error as auroc_low,
    auroc + 1.96 * auroc_error as auroc_high
from failure_prediction
where score = 'confidence' and auroc is not null and corruption is not null and severity is not null
order by auroc asc, model_label asc, corruption_label asc, severity asc
limit 40
