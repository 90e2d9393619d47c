-- Confidence beside accuracy: over- and underconfidence and the expected calibration error of each cell
select
    model_label, corruption, severity, image_count, round(overconfidence, 6) as overconfidence, round(ece, 6) as ece,
    round(ece_noise_floor, 6) as ece_noise_floor, round(smooth_ece, 6) as smooth_ece, round(brier, 6) as brier
from calibration_by_severity
order by model_label, corruption, severity
