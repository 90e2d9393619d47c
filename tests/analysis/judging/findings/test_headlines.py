"""Which findings are printed: the strongest of each kind and model, how many are like it, and what is inconclusive."""

import duckdb
import pytest
from checkpoint_comparisons import of_kind, words_of

from failmodes.analysis.judging.findings.headlines import headlines
from failmodes.analysis.judging.findings.kind import Finding
from failmodes.analysis.judging.findings.registry import all_kinds


def finding(kind: str, model: str = "A", corruption: str = "fog", verdict: str = "supported", value: float = 0.1,
            claim: str = "", n: int = 100) -> Finding:  # fmt: skip
    said = f"{kind} of {model} under {corruption}: {value:g} ({n} images)."
    query = f"from {kind} where model = '{model}' and corruption = '{corruption}'"
    return Finding(kind, claim or kind, verdict, model, model, corruption, value, value - 0.05, value + 0.05,
                   "accuracy", n, said, query)  # fmt: skip


def printed(findings: list[Finding]) -> list[tuple[str, str, int]]:
    return [(headline.kind, headline.sentence, headline.others) for headline in headlines(findings)]


def test_of_each_model_the_first_of_a_kind_is_reported_and_the_others_counted() -> None:
    large, small = finding("class_failure", corruption="snow", value=0.3), finding("class_failure", value=0.1)
    negative = finding("overconfidence", value=-0.4, verdict="contradicted")
    other = finding("class_failure", "B", value=0.05)
    found = headlines([large, small, negative, other])
    assert [(h.sentence, h.others) for h in found] == [(large.sentence, 1), (other.sentence, 0), (negative.sentence, 0)]
    assert {h.kind: h.query for h in found}["overconfidence"] == negative.query
    assert f"{large.sentence} (and 1 more like it)" in [h.text for h in found]


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


def test_over_and_underconfidence_are_distinguished() -> None:
    over, under = finding("overconfidence"), finding("overconfidence", corruption="snow", verdict="contradicted")
    assert [headline.verdict for headline in headlines([over, under])] == ["supported", "contradicted"]


@pytest.mark.parametrize("kind", ["prediction_collapse", "better_model", "largest_drop"])
def test_what_is_contradicted_is_not_reported_where_nobody_asked(kind: str) -> None:
    assert printed([finding(kind, verdict="contradicted")]) == []


@pytest.mark.parametrize("kind", ["largest_drop", "confidence_below_chance"])
def test_findings_that_are_ranked_are_reported_in_their_order(kind: str) -> None:
    first, larger = finding(kind, value=0.1), finding(kind, corruption="snow", value=0.4)
    assert printed([first, larger]) == [(kind, first.sentence, 1)]


def test_shapes_are_reported_word_by_word() -> None:
    late = [finding("shape", corruption=c, claim="late") for c in ("fog", "snow")]
    early = finding("shape", corruption="frost", claim="early")
    assert printed([*late, early]) == [("shape", late[0].sentence, 1), ("shape", early.sentence, 0)]


def test_up_to_four_models_are_reported_one_by_one_and_more_together() -> None:
    four = [finding("class_failure", model, value=index / 10) for index, model in enumerate("ABCD", start=1)]
    assert [others for *_, others in printed(four)] == [0, 0, 0, 0]
    five = [*four, finding("class_failure", "E", value=0.05)]
    assert printed(five) == [("class_failure", four[3].sentence, 4)]


def test_pairs_of_models_are_always_reported_together() -> None:
    pairs = [finding("better_model", "A", value=0.2), finding("better_model", "B", value=0.1)]
    assert printed(pairs) == [("better_model", pairs[0].sentence, 1)]


def test_what_is_inconclusive_is_counted_once_a_kind() -> None:
    found = [finding("shape", corruption=c, verdict="inconclusive", value=v) for c, v in (("fog", 0.1), ("snow", 0.2))]
    (line,) = headlines([*found, finding("shape", corruption="frost", claim="early")])[1:]
    assert (line.kind, line.verdict, line.others) == ("shape", "inconclusive", 0)
    assert "inconclusive for 2 of 3\u00a0curves" in line.sentence
    assert "kind = 'shape' and verdict = 'inconclusive'" in line.query
    (alone,) = headlines(found[:1])
    assert (alone.sentence, alone.query) == (found[0].sentence, found[0].query)


def test_of_drops_the_first_of_each_model_says_what_is_inconclusive() -> None:
    found = [finding("largest_drop", model, corruption, "inconclusive")
             for model in "AB" for corruption in ("fog", "snow", "frost")]  # fmt: skip
    (line,) = headlines(found)
    assert "inconclusive for 2 of 2\u00a0models" in line.sentence
    clear = [finding("largest_drop", "C", "fog"), finding("largest_drop", "C", "snow", "contradicted")]
    assert "inconclusive for 2 of 3\u00a0models" in headlines([*found, *clear])[-1].sentence


def test_without_masks_these_would_decide() -> None:
    found = [finding("attention_off_object", model, verdict="inconclusive")._replace(value=None) for model in "AB"]
    (line,) = headlines(found)
    assert line.sentence.endswith("is inconclusive for 2 of 2\u00a0models: object masks would decide.")


def test_what_is_withheld_does_not_make_a_decided_model_inconclusive() -> None:
    found = [finding("largest_drop"), finding("largest_drop", corruption="snow", verdict="inconclusive")]
    assert [headline.verdict for headline in headlines(found)] == ["supported"]


def test_what_no_line_speaks_of_is_not_reported_inconclusive() -> None:
    silent = [name for name, kind in all_kinds().items() if kind.inconclusive is None]
    assert "prediction_collapse" in silent
    assert printed([finding(kind, verdict="inconclusive") for kind in silent]) == []


def test_nothing_judged_is_nothing_reported() -> None:
    assert headlines([]) == []


def test_headlines_of_the_results_are_short_and_their_queries_return_rows(
    all_findings: list[Finding], many_findings: list[Finding], con: duckdb.DuckDBPyConnection
) -> None:
    few, many = headlines(all_findings), headlines(many_findings)
    assert len(few) < 30
    assert len(many) < 20, "of six models they are told together"
    for line in [*few, *many]:
        assert len(words_of(line.sentence)) <= 30
        if line.others:
            assert line.text.endswith(f"(and {line.others} more like it)")
    for line in few:
        if not line.query.startswith("from findings"):  # stored by a report
            assert con.execute(f"from ({line.query}) limit 1").fetchall()
    assert of_kind(all_findings, "largest_drop")[0].sentence == few[0].sentence
