-- The claims of the study, judged for each network
select
    position, claim, model_label, verdict, round(value, 6) as value, round(low, 6) as low, round(high, 6) as high,
    unit, n, reason
from claims
order by position
