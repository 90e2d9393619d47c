-- How much does abstaining on the least certain tenth of images gain? Error rates by score, averaged over corruptions.
-- Parameter model: only these models, by label.
-- Parameter rows: maximum number of rows; default: 60.
select
    severity,
    score,
    avg(selective_risk) filter (where coverage = 1) as error_rate, -- of all images
    avg(selective_risk) filter (where coverage = 0.9) as error_rate_kept, -- of the most certain nine tenths
    error_rate - error_rate_kept as gain,
    model_label
from risk_coverage
where severity > 0 and coalesce(list_contains(getvariable('model'), model_label), true)
group by evaluation_id, model_label, score, severity
order by gain desc, model_label asc, score asc, severity asc
limit coalesce(getvariable('rows'), 60)
