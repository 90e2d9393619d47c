-- One row per evaluation, corruption and severity from clean on (severity 0): drift of the map of the class that is
-- predicted on the clean image, beside its null. `attention_drift_of_prediction` has the class predicted here.
-- Source: attention_by_target.
select * exclude (target) -- noqa: AM04
from attention_by_target
where target = 'clean'
