-- How were these rows computed? Evaluations with their subset, precision, source, device, speed and seconds.
-- Parameter model: only these models, by label.
select
    evaluation_labels.model_label,
    evaluation_labels.dataset_label,
    evaluation_labels.subset,
    evaluation_labels.precision,
    evaluation_labels.source_label,
    evaluation_labels.attention_method,
    evaluation_labels.paired,
    shards.device,
    count(*) as cell_count,
    sum(shards.row_count)::bigint as row_count,
    sum(shards.elapsed_s) as elapsed_s,
    median(shards.images_per_s) as median_images_per_s,
    max(shards.created_utc) as latest_utc
from shards
inner join evaluation_labels on shards.evaluation_id = evaluation_labels.evaluation_id
where
    shards.table_name = 'prediction_facts'
    and coalesce(list_contains(getvariable('model'), evaluation_labels.model_label), true)
group by all
order by evaluation_labels.model_label, evaluation_labels.dataset_label, shards.device
