-- Which corruption hurts a model most? Accuracy drop at the last severity and on average over whole severities,
-- with its rank; the intervals of all ranks of a model hold together.
-- Parameter model: only these models, by label.
-- Parameter corruption: only these corruptions, by name.
-- Parameter rows: maximum number of rows; default: all.
select
    corruptions.corruption_label,
    corruption_ranks.measure,
    corruption_ranks.rank,
    corruption_ranks.rank_low,
    corruption_ranks.rank_high,
    corruption_ranks.accuracy_drop, -- accuracy lost, -1 to 1
    corruption_ranks.accuracy_drop_low,
    corruption_ranks.accuracy_drop_high,
    evaluation_labels.model_label,
    corruption_ranks.ranked_count,
    corruption_ranks.smallest_difference_shown,
    corruption_ranks.reason, -- why it is not ranked
    evaluation_labels.dataset_label
from corruption_ranks
inner join evaluation_labels on corruption_ranks.evaluation_id = evaluation_labels.evaluation_id
inner join corruptions on corruption_ranks.corruption = corruptions.corruption
where
    coalesce(list_contains(getvariable('model'), evaluation_labels.model_label), true)
    and coalesce(list_contains(getvariable('corruption'), corruption_ranks.corruption), true)
order by
    evaluation_labels.model_label asc,
    corruption_ranks.evaluation_id asc,
    corruption_ranks.measure asc,
    corruption_ranks.rank asc nulls last,
    corruption_ranks.accuracy_drop desc,
    corruption_ranks.corruption asc
limit getvariable('rows')
