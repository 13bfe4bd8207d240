"""The work that jobs do: one file a task, each a frozen object that page, command line, grid and worker share.

task = Index(paths=(path,))
task.title, task.command(), task.needs(settings)
task.check(settings)                   # refuses now what the job would refuse
start_job(settings, task)              # the worker reads the same object and calls task.run(settings, progress)
"""
