"""`python -m vccapp` is the command `vccapp`."""

from vccapp.cli import main

main()
