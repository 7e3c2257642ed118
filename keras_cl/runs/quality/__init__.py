"""How good a generator is: measured after each task, from the checkpoints of a run, with --generator_quality.

Two classifiers answer two questions, and neither number is an accuracy of the run's own network, which the
accuracy matrix has. `oracle_on_fake`: does a classifier of real images, the oracle, give a generated image
the label that it was generated for? Wu et al. 2018 (arXiv:1809.02058) report this one. A generator that
draws the same image of each class again and again has 1. `fake_to_real`: is a classifier that has learned
generated images alone right on real test images? This one falls if the images lack variety.

The measurements read real images of earlier tasks, which training never does: they are evaluation.
"""
