-- Corruptions by accuracy drop, with intervals of the ranks
select
    labels.model_label, ranks.measure, ranks.corruption, round(ranks.accuracy_drop, 8) as accuracy_drop,
    round(ranks.accuracy_drop_low, 8) as accuracy_drop_low, round(ranks.accuracy_drop_high, 8) as accuracy_drop_high,
    ranks.rank, ranks.rank_low, ranks.rank_high, round(ranks.smallest_difference_shown, 8) as smallest_difference_shown
from corruption_ranks as ranks inner join evaluation_labels as labels using (evaluation_id)
order by labels.model_label, ranks.measure, ranks.rank
