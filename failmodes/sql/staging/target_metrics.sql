-- One row per point of a curve, target and metric: metrics of the maps of each target, and beside them all others.
-- Source: curve_metrics.
with targeted as (
    select
        *, -- noqa: AM04
        unnest(
            case
                when ends_with(metric, '_of_prediction') then ['predicted']
                when concat(metric, '_of_prediction') in (select metrics.metric from metrics) then ['clean']
                else ['predicted', 'clean']
            end
        ) as target -- noqa: RF04
    from curve_metrics
)

select
    * exclude (target) replace (replace(metric, '_of_prediction', '') as metric), -- noqa: AM04
    target -- 'predicted' or 'clean': the class that the map explains
from targeted
