-- One row per evaluation and severity above clean that averages are over: one that all comparable evaluations have,
-- under any corruption. One of a single corruption, where others have several, does not limit the others. If there is
-- no severity that all share, each evaluation has its own.
-- Source: shards, evaluation_labels.
with levels as (
    select distinct
        evaluation_labels.evaluation_id,
        shards.severity,
        evaluation_labels.comparable_id
    from evaluation_labels
    inner join shards on evaluation_labels.evaluation_id = shards.evaluation_id
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
        or max(counted.corruption_count) over (partition by levels.comparable_id) = 1 as limits
    from levels
    inner join counted on levels.evaluation_id = counted.evaluation_id
),

totals as (
    select
        comparable_id,
        count(distinct evaluation_id) as evaluation_count
    from limiting
    where limits
    group by comparable_id
),

having_severity as (
    select
        comparable_id,
        severity,
        count(*) as evaluation_count
    from limiting
    where limits
    group by comparable_id, severity
),

shared as (
    select
        having_severity.comparable_id,
        having_severity.severity
    from having_severity
    inner join totals
        on
            having_severity.comparable_id = totals.comparable_id
            and having_severity.evaluation_count = totals.evaluation_count
)

select
    limiting.evaluation_id,
    limiting.severity
from limiting
left join shared on limiting.comparable_id = shared.comparable_id and limiting.severity = shared.severity
qualify shared.severity is not null or count(shared.severity) over (partition by limiting.comparable_id) = 0
