-- Over- and underconfidence, and the expected calibration error, of each cell
select
    model_label, corruption, severity, image_count, round(overconfidence, 8) as overconfidence, round(ece, 8) as ece,
    round(ece_noise_floor, 8) as ece_noise_floor, round(smooth_ece, 8) as smooth_ece, round(brier, 8) as brier
from calibration_by_severity
order by model_label, corruption, severity
