-- One row per evaluation, corruption and severity from clean on (severity 0): drift of the map of the class that is
-- predicted here, beside its null. `attention_drift` has the class predicted on the clean image.
-- Source: attention_by_target.
select * exclude (target) -- noqa: AM04
from attention_by_target
where target = 'predicted'
