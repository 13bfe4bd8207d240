"""Work that starts other jobs and follows them. A task in `vccapp.tasks` names each, and finds it when it runs."""
