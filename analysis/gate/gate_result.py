"""What a gate found, as programs, tests and pipelines take it."""

from failmodes.analysis.gate.gate_json import gate_json
from failmodes.analysis.gate.gate_junit import gate_junit
from failmodes.analysis.gate.gate_markdown import gate_markdown
from failmodes.analysis.gate.gate_text import gate_text
from failmodes.analysis.gate.judged_gate import JudgedGate


class GateResult(JudgedGate):
    """A gate with what is shown of each rule; true where it passes, and its text says what does not hold."""

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        return gate_text(self)

    def __repr__(self) -> str:
        return f"<GateResult, exit code {self.exit_code}\n{self}\n>"

    def to_json(self) -> str:
        """An object with every rule and every decision."""
        return gate_json(self)

    def to_junit(self) -> str:
        """JUnit XML, a test case a rule or cell."""
        return gate_junit(self)

    def to_markdown(self) -> str:
        """A summary for a pull request."""
        return gate_markdown(self)
