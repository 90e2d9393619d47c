"""Which findings are printed: the strongest of each kind and model, how many are like it, and what is inconclusive."""

import pytest

from failmodes.analysis.judging.findings.headlines import headlines
from failmodes.analysis.judging.findings.kind import Finding


def finding(kind: str, model: str = "A", corruption: str = "fog", verdict: str = "supported", value: float = 0.1,
            claim: str = "", n: int = 100) -> Finding:  # fmt: skip
    said = f"{kind} of {model} under {corruption}: {value:g} ({n} images)."
    query = f"from {kind} where model = '{model}' and corruption = '{corruption}'"
    return Finding(kind, claim or kind, verdict, model, model, corruption, value, value - 0.05, value + 0.05,
                   "accuracy", n, said, query)  # fmt: skip


def printed(findings: list[Finding]) -> list[tuple[str, str, int]]:
    return [(headline.kind, headline.sentence, headline.others) for headline in headlines(findings)]


def test_of_each_model_the_first_of_a_kind_is_reported_and_the_others_counted() -> None:
    large = finding("class_failure", corruption="snow", value=0.3)
    small = finding("class_failure", value=0.1)
    negative = finding("overconfidence", value=-0.4, verdict="contradicted")
    other = finding("class_failure", "B", value=0.05)
    found = headlines([large, small, negative, other])
    assert [(h.sentence, h.others) for h in found] == [(large.sentence, 1), (other.sentence, 0), (negative.sentence, 0)]
    assert {h.kind: h.query for h in found}["overconfidence"] == negative.query
    assert f"{large.sentence} (and 1 similar)" in [h.text for h in found]


def test_kinds_stand_in_their_order_and_what_is_inconclusive_last() -> None:
    found = [finding("better_model"), finding("shape", verdict="inconclusive"), finding("largest_drop"),
             finding("overconfidence"), finding("prediction_collapse")]  # fmt: skip
    assert [kind for kind, *_ in printed(found)] == [
        "largest_drop",
        "prediction_collapse",
        "overconfidence",
        "better_model",
        "shape",
    ]


@pytest.mark.parametrize("kind", ["prediction_collapse", "better_model", "largest_drop"])
def test_what_is_contradicted_is_not_reported_where_nobody_asked(kind: str) -> None:
    assert printed([finding(kind, verdict="contradicted")]) == []


def test_what_is_inconclusive_is_counted_once_a_kind() -> None:
    found = [finding("shape", corruption=c, verdict="inconclusive", value=v) for c, v in (("fog", 0.1), ("snow", 0.2))]
    (line,) = headlines([*found, finding("shape", corruption="frost", claim="early")])[1:]
    assert (line.kind, line.verdict, line.others) == ("shape", "inconclusive", 0)
    assert "inconclusive for 2 of 3\u00a0curves" in line.sentence
    assert "kind = 'shape' and verdict = 'inconclusive'" in line.query
    (alone,) = headlines(found[:1])
    assert (alone.sentence, alone.query) == (found[0].sentence, found[0].query)
