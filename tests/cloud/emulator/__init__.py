"""Clouds for tests: one durable process per vendor, with a real host behind every instance. Imports nothing of beowulf.

`starting.Emulator` starts one from a test. `world` keeps what every vendor has (machines, capacity, quota, bill);
`front` spoils requests and replies by the rules and answers the tests; `ec2`, … speak a vendor's wire protocol.
"""
