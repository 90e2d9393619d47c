-- Every dimension holds one row per key: keys that repeat.
with keys as (
    select
        'models' as table_name,
        model_id as key_text
    from models
    union all
    select
        'datasets' as table_name,
        dataset_id as key_text
    from datasets
    union all
    select
        'sources' as table_name,
        source_id as key_text
    from sources
    union all
    select
        'corruptions' as table_name,
        corruption as key_text
    from corruptions
    union all
    select
        'evaluations' as table_name,
        evaluation_id as key_text
    from evaluations
    union all
    select
        'classes' as table_name,
        concat_ws('/', dataset_id, class_index) as key_text
    from classes
    union all
    select
        'images' as table_name,
        concat_ws('/', dataset_id, image_id) as key_text
    from images
    union all
    select
        'shards' as table_name,
        concat_ws('/', table_name, evaluation_id, corruption, severity) as key_text
    from shards
    union all
    select
        'exemplars' as table_name,
        concat_ws('/', evaluation_id, corruption, image_id, severity) as key_text
    from exemplars
)

select
    table_name,
    key_text,
    count(*) as row_count
from keys
group by table_name, key_text
having count(*) > 1
