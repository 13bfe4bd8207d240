"""One file a check; each registers a `Check` of `vccapp.submission.check`. Adding one is writing one file."""
