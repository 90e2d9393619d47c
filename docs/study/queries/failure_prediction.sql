-- How well each score separates failures from correct predictions, in each cell
select
    model_label, corruption, severity, score, round(auroc, 8) as auroc, round(auroc_low, 8) as auroc_low,
    round(auroc_high, 8) as auroc_high, n, failures
from failure_prediction
where score in ('confidence', 'attention_drift')
order by model_label, corruption, severity, score
