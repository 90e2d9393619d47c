-- One row per stored cell: which of its images are right and what each is taken for, in the order of image_id.
-- Source: outcomes.
select
    evaluation_id,
    corruption,
    severity,
    count(*) as row_count,
    count(distinct image_id) as image_count,
    md5(string_agg(image_id::varchar, ',' order by image_id)) as image_ids_md5, -- cells of the same images share it
    string_agg(correct::integer::varchar, '' order by image_id) as correct_images, -- 1 right, 0 wrong
    list(predicted order by image_id) as predictions -- null where no class of the data set was predicted
from outcomes
group by evaluation_id, corruption, severity
