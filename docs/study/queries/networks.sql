-- Where two networks differ on the same images, a row a cell
select
    a.model_label as network, b.model_label as other, cells.corruption, cells.severity, cells.image_count,
    cells.both_right_count, cells.only_a_right_count, cells.only_b_right_count, cells.both_wrong_count,
    cells.agree_count
from pair_cells as cells
    inner join evaluation_labels as a on cells.evaluation_id_a = a.evaluation_id
    inner join evaluation_labels as b on cells.evaluation_id_b = b.evaluation_id
order by network, other, cells.corruption, cells.severity
