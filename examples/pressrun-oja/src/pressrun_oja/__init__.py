"""A replication of Oja's rule. Kept empty: pressrun imports it to find the module, and nothing more."""
