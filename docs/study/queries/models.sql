-- Where two models differ on the same images, one row per cell
select
    a.model_label as model, b.model_label as other, cells.corruption, cells.severity, cells.image_count,
    cells.both_correct_count, cells.only_a_correct_count, cells.only_b_correct_count, cells.both_incorrect_count,
    cells.agree_count
from pair_cells as cells
    inner join evaluation_labels as a on cells.evaluation_id_a = a.evaluation_id
    inner join evaluation_labels as b on cells.evaluation_id_b = b.evaluation_id
order by model, other, cells.corruption, cells.severity
