"""The verbs of the loop: contents in, contents out.

What is computed, with which random numbers and in which order, stands here; files, words and clocks stand in the
command line, which calls it. So the source of these functions is what a job of the workflow hangs on.
"""
