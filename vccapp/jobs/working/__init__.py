"""What a process that works for a job needs, on this machine and on a cluster: its progress, its stop, its end."""
