-- Where is calibration worst? Cells by expected calibration error, with the sign of the overconfidence.
-- Parameter model: only these models, by label.
-- Parameter corruption: only these corruptions, by name.
-- Parameter rows: maximum number of rows; default: 20.
select
    corruption_label,
    severity,
    ece,
    ece_low,
    ece_high,
    ece_noise_floor,
    accuracy,
    mean_confidence,
    overconfidence,
    model_label,
    smooth_ece,
    bin_count,
    brier,
    nll_nats
from calibration_by_severity
where
    coalesce(list_contains(getvariable('model'), model_label), true)
    and coalesce(list_contains(getvariable('corruption'), corruption), true)
order by ece desc, model_label asc, corruption_label asc, severity asc
limit coalesce(getvariable('rows'), 20)
