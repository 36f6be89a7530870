"""Text in, model out: job files, inventories and settings, with complaints that say file, line and column.

Pure: reading a file, packing a folder and resolving ``~`` are the caller's. `job`, `inventory`, `settings` and `hosts`
hold the public faces; they are not imported here, so that importing one does not pay for the others.
"""
