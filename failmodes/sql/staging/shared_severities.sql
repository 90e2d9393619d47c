-- One row per evaluation and severity above clean that averages are over: one that all evaluations of its images have,
-- under any corruption. One of a single corruption, where others have several, does not limit the others. If there is
-- no severity that all share, each evaluation has its own.
-- Source: shards, evaluations.
with levels as (
    select distinct
        evaluations.evaluation_id,
        shards.severity,
        [evaluations.dataset_id, evaluations.source_id, evaluations.subset_id] as images
    from evaluations
    inner join shards on evaluations.evaluation_id = shards.evaluation_id
    where shards.table_name = 'prediction_facts' and shards.corruption <> 'none'
),

counted as (
    select
        evaluation_id,
        count(distinct corruption) as corruption_count
    from shards
    where table_name = 'prediction_facts' and corruption <> 'none'
    group by evaluation_id
),

limiting as (
    select
        levels.*, -- noqa: AM04
        counted.corruption_count > 1
        or max(counted.corruption_count) over (partition by levels.images) = 1 as limits
    from levels
    inner join counted on levels.evaluation_id = counted.evaluation_id
),

totals as (
    select
        images,
        count(distinct evaluation_id) as evaluation_count
    from limiting
    where limits
    group by images
),

having_severity as (
    select
        images,
        severity,
        count(*) as evaluation_count
    from limiting
    where limits
    group by images, severity
),

shared as (
    select
        having_severity.images,
        having_severity.severity
    from having_severity
    inner join totals
        on
            having_severity.images = totals.images
            and having_severity.evaluation_count = totals.evaluation_count
)

select
    limiting.evaluation_id,
    limiting.severity
from limiting
left join shared on limiting.images = shared.images and limiting.severity = shared.severity
qualify shared.severity is not null or count(shared.severity) over (partition by limiting.images) = 0
