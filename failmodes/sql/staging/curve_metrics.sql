-- One row per point of a curve, metric and score: its value there.
-- Source: cell_metrics, curve_points.
select
    curve_points.*, -- noqa: AM04
    cell_metrics.metric,
    cell_metrics.score,
    cell_metrics.value,
    cell_metrics.low,
    cell_metrics.high,
    cell_metrics.n
from curve_points
inner join cell_metrics
    on
        curve_points.evaluation_id = cell_metrics.evaluation_id
        and curve_points.cell_corruption = cell_metrics.corruption
        and curve_points.severity = cell_metrics.severity
