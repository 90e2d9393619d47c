-- Where does a network give one answer to most images? Cells by the share of their commonest answer.
-- Parameter model: only these networks, by label.
-- Parameter corruption: only these corruptions, by name.
-- Parameter rows: how many; 40 without it.
select
    model_label,
    corruption_label,
    severity,
    commonest_answer_name,
    commonest_answer_share,
    commonest_answer_label_share,
    mean_confidence,
    accuracy,
    answered_class_count,
    class_count
from answers_by_severity
where
    commonest_answer is not null
    and coalesce(list_contains(getvariable('model'), model_label), true)
    and coalesce(list_contains(getvariable('corruption'), corruption), true)
order by commonest_answer_share desc, model_label asc, corruption_label asc, severity asc
limit coalesce(getvariable('rows'), 40)
