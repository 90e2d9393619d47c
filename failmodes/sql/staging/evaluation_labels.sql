-- One row per evaluation of a study's images, with the names of its model, dataset and source; without those of
-- natural shifts, which accuracy_by_shift has.
-- Source: evaluations, models, datasets, sources.
select
    evaluations.evaluation_id,
    evaluations.study,
    evaluations.model_id,
    evaluations.dataset_id,
    evaluations.source_id,
    evaluations.image_count,
    evaluations.subset,
    evaluations.subset_id,
    evaluations.precision,
    evaluations.attention_method,
    evaluations.attention_layer,
    evaluations.attention_note,
    evaluations.paired,
    evaluations.pairing_note,
    evaluations.protocol,
    evaluations.deviations,
    evaluations.averaging,
    md5(
        concat_ws(
            '/', evaluations.dataset_id, evaluations.subset_id, evaluations.source_id, evaluations.averaging,
            case when models.class_protocol = 'all' then 'all outputs' else 'classes' end
        )
    ) as comparable_id, -- hash of images, labels, pixels, averaging and class restriction: evaluations that share it
    -- are ranked together, averaged over the severities that all of them have
    models.model_label,
    models.architecture,
    models.family,
    models.variant,
    models.class_protocol,
    models.output_count,
    models.input_mean,
    models.input_std,
    models.input_side_px,
    models.resize_px,
    models.crop_px,
    models.interpolation,
    models.weights_id,
    models.preprocessing,
    models.class_outputs,
    models.checkpoint,
    models.training_recipe,
    models.training_seed,
    datasets.dataset_name,
    datasets.dataset_label,
    datasets.note,
    datasets.class_count, -- number of classes of the dataset
    sources.source_label,
    sources.source_kind,
    sources.recipe,
    sources.seed,
    sources.noise,
    case
        when regexp_matches(models.model_label, ', (seed|run) ' || models.training_seed::varchar || '$')
            then regexp_replace(models.model_label, ', (seed|run) [0-9]+$', '')
        else models.model_label
    end as model_name -- the model's name on charts without its training seed or run; evaluations of several share it
from evaluations
left join models on evaluations.model_id = models.model_id
left join datasets on evaluations.dataset_id = datasets.dataset_id
left join sources on evaluations.source_id = sources.source_id
where sources.source_kind is distinct from 'none'
