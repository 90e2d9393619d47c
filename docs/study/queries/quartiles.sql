-- Accuracy under fog, mean over severities, and on clean images, by quartile of what is measured of the clean image
with
quartiles as (
    select
        dataset_id, image_id, property, measured, ntile(4) over (partition by dataset_id, property order by measured, image_id) as quartile
    from (
        unpivot (select dataset_id, image_id, image_luminance, image_contrast, image_sharpness, image_colorfulness from images)
        on image_luminance, image_contrast, image_sharpness, image_colorfulness
        into name property value measured
    )
)

select
    p.model_label, q.property, q.quartile, round(min(q.measured), 8) as lowest, round(max(q.measured), 8) as highest,
    count(distinct p.image_id) as image_count,
    round(avg(p.correct::int) filter (p.severity = 0), 8) as clean_accuracy,
    round(avg(p.correct::int) filter (p.corruption = 'fog'), 8) as fog_accuracy
from predictions as p inner join quartiles as q using (dataset_id, image_id)
where p.severity = 0 or p.corruption = 'fog'
group by p.model_label, q.property, q.quartile
order by p.model_label, q.property, q.quartile
