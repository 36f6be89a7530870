"""What runs on a node: standard library only, Python 3.6 and newer, packed and streamed over SSH.

A *link* answers the head over a byte pipe. A *keeper* per attempt outlives it: it starts the processes, spools what
they write, holds the lease and clears up. A *watcher*, the keeper's parent, clears up when the keeper itself is killed.
"""
