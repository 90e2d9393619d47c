-- In paired evaluations, every image is one of the data set: images that are not.
select distinct
    predictions.evaluation_id,
    predictions.image_id
from predictions
inner join evaluations on predictions.evaluation_id = evaluations.evaluation_id and evaluations.paired
anti join images on evaluations.dataset_id = images.dataset_id and predictions.image_id = images.image_id
