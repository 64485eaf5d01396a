"""Pure functions of arrays: permutation tests, intervals, similarities. Every draw comes from a generator passed in."""
