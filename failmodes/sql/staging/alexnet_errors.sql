-- One row per corruption of ImageNet-C: errors of AlexNet as published with it, the denominators of mCE.
-- Hendrycks & Dietterich 2019 (hendrycks/robustness, ImageNet-C/test.py).
-- Source: none.
with published (corruption, mean_error) as (
    values
    ('gaussian_noise', 0.886428),
    ('shot_noise', 0.894468),
    ('impulse_noise', 0.922640),
    ('defocus_blur', 0.819880),
    ('glass_blur', 0.826268),
    ('motion_blur', 0.785948),
    ('zoom_blur', 0.798360),
    ('snow', 0.866816),
    ('frost', 0.826572),
    ('fog', 0.819324),
    ('brightness', 0.564592),
    ('contrast', 0.853204),
    ('elastic_transform', 0.646056),
    ('pixelate', 0.717840),
    ('jpeg_compression', 0.606500)
)

select
    corruption, -- corruption name
    mean_error, -- mean error over severities 1 to 5, 0-1
    0.4348 as clean_error -- error on clean images, 0-1
from published
