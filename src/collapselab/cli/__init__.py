"""The command line: a verb a stage, each of which reads files, calls a function and writes one file.

A rule of the workflow and a person at a shell call the same verbs in the same words.
"""

from .run import main as main
