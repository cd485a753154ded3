"""One task over thousands of inputs: the same function in local processes or under Dask, a Parquet file an input."""
