-- One row per stored cell with images of known confidence: calibration by measures that need every image.
-- Source: outcomes.
with images as (
    select
        evaluation_id,
        corruption,
        severity,
        confidence::double as confidence,
        correct::integer as is_correct,
        rank() over (partition by evaluation_id, corruption, severity order by confidence) - 1 as lower_count,
        count(*) over (partition by evaluation_id, corruption, severity) as image_count
    from outcomes
    where confidence is not null
),

equal_mass_bins as (
    select
        evaluation_id,
        corruption,
        severity,
        abs(sum(confidence - is_correct)) as gap
    from images
    group by evaluation_id, corruption, severity, lower_count * 15 // image_count -- ties share the lowest bin
),

equal_mass as (
    select
        evaluation_id,
        corruption,
        severity,
        sum(gap) as gap_sum
    from equal_mass_bins
    group by evaluation_id, corruption, severity
),

bins as (
    select
        evaluation_id,
        corruption,
        severity,
        count(*) as image_count,
        sum(greatest(confidence * (1 - confidence), 0)) as variance
    from images
    group by evaluation_id, corruption, severity, least(greatest(floor(confidence * 15), 0), 14)
),

cumulants as ( -- of the sum of absolute values of normal variables, one a bin
    select
        evaluation_id,
        corruption,
        severity,
        sum(image_count)::bigint as image_count,
        sum(sqrt(variance)) * sqrt(2 / pi()) as mean,
        sqrt(sum(variance) * (1 - 2 / pi())) as spread,
        sum(pow(variance, 1.5)) * sqrt(2 / pi()) * (4 / pi() - 1) as third
    from bins
    group by evaluation_id, corruption, severity
),

places as (
    select unnest(range(256)) as place
),

cosines as (
    select
        places.place,
        waves.place as wave,
        cos(pi() * waves.place * (places.place + 0.5) / 256) as cosine
    from places
    cross join places as waves
),

cosines_of_waves as (
    select
        wave,
        list(cosine order by place) as cosines
    from cosines
    group by wave
),

cosines_of_places as (
    select
        place,
        list(cosine order by wave) as cosines
    from cosines
    group by place
),

gaps_by_place as (
    select
        evaluation_id,
        corruption,
        severity,
        least(greatest(floor(confidence * 256), 0), 255) as place,
        sum(is_correct - confidence) as gap
    from images
    group by evaluation_id, corruption, severity, place
),

gaps as (
    select
        cumulants.evaluation_id,
        cumulants.corruption,
        cumulants.severity,
        list(coalesce(gaps_by_place.gap, 0) / cumulants.image_count order by places.place) as gaps
    from cumulants
    cross join places
    left join gaps_by_place
        on
            cumulants.evaluation_id = gaps_by_place.evaluation_id
            and cumulants.corruption = gaps_by_place.corruption
            and cumulants.severity = gaps_by_place.severity
            and places.place = gaps_by_place.place
    group by cumulants.evaluation_id, cumulants.corruption, cumulants.severity
),

widths as (
    select
        step,
        pow(2, step / 4) as width
    from (select unnest(range(-32, 1)) as step) as steps -- quarters of a doubling
),

smoothed_waves as ( -- by a Gaussian that is reflected at 0 and 1: the heat kernel
    select
        gaps.evaluation_id,
        gaps.corruption,
        gaps.severity,
        widths.step,
        list(
            list_inner_product(gaps.gaps, cosines_of_waves.cosines)
            * exp(-pow(pi() * cosines_of_waves.wave * widths.width, 2) / 2)
            * case when cosines_of_waves.wave = 0 then 1 else 2 end
            order by cosines_of_waves.wave
        ) as waves
    from gaps
    cross join cosines_of_waves
    cross join widths
    group by gaps.evaluation_id, gaps.corruption, gaps.severity, widths.step
),

errors as (
    select
        smoothed_waves.evaluation_id,
        smoothed_waves.corruption,
        smoothed_waves.severity,
        smoothed_waves.step,
        avg(abs(list_inner_product(smoothed_waves.waves, cosines_of_places.cosines))) as error
    from smoothed_waves
    cross join cosines_of_places
    group by smoothed_waves.evaluation_id, smoothed_waves.corruption, smoothed_waves.severity, smoothed_waves.step
),

steps as (
    select
        errors.evaluation_id,
        errors.corruption,
        errors.severity,
        errors.step,
        errors.error,
        widths.width,
        errors.error > widths.width as is_too_narrow,
        lag(errors.error) over curve as narrower_error,
        lag(widths.width) over curve as narrower_width
    from errors
    inner join widths on errors.step = widths.step
    window curve as (partition by errors.evaluation_id, errors.corruption, errors.severity order by errors.step)
),

smoothed as ( -- the first step that is wide enough, and where the error meets the width before it
    select
        evaluation_id,
        corruption,
        severity,
        arg_min(error, step) as error,
        arg_min(
            coalesce(
                narrower_width
                + (width - narrower_width) * (narrower_error - narrower_width)
                / (narrower_error - narrower_width + width - error),
                width
            ),
            step
        ) as smooth_width,
        min(step) = -32 as is_narrowest
    from steps
    where not is_too_narrow
    group by evaluation_id, corruption, severity
)

select
    cumulants.evaluation_id,
    cumulants.corruption,
    cumulants.severity,
    cumulants.image_count, -- images whose confidence is known
    smoothed.smooth_width, -- of the kernel: that of smooth_ece, 1/256 at least
    equal_mass.gap_sum / cumulants.image_count as equal_mass_ece, -- 0-1, in 15 bins of equally many images
    case when smoothed.is_narrowest then smoothed.error else smoothed.smooth_width end as smooth_ece, -- 0-1
    case
        when cumulants.spread = 0 then 0
        else
            (
                cumulants.mean
                + cumulants.spread
                * (
                    1.6448536269514722
                    + cumulants.third / pow(cumulants.spread, 3) * (pow(1.6448536269514722, 2) - 1) / 6
                )
            ) / cumulants.image_count
    end as ece_noise_floor -- 0-1
from cumulants
inner join equal_mass
    on
        cumulants.evaluation_id = equal_mass.evaluation_id
        and cumulants.corruption = equal_mass.corruption
        and cumulants.severity = equal_mass.severity
inner join smoothed
    on
        cumulants.evaluation_id = smoothed.evaluation_id
        and cumulants.corruption = smoothed.corruption
        and cumulants.severity = smoothed.severity
