-- Predictions of the first 20 images, clean and at severity 5, which a test computes again
select
    model_label, corruption, severity, image_id, predicted_name, round(confidence, 6) as confidence,
    round(centroid_x, 6) as centroid_x, round(centroid_y, 6) as centroid_y
from predictions inner join attention using (evaluation_id, corruption, severity, image_id)
where image_id < 20 and severity in (0, 5) and target = 'predicted'
order by model_label, corruption, severity, image_id
