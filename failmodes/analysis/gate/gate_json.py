"""What a gate found, as JSON for programs."""

import json
from typing import Any

from failmodes.analysis.gate.judged_gate import JudgedGate
from failmodes.analysis.gate.judging import Decision, JudgedRule
from failmodes.analysis.gate.wording import images_phrase, limit_phrase, rule_name, rule_statement
from failmodes.analysis.statistics.opened_models import DescribedModel as ComparedModel
from failmodes.warehouse.runner_commands import json_without_commands


def gate_json(gate: JudgedGate) -> str:
    """An object; metrics are as in the warehouse (shares 0-1), and differences candidate minus baseline."""
    content = {
        "passed": gate.passed,
        "exit_code": gate.exit_code,
        "inconclusive": gate.inconclusive,
        "rules_from": gate.origin,
        "level": gate.level,
        "candidate": _model(gate.candidate),
        "baseline": None if gate.baseline is None else _model(gate.baseline),
        "images": images_phrase(gate),
        "images_paired": None if gate.pairing is None else gate.pairing.is_paired,
        "about": "training" if gate.is_about_training else "checkpoints",
        "rules": [_rule(judged) for judged in gate.rules],
    }
    return json_without_commands(json.dumps(content, indent=2, allow_nan=False).replace(r"\u00a0", " ")) + "\n"


def _model(model: ComparedModel) -> dict[str, Any]:
    return {
        "label": model.label,
        "evaluations": list(model.evaluation_ids),
        "training_seeds": list(model.seeds),
        "images": model.image_count,
        "source": model.source_line,
    }


def _rule(judged: JudgedRule) -> dict[str, Any]:
    plan = judged.plan
    return {
        "name": rule_name(plan),
        "verdict": judged.verdict,
        "statement": rule_statement(judged),
        "metric": plan.metric.name,
        "score": plan.score,
        "better": plan.metric.better,
        "unit": plan.metric.unit,
        "over": plan.rule.over,
        plan.rule.limit_key: plan.rule.limit,
        "limit": limit_phrase(plan),
        "images_needed": judged.images_needed,
        "decisions": [_decision(decision) for decision in judged.decisions],
    }


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "verdict": decision.verdict,
        "cells": [{"corruption": cell[0], "severity": cell[1]} for cell in decision.cells],
        "value": decision.value,
        "passing_bound": decision.passing_bound,
        "stopping_bound": decision.stopping_bound,
        "images": decision.image_count,
        "images_needed": decision.images_needed,
        "reason": decision.reason,
    }
