"""Pickles of others as plain data: one reader, which can call nothing, and what it is told of each kind of file.

A pickle is a program for a small stack machine. :mod:`machine` steps through it and knows a few words of its language;
a kind of file says which words and names it needs. :mod:`networks` reads published weights; the batches of CIFAR-10 are
read beside their data set.

Python's own unpickler, told to refuse all names but harmless ones, would run nothing either. But it sets aside memory
that a file only claims: four gigabytes for nine bytes.
"""
