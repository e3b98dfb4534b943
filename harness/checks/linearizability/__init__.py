"""Linearizability of registers: could one copy, used by one client at a time, have done this?

A register is a key of a bucket: its state is the revision and the value of the last
write. `registers` judges whole buckets, `ordered` one key by its revisions, `search` one
key whose revisions are not all known, and `shrink` finds the smallest history that fails.
"""
