"""What must not be claimed is said in every report."""

from failmodes.analysis.findings.finding import Finding


def test_limitations_name_seed_data_and_severity(said: list[Finding]) -> None:
    limitations = " ".join(f.headline + f.detail for f in said if f.verdict == "limitation")
    for phrase in ("single training runs", "synthetic: no real images", "not a dose", "ImageNet-C only"):
        assert phrase in limitations
