"""What lists understand of `filter` (AIP-160) and `order_by` (AIP-132), without a database.

`parser` reads the text, `checks` looks its fields up and reads its values by their types; what is left are conditions
that cannot be wrong, which the store turns into SQL.
"""
