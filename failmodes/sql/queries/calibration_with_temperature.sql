-- How much does temperature scaling improve calibration? Without and with it, means over corruptions, by severity.
-- Means over corruptions have no interval here; `failmodes compare` has one for the difference between two models.
-- Parameter model: only these models, by label.
-- Parameter corruption: only these corruptions, by name.
select -- in one order, so that DuckDB 1 gives the same last digit every time
    model_label,
    severity,
    any_value(even_temperature) as even_temperature,
    any_value(odd_temperature) as odd_temperature,
    avg(ece order by corruption) as ece,
    avg(scaled_ece order by corruption) as scaled_ece,
    avg(nll_nats order by corruption) as nll_nats,
    avg(scaled_nll_nats order by corruption) as scaled_nll_nats,
    any_value(reason) as reason
from temperature_by_severity
where
    coalesce(list_contains(getvariable('model'), model_label), true)
    and coalesce(list_contains(getvariable('corruption'), corruption), true)
group by evaluation_id, model_label, severity
order by model_label asc, severity asc
