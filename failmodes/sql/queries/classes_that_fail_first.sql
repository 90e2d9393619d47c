-- Which class drops most? Accuracy drop, averaged over the ranked corruptions, with its rank;
-- the intervals of all ranks of a model hold together.
-- Parameter model: only these models, by label.
-- Parameter rows: maximum number of rows; default: all.
with named as (
    select
        class_ranks.*,
        evaluation_labels.model_label,
        evaluation_labels.dataset_label,
        coalesce(classes.class_name, class_ranks.class_index::varchar) as class_label
    from class_ranks
    inner join evaluation_labels on class_ranks.evaluation_id = evaluation_labels.evaluation_id
    inner join evaluations on class_ranks.evaluation_id = evaluations.evaluation_id
    left join classes
        on evaluations.dataset_id = classes.dataset_id and class_ranks.class_index = classes.class_index
)

select
    class_label,
    measure,
    rank,
    rank_low,
    rank_high,
    accuracy_drop, -- accuracy lost, -1 to 1
    accuracy_drop_low,
    accuracy_drop_high,
    image_count, -- images of the class
    model_label,
    ranked_count,
    smallest_difference_shown,
    reason, -- why it is not ranked
    dataset_label
from named
where coalesce(list_contains(getvariable('model'), model_label), true)
order by
    model_label asc,
    evaluation_id asc,
    measure asc,
    rank asc nulls last,
    accuracy_drop desc,
    class_index asc
limit getvariable('rows')
