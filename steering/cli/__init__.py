"""The command line: every stage by itself, the whole way at once, and the samples.

Progress goes to stderr. The last line on stdout is one line of JSON; that of a stage names the artefact it made, which
the next stage takes. Errors are one sentence and exit code 1; an interrupted command exits with 130.
"""
