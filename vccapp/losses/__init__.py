"""Losses of predicted against real cells, one file each; see `vccapp.losses.base` and `vccapp.losses.expression`."""
