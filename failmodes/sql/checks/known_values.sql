-- Kinds are known ones, sizes above 0, indices below their counts, measured properties in range: rows that break it.
select
    'models.class_protocol' as column_name,
    class_protocol as value_text
from models
where class_protocol not in ('all', 'subset')
union all
select
    'models.class_count' as column_name,
    class_count::varchar as value_text
from models
where class_count < 1
union all
select
    'models.output_count' as column_name,
    output_count::varchar as value_text
from models
where output_count < 1
union all
select
    'datasets.class_count' as column_name,
    class_count::varchar as value_text
from datasets
where class_count < 1
union all
select
    'datasets.height_px, width_px' as column_name,
    concat_ws(' x ', height_px, width_px) as value_text
from datasets
where height_px < 1 or width_px < 1
union all
select
    'sources.source_kind' as column_name,
    source_kind as value_text
from sources
where source_kind not in ('generated', 'published', 'table', 'none')
union all
select
    'sources.noise' as column_name,
    noise as value_text
from sources
where noise not in ('shared', 'independent')
union all
select distinct
    'levels.level_scale' as column_name,
    level_scale as value_text
from levels
where level_scale not in ('linear', 'log')
union all
select
    'levels.level_value' as column_name,
    level_value::varchar as value_text
from levels
where isnan(level_value) or (isinf(level_value) and severity > 0)
union all
select
    'evaluations.image_count' as column_name,
    image_count::varchar as value_text
from evaluations
where image_count < 1
union all
select distinct
    'shards.table_name' as column_name,
    table_name as value_text
from shards
where table_name not in ('prediction_facts', 'attention')
union all
select
    'classes.class_index' as column_name,
    classes.class_index::varchar as value_text
from classes
inner join datasets on classes.dataset_id = datasets.dataset_id
where classes.class_index not between 0 and datasets.class_count - 1
union all
select
    'images.image_id' as column_name,
    images.image_id::varchar as value_text
from images
inner join datasets on images.dataset_id = datasets.dataset_id
where images.image_id not between 0 and datasets.image_count - 1
union all
select
    'images, measured' as column_name,
    concat_ws('/', dataset_id, image_id) as value_text
from images
where
    image_luminance not between 0 and 1
    or image_contrast not between 0 and 0.50001
    or image_sharpness not between 0 and 2e6
    or image_colorfulness not between 0 and 1000
    or least(image_width_px, image_height_px) < 1
    or image_aspect <= 0
    or file_bytes < 0
