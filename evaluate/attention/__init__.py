"""What a network looks at: ways to make Grad-CAM maps, their statistics, and what drift is measured against."""
