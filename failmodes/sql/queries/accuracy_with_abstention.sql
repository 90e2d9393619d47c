-- What would abstaining on the least sure tenth of the images gain? Error rates by score, all corruptions together.
-- Parameter model: only these models, by label.
-- Parameter rows: how many; 60 without it.
select
    kept.severity,
    kept.score,
    everything.selective_risk as error_rate, -- of all images
    kept.selective_risk as error_rate_kept, -- of the surest nine tenths
    everything.selective_risk - kept.selective_risk as gain,
    kept.model_label
from risk_coverage as kept
inner join risk_coverage as everything
    on
        kept.evaluation_id = everything.evaluation_id
        and kept.score = everything.score
        and kept.severity = everything.severity
        and everything.corruption is null
        and everything.coverage = 1
where
    kept.corruption is null
    and kept.coverage = 0.9
    and coalesce(list_contains(getvariable('model'), kept.model_label), true)
order by gain desc, kept.model_label asc, kept.score asc, kept.severity asc
limit coalesce(getvariable('rows'), 60)
