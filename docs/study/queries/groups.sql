-- Mean accuracy by group of corruptions: the four groups of the 15 headline corruptions, and the extra corruptions
select
    model_label, coalesce(case when headline then corruption_group end, 'extra') as corruption_group,
    count(distinct corruption) as corruption_count, count(*) as cell_count,
    round(avg(accuracy), 8) as accuracy, round(avg(mean_confidence), 8) as mean_confidence
from accuracy_by_severity
where severity > 0
group by all
order by model_label, corruption_group
