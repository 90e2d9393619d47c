-- Patterns of correct (1) and incorrect (0) predictions, from clean to the last severity; patterns of at least 1% of images
select model_label, corruption, correctness_pattern, count(*) as image_count
from failure_onset
where clean_correct
group by model_label, corruption, correctness_pattern
having count(*) >= 0.01 * (select max(image_count) from accuracy_by_severity)
order by model_label, corruption, image_count desc, correctness_pattern
