"""An example of every plug-in that vccapp takes, one file each."""
