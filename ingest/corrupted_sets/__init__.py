"""Published corrupted sets, in the layouts of CIFAR-10-C and ImageNet-C, and the one way to open them.

Writing corrupted sets in the published layouts, so that any other tool can read them.
"""
