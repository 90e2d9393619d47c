-- One row per stored cell that has what it takes: calibration as it is, and with temperature fitted on clean images.
-- Source: outcomes.
with logits_stored as (
    select
        *,
        logits is not null and logit_classes is null and label < len(logits) as has_all
    from outcomes
    where finite and confidence is not null and loss_nats is not null
),

complete as (
    select
        evaluation_id,
        corruption,
        severity,
        image_id,
        scaled_log_sum_exp,
        correct::integer as is_correct,
        confidence::double as confidence,
        loss_nats::double as loss_nats,
        image_id % 2 as parity,
        case
            when has_all then list_max(logits)::double
            else list_extract(scaled_log_sum_exp, 9)::double + ln(confidence::double) -- the ninth is at T = 1
        end as top_logit,
        case
            when has_all then list_extract(logits, label + 1)::double
            else list_extract(scaled_log_sum_exp, 9)::double - loss_nats
        end as own_logit,
        case when has_all then logits end as logits -- all of them, or null
    from logits_stored
    where has_all or len(scaled_log_sum_exp) = 25
),

grid as (
    select
        place,
        pow(2, (place - 8) / 8) as temperature -- 1/2 to 4 by eighths of a doubling
    from (select unnest(range(25)) as place) as places
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

clean_losses as (
    select
        clean_logits.evaluation_id,
        clean_logits.parity,
        grid.place,
        ln(sum(exp((clean_logits.logit - clean_logits.top_logit) / grid.temperature)))
        - (any_value(clean_logits.own_logit) - any_value(clean_logits.top_logit)) / grid.temperature as nll_nats
    from clean_logits
    cross join grid
    group by clean_logits.evaluation_id, clean_logits.parity, clean_logits.image_id, grid.place, grid.temperature
    union all
    select
        complete.evaluation_id,
        complete.parity,
        grid.place,
        list_extract(complete.scaled_log_sum_exp, grid.place + 1) - complete.own_logit / grid.temperature as nll_nats
    from complete
    cross join grid
    where complete.corruption = 'none' and complete.logits is null
),

mean_losses as (
    select
        evaluation_id,
        parity,
        place,
        avg(nll_nats) as nll_nats
    from clean_losses
    group by evaluation_id, parity, place
),

best_places as ( -- the temperature of a parity is the best for the clean images of the other
    select
        evaluation_id,
        1 - parity as parity,
        arg_min(place, (nll_nats, place)) as place
    from mean_losses
    group by evaluation_id, parity
),

fitted as (
    select
        best_places.evaluation_id,
        best_places.parity,
        best_places.place,
        grid.temperature
    from best_places
    inner join grid on best_places.place = grid.place
),

scaled_rows as (
    select
        complete.evaluation_id,
        complete.corruption,
        complete.severity,
        complete.image_id,
        complete.is_correct,
        complete.confidence,
        complete.loss_nats,
        complete.top_logit,
        complete.own_logit,
        complete.logits,
        fitted.temperature,
        list_extract(complete.scaled_log_sum_exp, fitted.place + 1)
        - complete.top_logit / fitted.temperature as stored_total
    from complete
    inner join fitted on complete.evaluation_id = fitted.evaluation_id and complete.parity = fitted.parity
),

logit_rows as (
    select
        * exclude (logits, stored_total),
        unnest(logits)::double as logit
    from scaled_rows
    where logits is not null
),

totals as ( -- log of the sum of exponentiated logits / T, relative to the largest
    select
        evaluation_id,
        corruption,
        severity,
        is_correct,
        confidence,
        loss_nats,
        (own_logit - top_logit) / temperature as gap,
        ln(sum(exp((logit - top_logit) / temperature))) as total
    from logit_rows
    group by
        evaluation_id, corruption, severity, image_id, is_correct, confidence, loss_nats, own_logit, top_logit,
        temperature
    union all
    select
        evaluation_id,
        corruption,
        severity,
        is_correct,
        confidence,
        loss_nats,
        (own_logit - top_logit) / temperature as gap,
        stored_total as total
    from scaled_rows
    where logits is null
),

images as (
    select
        evaluation_id,
        corruption,
        severity,
        is_correct,
        loss_nats as nll_nats,
        confidence,
        total - gap as scaled_nll_nats,
        exp(-total) as scaled_confidence
    from totals
),

gaps_by_bin as (
    select
        evaluation_id,
        corruption,
        severity,
        sum(confidence - is_correct) as gap
    from images
    group by evaluation_id, corruption, severity, least(greatest(floor(confidence * 15), 0), 14)
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
        sum(scaled_confidence - is_correct) as gap
    from images
    group by evaluation_id, corruption, severity, least(greatest(floor(scaled_confidence * 15), 0), 14)
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
    cells.image_count, -- that have all logits, or their log-sum-exp at every temperature
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
