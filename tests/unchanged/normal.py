"""Text without what differs by run: times, paths, versions, throughput, random names. Nothing else takes it out."""

import re
from functools import lru_cache
from hashlib import sha256

FIXED = "fixed."  # answers of such names state durations, sizes and dates that no run decides
_DIGITS = r"(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)"
IDENTITY = re.compile(  # whole, or its first eight digits as a word or as a part of a name
    rf"\b{_DIGITS}(?:[0-9a-f]{{64}}|[0-9a-f]{{32}}|[0-9a-f]{{16}})\b"
    rf"|(?<=-){_DIGITS}[0-9a-f]{{8}}(?=[-/\"'\s]|\.[a-z]|$)|(?<![\w.#-]){_DIGITS}[0-9a-f]{{8}}(?=[/\"'\s<)]|\.[a-z]|$)"
)
RUN_KEYS = re.compile(r"(elapsed_s|seconds|images_per_s|free_bytes|size_bytes|disk_bytes|_utc|_at|epoch|timestamp)$")

_PLACES = [
    (r"(?<![\w.+~/-])[\w.+~/-]*/run/(?:work|trees|home)(?:/[a-z_0-9]+)?/(?:base|ours)\b", "‹place›"),
    (r"(?<![\w.+~/-])[\w.+~/-]*/inputs/(\w+)-[0-9a-f]{16}", r"‹inputs of \1›"),
    (r"/tmp/[\w./-]+", "‹temporary›"),
    (r"\b0x[0-9a-f]{6,}", "‹address›"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "‹uuid›"),
    (r"\bdata-[0-9a-f]{32}\b", "data-‹rows›"),
]
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_PACKAGES = "failmodes|python|torch\\w*|numpy|scipy|opencv[\\w-]*|pillow|duckdb|altair|polars|pyarrow"
_RUNS = [
    (r"\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|\+00:00| UTC)?", "‹time›"),
    (rf"\b(?:20\d\d-\d\d-\d\d|\d{{1,2}} (?:{_MONTHS}) 20\d\d|(?:{_MONTHS}) \d{{1,2}}, 20\d\d)", "‹day›"),
    (r"\b\d\d:\d\d(?::\d\d)?(?: UTC)?\b", "‹clock›"),
    (r"\b1[789]\d{8}(?:\.\d+)?\b", "‹epoch›"),
    (r"\b[\d.,]+ (?:images|predictions|rows) (?:per second|/ ?s)\b", "‹throughput›"),
    (r"\b\d+(?:\.\d+)? ?(?:s|ms|min|minutes?|seconds?)\b(?! and)", "‹duration›"),
    (r"\b\d+(?:\.\d+)? (?:MB|KB|GB|kB|MiB|KiB|GiB)\b", "‹size›"),
    (rf"\b({_PACKAGES})([ =:\"]+)\d+(?:\.\d+)+[\w.+]*", r"\1\2‹version›"),
]
_COMPILED: dict[bool, list[tuple[re.Pattern[str], str]]] = {
    fixed: [(re.compile(pattern, re.IGNORECASE), by) for pattern, by in rules]
    for fixed, rules in ((True, _PLACES), (False, [*_PLACES, *_RUNS]))
}
_DATA = re.compile(r"[A-Za-z0-9+/=]{300,}")  # such as a picture within a page


@lru_cache(100_000)
def normal(text: str, fixed: bool = False) -> str:
    """The text without a run's details, and with identities alike; of fixed text only places are taken out."""
    text = _DATA.sub(lambda found: f"‹data {sha256(found[0].encode()).hexdigest()[:12]}›", text)
    for pattern, by in _COMPILED[fixed]:
        text = pattern.sub(by, text)
    return text if fixed else IDENTITY.sub("‹identity›", text)


def identities(text: str) -> list[str]:
    """The identities within a text, in their order."""
    return IDENTITY.findall(text)
