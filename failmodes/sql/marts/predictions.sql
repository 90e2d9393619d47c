-- One row per evaluation, corruption, severity and image: the prediction, whether it is correct, and the names of model
-- and classes. Clean images have corruption 'none' and severity 0; those of natural shifts are in outcomes.
-- Source: outcomes, evaluation_labels, classes, clean_predictions, images.
with cleans as ( -- grouped and unfiltered: DuckDB then leaves out the join for aggregates without its columns
    select
        clean_predictions.evaluation_id,
        clean_predictions.image_id,
        any_value(clean_predictions.correct) as correct,
        any_value(case
            when clean_predictions.predicted is not null then classes.class_name
            when clean_predictions.finite then 'another class'
        end) as predicted_name
    from clean_predictions
    inner join evaluations on clean_predictions.evaluation_id = evaluations.evaluation_id
    left join classes
        on evaluations.dataset_id = classes.dataset_id and clean_predictions.predicted = classes.class_index
    group by clean_predictions.evaluation_id, clean_predictions.image_id
),

of_images as ( -- likewise; with the metadata that users give, whatever their names
    select
        dataset_id,
        image_id,
        any_value(file) as file,
        any_value(columns(* exclude (dataset_id, image_id, label, file))) as "\0" -- noqa: RF05
    from images
    group by dataset_id, image_id
)

select
    outcomes.corruption,
    outcomes.severity,
    outcomes.image_id,
    true_class.class_name as label_name, -- name of the true class
    case
        when outcomes.predicted is not null then predicted_class.class_name
        when outcomes.finite then 'another class'
    end as predicted_name, -- name of the predicted class; 'another class' where the dataset does not have it, null
    -- where logits are not finite
    outcomes.correct,
    outcomes.confidence,
    evaluation_labels.model_label,
    case when evaluation_labels.paired then cleans.correct end
        as clean_correct, -- whether the prediction on the clean image is correct; null where corrupted images are not
    -- paired with clean ones
    case when evaluation_labels.paired then cleans.predicted_name end
        as clean_predicted_name, -- name of the class predicted on the clean image; null where not paired
    case when evaluation_labels.paired or outcomes.severity = 0 then of_images.file end
        as file, -- path within the dataset's folder, if images are files; null where not paired
    outcomes.label_rank,
    outcomes.label_probability,
    outcomes.margin,
    outcomes.entropy_nats,
    outcomes.loss_nats,
    outcomes.rmse,
    outcomes.ssim,
    outcomes.label,
    outcomes.predicted,
    outcomes.runner_up,
    outcomes.sum_p2,
    outcomes.log_sum_exp,
    outcomes.max_logit,
    outcomes.finite,
    outcomes.logits,
    outcomes.logit_classes,
    outcomes.predicted_output,
    outcomes.scaled_log_sum_exp,
    case
        when evaluation_labels.paired or outcomes.severity = 0
            then columns(of_images.* exclude (dataset_id, image_id, file)) -- noqa: RF02
    end as "\0", -- noqa: RF05
    evaluation_labels.dataset_label,
    evaluation_labels.dataset_id,
    outcomes.evaluation_id
from outcomes
inner join evaluation_labels on outcomes.evaluation_id = evaluation_labels.evaluation_id
left join classes as true_class
    on evaluation_labels.dataset_id = true_class.dataset_id and outcomes.label = true_class.class_index
left join classes as predicted_class
    on evaluation_labels.dataset_id = predicted_class.dataset_id and outcomes.predicted = predicted_class.class_index
left join cleans on outcomes.evaluation_id = cleans.evaluation_id and outcomes.image_id = cleans.image_id
left join of_images
    on evaluation_labels.dataset_id = of_images.dataset_id and outcomes.image_id = of_images.image_id
