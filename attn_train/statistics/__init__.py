"""Numbers in, intervals and verdicts out: knows of no run, no file and no command."""
