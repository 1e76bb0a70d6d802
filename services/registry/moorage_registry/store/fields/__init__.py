"""The fields that each list can be filtered and ordered by: one table per resource."""
