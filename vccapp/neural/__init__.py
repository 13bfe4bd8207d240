"""Networks, the loop that trains them and what feeds it.

Without torch: `fitting`, `estimate`, `sampler` and `full_genes`.
"""
