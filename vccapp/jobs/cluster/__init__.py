"""A job of this workspace whose work is done on a Ray cluster, through Ray's Jobs API.

Its worker here asks the cluster for what the task needs (`client`) and follows it to its end (`follow`). On the cluster
`python -m vccapp.jobs.cluster.remote` reads the job's description and does what a worker does here. The two talk by
files (`exchange`) in the job's folder, which both see; only this side opens the job store.
"""
