"""König (2019), "Cascaded Fine-Tuning of Deep Convolutional Neural Networks for Age Estimation".

H. M. T. König, *Cascaded Fine-Tuning of Deep Convolutional Neural Networks for Age Estimation from
Unconstrained Facial Imagery*, Leiden University. `cascades` holds its three training modes.
"""
