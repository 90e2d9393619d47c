-- What the report says
select
    position, kind, claim, verdict_alone as verdict, model_label, corruption, severity, round(value, 8) as value, round(low, 8) as low,
    round(high, 8) as high, unit, n, sentence
from findings
order by position
