"""Benchmarks: each figure beside what it is compared with, measured in the same run.

python -m bench                      all of them
python -m bench channel --quick      one of them, in little time and with less certainty
"""
