-- What the report says
select
    position, kind, claim, verdict, model_label, corruption, severity, round(value, 6) as value, round(low, 6) as low,
    round(high, 6) as high, unit, n, sentence
from findings
order by position
