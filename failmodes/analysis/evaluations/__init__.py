"""The evaluations of a warehouse: selections, models of several seeds, and labels that tell them apart."""
