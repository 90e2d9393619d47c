-- Where does it hurt most? The 20 cells that lose most accuracy, with their intervals.
select
    model_label,
    dataset_label,
    corruption_label,
    severity,
    image_count,
    accuracy,
    accuracy_low,
    accuracy_high,
    accuracy_drop
from accuracy_by_severity
where severity > 0
order by accuracy_drop desc, model_label asc, corruption_label asc
limit 20
