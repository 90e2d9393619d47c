"""Corrupted datasets in published layouts (CIFAR-10-C, ImageNet-C): opened as sources, and written for any tool."""
