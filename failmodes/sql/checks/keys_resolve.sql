-- Every key refers to a row of its dimension: keys that do not.
select
    'evaluations.model_id' as pointer,
    evaluations.model_id as key_text
from evaluations
anti join models on evaluations.model_id = models.model_id
union all
select
    'evaluations.dataset_id' as pointer,
    evaluations.dataset_id as key_text
from evaluations
anti join datasets on evaluations.dataset_id = datasets.dataset_id
union all
select
    'evaluations.source_id' as pointer,
    evaluations.source_id as key_text
from evaluations
anti join sources on evaluations.source_id = sources.source_id
union all
select distinct
    'levels.source_id' as pointer,
    levels.source_id as key_text
from levels
anti join sources on levels.source_id = sources.source_id
union all
select distinct
    'levels.corruption' as pointer,
    levels.corruption as key_text
from levels
anti join corruptions on levels.corruption = corruptions.corruption
union all
select
    'shifts.evaluation_id' as pointer,
    shifts.evaluation_id as key_text
from shifts
anti join evaluations on shifts.evaluation_id = evaluations.evaluation_id
union all
select
    'shifts.dataset_id' as pointer,
    shifts.dataset_id as key_text
from shifts
anti join datasets on shifts.dataset_id = datasets.dataset_id
union all
select
    'shifts.clean_evaluation_id' as pointer,
    shifts.clean_evaluation_id as key_text
from shifts
anti join evaluations on shifts.clean_evaluation_id = evaluations.evaluation_id
union all
select distinct
    'shards.evaluation_id' as pointer,
    shards.evaluation_id as key_text
from shards
anti join evaluations on shards.evaluation_id = evaluations.evaluation_id
union all
select distinct
    'shards.corruption' as pointer,
    shards.corruption as key_text
from shards
anti join corruptions on shards.corruption = corruptions.corruption
union all
select distinct
    'exemplars.evaluation_id' as pointer,
    exemplars.evaluation_id as key_text
from exemplars
anti join evaluations on exemplars.evaluation_id = evaluations.evaluation_id
union all
select
    'datasets.class_count' as pointer,
    datasets.dataset_id as key_text
from datasets
left join classes on datasets.dataset_id = classes.dataset_id
group by datasets.dataset_id, datasets.class_count
having count(classes.class_index) <> datasets.class_count
