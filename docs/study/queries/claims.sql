-- The claims of the study, judged for each model
select
    position, claim, model_label, verdict, round(value, 8) as value, round(low, 8) as low, round(high, 8) as high,
    unit, n, reason
from claims
order by position
