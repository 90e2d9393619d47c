-- Where is confidence least to be trusted? Cells by expected calibration error, with the sign of the mistake.
select
    model_label,
    corruption_label,
    severity,
    accuracy,
    mean_confidence,
    overconfidence,
    ece,
    ece_noise_floor,
    smooth_ece,
    bin_count,
    brier,
    nll_nats
from calibration_by_severity
order by ece desc, model_label asc, corruption_label asc, severity asc
limit 20
