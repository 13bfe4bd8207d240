"""One file a mend; each registers a `Mend` of `vccapp.submission.mending.mend`. Adding one is writing one file."""
