-- One row per pair of evaluations of the same images, corruption and severity from clean (0) on.
-- Source: pair_cells, evaluation_labels, curve_points.
with pairs as (
    select
        one.evaluation_id as evaluation_id_a,
        other.evaluation_id as evaluation_id_b,
        one.model_label as model_label_a,
        other.model_label as model_label_b,
        one.dataset_label
    from evaluation_labels as one
    inner join evaluation_labels as other
        on
            one.dataset_id = other.dataset_id
            and one.source_id = other.source_id
            and one.subset_id = other.subset_id
            and (one.model_label, one.evaluation_id) < (other.model_label, other.evaluation_id)
),

counts as ( -- pairs are stored by identity, and shown by label
    select
        pairs.evaluation_id_a,
        pairs.evaluation_id_b,
        pair_cells.corruption,
        pair_cells.severity,
        pair_cells.image_count,
        pair_cells.both_correct_count,
        pair_cells.both_incorrect_count,
        pair_cells.agree_count,
        case
            when pairs.evaluation_id_a = pair_cells.evaluation_id_a then pair_cells.only_a_correct_count
            else pair_cells.only_b_correct_count
        end as only_a_correct_count,
        case
            when pairs.evaluation_id_a = pair_cells.evaluation_id_a then pair_cells.only_b_correct_count
            else pair_cells.only_a_correct_count
        end as only_b_correct_count
    from pairs
    inner join pair_cells
        on
            least(pairs.evaluation_id_a, pairs.evaluation_id_b) = pair_cells.evaluation_id_a
            and greatest(pairs.evaluation_id_a, pairs.evaluation_id_b) = pair_cells.evaluation_id_b
),

shares as (
    select
        *,
        agree_count / image_count as agree_share,
        (both_correct_count + only_a_correct_count) / image_count as accuracy_a,
        (both_correct_count + only_b_correct_count) / image_count as accuracy_b,
        (both_correct_count + both_incorrect_count) / image_count as observed, -- share with the same correctness
        accuracy_a * accuracy_b + (1 - accuracy_a) * (1 - accuracy_b) as expected -- the same by chance
    from counts
)

select
    curve_points.corruption,
    curve_points.severity,
    shares.accuracy_a, -- share of images that the first model predicts correctly, 0-1
    shares.accuracy_b, -- share of images that the second model predicts correctly, 0-1
    shares.agree_share, -- share of images for which both predict the same class, 0-1
    (shares.observed - shares.expected) / nullif(1 - shares.expected, 0) as error_consistency, -- Cohen's kappa of being
    -- correct (Geirhos 2020), -1 to 1; 0: as often both correct or both incorrect as by chance
    shares.image_count,
    pairs.model_label_a, -- name of the first model on charts
    pairs.model_label_b, -- name of the second model on charts
    shares.both_correct_count,
    shares.only_a_correct_count,
    shares.only_b_correct_count,
    shares.both_incorrect_count,
    curve_points.corruption_label,
    pairs.dataset_label,
    pairs.evaluation_id_a,
    pairs.evaluation_id_b
from pairs
inner join curve_points on pairs.evaluation_id_a = curve_points.evaluation_id
inner join shares
    on
        pairs.evaluation_id_a = shares.evaluation_id_a
        and pairs.evaluation_id_b = shares.evaluation_id_b
        and curve_points.cell_corruption = shares.corruption
        and curve_points.severity = shares.severity
