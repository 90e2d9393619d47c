-- One row per stored cell that has all logits: calibration as it is, and with temperature fitted on clean images.
-- Source: outcomes.
with complete as (
    select
        evaluation_id,
        corruption,
        severity,
        image_id,
        correct,
        logits,
        image_id % 2 as parity,
        list_max(logits)::double as top_logit,
        list_extract(logits, label + 1)::double as own_logit
    from outcomes
    where finite and logits is not null and logit_classes is null and label < len(logits)
),

clean_logits as (
    select
        evaluation_id,
        image_id,
        parity,
        top_logit,
        own_logit,
        unnest(logits)::double as logit
    from complete
    where corruption = 'none'
),

grid as (
    select unnest(range(-24, 33)) as step -- eighths of a doubling
),

clean_losses as (
    select
        clean_logits.evaluation_id,
        clean_logits.parity,
        grid.step,
        ln(sum(exp((clean_logits.logit - clean_logits.top_logit) / pow(2, grid.step / 8))))
        - (any_value(clean_logits.own_logit) - any_value(clean_logits.top_logit)) / pow(2, grid.step / 8) as nll_nats
    from clean_logits
    cross join grid
    group by clean_logits.evaluation_id, clean_logits.parity, clean_logits.image_id, grid.step
),

mean_losses as (
    select
        evaluation_id,
        parity,
        step,
        avg(nll_nats) as nll_nats
    from clean_losses
    group by evaluation_id, parity, step
),

fitted as ( -- the temperature of a parity is the best for the clean images of the other
    select
        evaluation_id,
        1 - parity as parity,
        pow(2, arg_min(step, (nll_nats, step)) / 8) as temperature
    from mean_losses
    group by evaluation_id, parity
),

logit_rows as (
    select
        complete.evaluation_id,
        complete.corruption,
        complete.severity,
        complete.image_id,
        complete.correct,
        complete.parity,
        complete.top_logit,
        complete.own_logit,
        fitted.temperature,
        unnest(complete.logits)::double as logit
    from complete
    inner join fitted on complete.evaluation_id = fitted.evaluation_id and complete.parity = fitted.parity
),

totals as (
    select
        evaluation_id,
        corruption,
        severity,
        correct,
        parity,
        temperature,
        any_value(own_logit) - any_value(top_logit) as gap,
        sum(exp(logit - top_logit)) as total,
        sum(exp((logit - top_logit) / temperature)) as scaled_total
    from logit_rows
    group by evaluation_id, corruption, severity, image_id, correct, parity, temperature
),

images as (
    select
        evaluation_id,
        corruption,
        severity,
        parity,
        temperature,
        ln(total) - gap as nll_nats,
        ln(scaled_total) - gap / temperature as scaled_nll_nats,
        1 / scaled_total as scaled_confidence,
        1 / total - correct::integer as excess,
        1 / scaled_total - correct::integer as scaled_excess,
        least(floor(15 / total), 14) as bin_index,
        least(floor(15 / scaled_total), 14) as scaled_bin_index
    from totals
),

gaps_by_bin as (
    select
        evaluation_id,
        corruption,
        severity,
        sum(excess) as gap
    from images
    group by evaluation_id, corruption, severity, bin_index
),

gaps as (
    select
        evaluation_id,
        corruption,
        severity,
        sum(abs(gap)) as gap_sum
    from gaps_by_bin
    group by evaluation_id, corruption, severity
),

scaled_gaps_by_bin as (
    select
        evaluation_id,
        corruption,
        severity,
        sum(scaled_excess) as gap
    from images
    group by evaluation_id, corruption, severity, scaled_bin_index
),

scaled_gaps as (
    select
        evaluation_id,
        corruption,
        severity,
        sum(abs(gap)) as gap_sum
    from scaled_gaps_by_bin
    group by evaluation_id, corruption, severity
),

cells as (
    select
        evaluation_id,
        corruption,
        severity,
        count(*) as image_count,
        avg(nll_nats) as nll_nats,
        avg(scaled_nll_nats) as scaled_nll_nats,
        avg(scaled_confidence) as scaled_mean_confidence
    from images
    group by evaluation_id, corruption, severity
),

temperatures as (
    select
        evaluation_id,
        any_value(temperature) filter (where parity = 0) as even_temperature,
        any_value(temperature) filter (where parity = 1) as odd_temperature
    from fitted
    group by evaluation_id
)

select
    cells.evaluation_id,
    cells.corruption,
    cells.severity,
    temperatures.even_temperature, -- applied to images of even image_id
    temperatures.odd_temperature,
    cells.image_count, -- that have all logits
    cells.nll_nats, -- as they are
    cells.scaled_nll_nats,
    cells.scaled_mean_confidence, -- 0-1
    gaps.gap_sum / cells.image_count as ece, -- 0-1, as they are
    scaled_gaps.gap_sum / cells.image_count as scaled_ece -- 0-1
from cells
inner join temperatures on cells.evaluation_id = temperatures.evaluation_id
inner join gaps
    on
        cells.evaluation_id = gaps.evaluation_id
        and cells.corruption = gaps.corruption
        and cells.severity = gaps.severity
inner join scaled_gaps
    on
        cells.evaluation_id = scaled_gaps.evaluation_id
        and cells.corruption = scaled_gaps.corruption
        and cells.severity = scaled_gaps.severity
