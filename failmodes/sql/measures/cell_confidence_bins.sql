-- One row per stored cell and confidence bin that occurred, of 15 equal bins [low, high), 1.0 in the last: sums.
-- Source: outcomes.
select
    evaluation_id,
    corruption,
    severity,
    15 as bin_count,
    least(greatest(floor(confidence::double * 15), 0), 14)::integer as bin_index, -- from 0
    count(*) as image_count, -- images with finite logits
    count(*) filter (where correct) as correct_count,
    sum(confidence) as confidence_sum,
    sum(sum_p2 - 2 * label_probability::double + 1) as brier_sum, -- squared distance of the softmax from the truth
    sum(loss_nats) as loss_nats_sum
from outcomes
where confidence is not null
group by evaluation_id, corruption, severity, bin_index
