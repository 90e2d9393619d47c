-- Attention drift for the class predicted on the clean image, beside the drift from another image of the class
select
    model_label, corruption, severity, image_count, empty_count,
    round(mean_centroid_shift, 8) as mean_centroid_shift,
    round(null_class_mean_centroid_shift, 8) as null_class_mean_centroid_shift,
    round(mean_cosine, 8) as mean_cosine, round(null_class_mean_cosine, 8) as null_class_mean_cosine
from attention_drift
where severity > 0
order by model_label, corruption_order, severity
