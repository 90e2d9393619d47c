-- In paired evaluations, every image is one of the dataset: images that are not.
select distinct
    prediction_facts.evaluation_id,
    prediction_facts.image_id
from prediction_facts
inner join evaluations on prediction_facts.evaluation_id = evaluations.evaluation_id and evaluations.paired
anti join images on evaluations.dataset_id = images.dataset_id and prediction_facts.image_id = images.image_id
