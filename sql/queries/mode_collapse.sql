-- Where does a network give one answer to most images? Cells by the share of their commonest answer.
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
where commonest_answer is not null
order by commonest_answer_share desc, model_label asc, corruption_label asc, severity asc
limit 40
