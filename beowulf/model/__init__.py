"""The nouns of a cluster as frozen values, and the one function that moves them: ``apply(snapshot, event)``.

No await, clock, randomness, socket or file in here: times, ids and seeds are arguments.
"""
