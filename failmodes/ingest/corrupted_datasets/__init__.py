"""Published corrupted sets in the layouts of CIFAR-10-C and ImageNet-C: opened as sources, and written for any tool."""
