-- Accuracy, confidence and distortion of each cell; clean images are severity 0 of every corruption
select
    model_label, corruption, severity, image_count, correct_count,
    round(accuracy, 8) as accuracy, round(accuracy_low, 8) as accuracy_low, round(accuracy_high, 8) as accuracy_high,
    round(mean_confidence, 8) as mean_confidence, round(mean_rmse, 8) as mean_rmse, round(mean_ssim, 8) as mean_ssim
from accuracy_by_severity
order by model_label, corruption_order, severity
