"""The transition network of STATE (ST): shape, network, task, and the weights of the original."""
