-- Which class breaks first? Accuracy that its images lose, averaged over the ranked corruptions, with its rank;
-- the intervals of all ranks of a network hold together.
select
    evaluation_labels.model_label,
    evaluation_labels.dataset_label,
    class_ranks.measure,
    class_ranks.rank,
    class_ranks.rank_low,
    class_ranks.rank_high,
    class_ranks.ranked_count,
    class_ranks.image_count, -- images of the class
    class_ranks.cost, -- accuracy lost, -1 to 1
    class_ranks.cost_low,
    class_ranks.cost_high,
    class_ranks.smallest_difference_shown,
    class_ranks.reason, -- why it is not ranked
    coalesce(classes.class_name, class_ranks.class_index::varchar) as class_label
from class_ranks
inner join evaluation_labels on class_ranks.evaluation_id = evaluation_labels.evaluation_id
inner join evaluations on class_ranks.evaluation_id = evaluations.evaluation_id
left join classes
    on evaluations.dataset_id = classes.dataset_id and class_ranks.class_index = classes.class_index
order by
    evaluation_labels.model_label asc,
    class_ranks.evaluation_id asc,
    class_ranks.measure asc,
    class_ranks.rank asc nulls last,
    class_ranks.cost desc,
    class_ranks.class_index asc
