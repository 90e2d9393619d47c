"""What every chart shares: theme, axes, legend, labels, and how a chart is saved."""
