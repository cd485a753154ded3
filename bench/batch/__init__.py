"""Batches: one job over thousands of inputs, in local processes or under Dask, one Parquet file per input."""
