"""What makes a course of the package: sizes, chapters' checks, the runner, and the comparison of
all methods.
"""
