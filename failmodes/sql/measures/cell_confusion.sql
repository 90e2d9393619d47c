-- One row per stored cell, label and prediction that occurred; null where no class of the data set was predicted.
-- Source: outcomes.
select
    evaluation_id,
    corruption,
    severity,
    label,
    predicted,
    finite, -- whether the logits are numbers: another class was predicted where `predicted` is null all the same
    count(*) as image_count
from outcomes
group by evaluation_id, corruption, severity, label, predicted, finite
