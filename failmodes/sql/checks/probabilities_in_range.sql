-- Probabilities are 0-1, the label's is at most the largest, entropy and loss are not negative: rows that break it.
select
    evaluation_id,
    corruption,
    severity,
    image_id,
    confidence,
    label_probability,
    margin,
    sum_p2,
    entropy_nats,
    loss_nats
from prediction_facts
where
    confidence not between 0 and 1.00001
    or label_probability not between 0 and 1.00001
    or margin not between 0 and 1.00001
    or sum_p2 not between 0 and 1.00001
    or label_probability > confidence + 0.00001
    or entropy_nats < -0.00001
    or loss_nats < -0.00001
