-- The findings of the report
select
    position, kind, claim, verdict_alone as verdict, model_label, corruption, severity, round(value, 8) as value, round(low, 8) as low,
    round(high, 8) as high, unit, n
from findings
order by position
