-- Columns that name a kind hold a known one, and sizes are above 0: rows that break it.
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
where source_kind not in ('generated', 'published')
union all
select
    'sources.draws' as column_name,
    draws as value_text
from sources
where draws not in ('paired', 'independent')
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
where table_name not in ('predictions', 'attention')
