-- One row per stored cell, or pool of corrupted cells, score and coverage: error rate of the images that are kept.
-- Source: score_ranks.
with coverages as (
    select unnest(range(5, 101, 5))::smallint as coverage_percent
)

select
    score_ranks.evaluation_id,
    score_ranks.corruption,
    score_ranks.severity,
    score_ranks.score,
    coverages.coverage_percent, -- the surest images that are kept
    sum(
        score_ranks.tied_failure_count
        * least(
            greatest(score_ranks.n * coverages.coverage_percent / 100 - score_ranks.higher_count, 0), score_ranks.tied
        )
        / score_ranks.tied
    ) / any_value(score_ranks.n * coverages.coverage_percent / 100) as selective_risk -- of those that tie, their mean
from score_ranks
cross join coverages
group by
    score_ranks.evaluation_id,
    score_ranks.corruption,
    score_ranks.severity,
    score_ranks.score,
    coverages.coverage_percent
