-- One row per evaluation, corruption and severity from clean (0) on: share of attention on the object,
-- for the class predicted on the clean image. `attention_on_object_of_prediction` has the class predicted here.
-- Source: object_attention_by_target.
select * exclude (target) -- noqa: AM04
from object_attention_by_target
where target = 'clean'
