"""Training by a recipe: crop and flip, AugMix or TrivialAugment; SGD or AdamW; resumed after a kill.

Each epoch samples its order, crops and flips from (seed, epoch), each image its augmentation from (seed, epoch, image),
and the state is written after each epoch, so that a run killed at any instant goes on from its last whole epoch and
sees the same batches as an undisturbed one, however many processes prepare them.
"""
